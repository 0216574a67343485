/**
 * The dashboard in a real browser. Against the stand-in by default; against a running server with
 *   MARU_URL=https://localhost:8443 MARU_ADMIN_URL=$(maru admin-url) node --test spec/browser/dashboard.spec.mjs
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import path from "node:path";
import { eventually, openBoard, openStage, rows, takeShifts } from "./stage.mjs";

const UPDATE_MS = process.env.MARU_URL ? 120000 : 60000;
const number = (text) => (/\d/.test(text) ? Number(text.replace(/[^\d−]/g, "").replace("−", "-")) : NaN);

let stage;
let page;

/** A collection now, or the patience to wait for one. */
const collect = () => stage.fake?.tick();

/** An event that was analysed; a real server is given time to find one. */
const analysed = () => eventually(async () => (await stage.get("/api/events?status=ANALYZED&limit=1")).events[0], "an analysed event", UPDATE_MS * 2);

describe("dashboard", { timeout: 600000 }, () => {
  before(async () => {
    stage = await openStage();
    page = await stage.page();
    await openBoard(stage, page);
  });
  after(() => stage?.close());

  test("shows lives of both platforms and the summary", async () => {
    const summary = await stage.get("/api/live/summary");
    await eventually(async () => {
      const platforms = new Set((await rows(page)).map((row) => row.key.split("/")[0]));
      return platforms.has("chzzk") && platforms.has("soop");
    }, "rows of both platforms", UPDATE_MS);
    assert.equal(await page.locator("[data-platform]").count(), 2);
    assert.match(await page.locator(".tile-total .tile-number").innerText(), /^[\d,]+$/);
    assert.equal(await page.locator("[data-simulated]").count(), summary.simulated ? 1 : 0);
    assert.equal(await page.title(), "Live · maru");
  });

  test("loads without a layout shift", async () => {
    const { value, sources } = await takeShifts(page);
    assert.ok(value < 0.02, `shift ${value} by ${sources}`);
  });

  test("a live update changes numbers and moves no row that is being pointed at", async () => {
    await page.locator("[data-board] tbody tr").nth(3).hover();
    await page.waitForTimeout(300);
    await takeShifts(page);
    const earlier = await rows(page);
    collect();
    const later = await eventually(async () => {
      const now = await rows(page);
      return now.some((row, i) => row.key === earlier[i]?.key && row.viewers !== earlier[i].viewers) && now;
    }, "a changed number", UPDATE_MS);
    assert.deepEqual(later.map((r) => [r.key, r.top]), earlier.map((r) => [r.key, r.top]));
    await page.waitForTimeout(300);
    const { value, sources } = await takeShifts(page);
    assert.ok(value < 0.001, `shift ${value} by ${sources}`);
  });

  test("rows that change rank slide there without a layout shift", async () => {
    await page.mouse.move(2, 2);
    await page.waitForTimeout(700);
    await takeShifts(page);
    if (stage.fake) stage.fake.model.list[20].base = 40000;
    const before = await rows(page);
    collect();
    await eventually(async () => (await rows(page)).some((row, i) => row.viewers !== before[i]?.viewers), "a changed number", UPDATE_MS);
    await page.waitForTimeout(700);
    const after = await rows(page);
    const viewers = after.map((row) => number(row.viewers));
    assert.deepEqual(viewers, [...viewers].sort((a, b) => b - a));
    if (stage.fake) assert.notDeepEqual(after.map((row) => row.key), before.map((row) => row.key));
    const { value, sources } = await takeShifts(page);
    assert.ok(value < 0.01, `shift ${value} by ${sources}`);
  });

  test("finds, filters and sorts, and the address remembers it", async () => {
    const target = (await rows(page))[5];
    const name = await page.locator(`[data-key="${target.key}"] .name`).innerText();
    await page.keyboard.press("/");
    await page.keyboard.type(name);
    await eventually(async () => {
      const found = await rows(page);
      return found.length > 0 && found.every((row) => row.text.includes(name));
    }, "only matching rows");
    assert.match(page.url(), /q=/);
    await page.keyboard.press("Escape");
    await eventually(async () => (await rows(page)).length > 5, "all rows again");

    await page.locator("input[name=platform][value=soop]").check();
    await eventually(async () => (await rows(page)).every((row) => row.key.startsWith("soop/")), "SOOP only");
    await page.locator("input[name=platform][value='']").check();

    await page.locator("[data-sort-by=delta]").click();
    await eventually(async () => {
      const deltas = (await rows(page)).map((row) => number(row.delta)).filter((n) => !Number.isNaN(n));
      return deltas.length > 1 && deltas.every((n, i) => i === 0 || deltas[i - 1] >= n);
    }, "sorted by change");
    assert.equal(await page.locator("th.col-delta").getAttribute("aria-sort"), "descending");
    assert.match(page.url(), /sort=delta/);
    await page.reload();
    await page.waitForSelector("[data-board] tbody tr[data-key]");
    assert.equal(await page.locator("th.col-delta").getAttribute("aria-sort"), "descending");
    await page.locator("[data-sort-by=viewers]").click();

    await page.locator("[data-search]").fill("no such channel at all");
    await page.locator("[data-clear]").click();
    await page.waitForSelector("[data-board] tbody tr[data-key]");
  });

  test("loads more by cursor", async () => {
    const { total_lives: total } = await stage.get("/api/live?limit=1");
    const shown = (await rows(page)).length;
    assert.equal(shown, Math.min(50, total));
    if (total > 50) {
      await page.locator("[data-more]").click();
      await eventually(async () => (await rows(page)).length > 50, "more rows");
      const keys = (await rows(page)).map((row) => row.key);
      assert.equal(new Set(keys).size, keys.length);
    }
  });

  test("walks by keyboard: j, k, Enter opens, Esc comes back to the same place", async () => {
    await openBoard(stage, page);
    for (const key of ["j", "j", "j", "k"]) await page.keyboard.press(key);
    const key = await page.evaluate("document.activeElement.closest('tr').dataset.key");
    assert.equal(key, (await rows(page))[1].key);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-chart] canvas");
    assert.match(page.url(), /#\/channels\//);
    await page.keyboard.press("Escape");
    await page.waitForSelector("[data-board] tbody tr[data-key]");
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
    await page.reload();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate("document.activeElement.id"), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate("document.activeElement.id"), "main");
    assert.match(page.url(), /#\/live/);
  });

  test("a channel has its chart, its surge mark, zoom and reset", async () => {
    const event = await analysed();
    await page.goto(`${stage.url}/#/channels/${event.platform}/${encodeURIComponent(event.channel_id)}`);
    await page.waitForSelector("[data-chart] canvas");
    await page.waitForSelector(`[data-surge-mark="${event.id}"]`, { state: "attached" });
    assert.equal(await page.locator("h1").innerText(), event.channel_name);
    const drawn = await page.evaluate(() => {
      const canvas = document.querySelector("[data-chart] canvas");
      return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v !== 0);
    });
    assert.ok(drawn, "the canvas is blank");
    const label = () => page.locator("[data-chart]").getAttribute("aria-label");
    const whole = await label();
    const box = await page.locator("[data-chart] .u-over").boundingBox();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 110, { steps: 4 });
    await page.mouse.up();
    await eventually(async () => (await label()) !== whole && (await page.locator("[data-reset-zoom]").isEnabled()), "a zoomed chart");
    await page.locator("[data-reset-zoom]").click();
    await eventually(() => page.locator("[data-reset-zoom]").isDisabled(), "the zoom reset");
    await page.locator("[data-chart]").focus();
    await page.keyboard.press("+");
    await eventually(() => page.locator("[data-reset-zoom]").isEnabled(), "zoom by key");
    await page.keyboard.press("0");
    await eventually(() => page.locator("[data-reset-zoom]").isDisabled(), "reset by key");
    await page.locator("input[name=range][value='6h']").check();
    await page.waitForSelector("[data-chart] canvas");
    assert.ok((await page.locator("[data-event]").count()) > 0);
  });

  test("an unknown channel says so", async () => {
    await page.goto(`${stage.url}/#/channels/chzzk/nobody`);
    await page.waitForSelector("[data-note]");
  });

  test("events lead to an analysis that names its engine, in both languages", async () => {
    const event = await analysed();
    await page.goto(`${stage.url}/#/events?status=ANALYZED`);
    await page.waitForSelector("[data-event]");
    await page.locator(`[data-event="${event.id}"] a`).click();
    await page.waitForSelector("[data-engine]");
    assert.match(await page.locator("[data-engine]").innerText(), /rule-based/);
    await page.locator("[data-lang-toggle]").click();
    await eventually(async () => /규칙 기반/.test(await page.locator("[data-engine]").innerText()), "Korean");
    assert.equal(await page.evaluate("document.documentElement.lang"), "ko");
    await page.reload();
    await page.waitForSelector("[data-engine]");
    assert.match(await page.locator("[data-engine]").innerText(), /규칙 기반/);
    await page.locator("[data-lang-toggle]").click();
  });

  test("a new surge appears by itself, and so does its analysis", { skip: Boolean(process.env.MARU_URL) }, async () => {
    await page.goto(`${stage.url}/#/events`);
    await page.waitForSelector("[data-event]");
    const event = stage.fake.surge(8);
    await page.waitForSelector(`[data-event="${event.id}"]`);
    await page.locator(`[data-event="${event.id}"] a`).click();
    await page.waitForSelector("[data-analysis]");
    assert.equal(await page.locator("[data-engine]").count(), 0);
    stage.fake.analyse(event);
    await page.waitForSelector("[data-engine]");
  });

  test("the theme is toggled and remembered", async () => {
    const paper = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const light = await paper();
    await page.locator("[data-theme-toggle]").click();
    const dark = await paper();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await paper(), dark);
    await page.locator("[data-theme-toggle]").click();
    assert.equal(await paper(), light);
  });

  test("operations are explained where they are not served", async () => {
    await page.goto(`${stage.url}/#/operations`);
    await page.waitForSelector("[data-no-access]");
    assert.match(await page.locator("[data-no-access]").innerText(), /maru admin-url/);
  });

  test("operations with access: plugins, reload and its error, log", { skip: Boolean(process.env.MARU_URL && !process.env.MARU_ADMIN_URL) }, async () => {
    const admin = await stage.page();
    if (stage.fake) {
      stage.fake.options.admin = "locked";
      await admin.goto(`${stage.url}/#/operations`);
      await admin.locator("[data-login] input").fill("token");
      await admin.locator("[data-login] button[type=submit], [data-login] form button").click();
    } else {
      await admin.goto(stage.adminUrl);
    }
    await admin.waitForSelector("[data-plugin=streampulse]");
    await admin.waitForSelector(".log-line");
    await admin.locator("[data-reload=streampulse]").click();
    await admin.waitForSelector("[data-outcome=ok]");
    await admin.locator("[data-open=streampulse]").click();
    await admin.waitForSelector("[data-details=streampulse] [data-kept]");
    assert.match(await admin.locator("[data-details=streampulse]").innerText(), /chzzk|net|What it may reach/);
    if (stage.fake) {
      await admin.locator("[data-rolled-back=chzzk]").waitFor();
      await shoot(admin, "operations-plugin");
      await admin.locator("[data-release=soop]").click();
      await admin.locator("[data-quarantine=soop]").waitFor({ state: "detached" });
      await admin.locator("[data-details=streampulse] [data-rollback]").first().click();
      await admin.locator("[data-rolled-back=streampulse]").waitFor();
      assert.match(await admin.locator("[data-outcome=ok]").innerText(), /− net api\.example\.com:443/);
      await admin.locator("[data-reload=simulator]").click();
      await admin.locator("[data-allow=simulator]").click();
      await admin.locator("[data-outcome=ok]").waitFor();
      await admin.locator("[data-reload=guestbook]").click();
      await admin.waitForSelector("[data-outcome=failed]");
      assert.match(await admin.locator("[data-outcome=failed]").innerText(), /plugins\/guestbook\/plugin\.lua:7:/);
      await admin.locator("[data-log-search]").fill("retrying");
      await admin.waitForSelector("[data-log-found] mark");
      assert.equal(await admin.locator("[data-log-found] .log-line").count(), 5);
      assert.equal(await admin.locator("[data-log-found] mark").first().innerText(), "retrying");
      await admin.locator("[data-log-more]").click();
      await admin.waitForFunction(() => document.querySelectorAll("[data-log-found] .log-line").length === 10);
      await shoot(admin, "operations-log-search");
      await admin.locator("[data-log-search]").fill('"open');
      await admin.waitForSelector("[data-log-problem]");
      assert.match(await admin.locator("[data-log-problem]").innerText(), /a quote is not closed/);
      await admin.locator("[data-log-search]").fill("");
      await admin.waitForSelector("[data-log]");
    }
    if (stage.fake) {
      assert.match(await admin.locator("[data-driver=events]").innerText(), /kafka[\s\S]*down[\s\S]*Connection refused[\s\S]*go on without it/);
      assert.match(await admin.locator("[data-driver=cache]").innerText(), /0\.4 ms/);
      assert.match(await admin.locator("[data-driver=store]").innerText(), /degraded[\s\S]*read-only/);
      assert.match(await admin.locator("[data-node=cron-1]").innerText(), /leads cron/);
      assert.match(await admin.locator("[data-node=jobs-2]").innerText(), /missing/);
      assert.match(await admin.locator("[data-node=web-2]").innerText(), /this one[\s\S]*events down/);
    }
    await overflows(admin, "operations");
    await shoot(admin, "operations");
    assert.deepEqual(admin.troubles, []);
    await admin.context().close();
    if (stage.fake) stage.fake.options.admin = "none";
  });

  test("a plugin's own page is mounted and left again", { skip: Boolean(process.env.MARU_URL) }, async () => {
    await page.goto(`${stage.url}/#/guestbook`);
    await page.getByText("hello from a plugin page, en").waitFor();
    await page.goto(`${stage.url}/#/nowhere`);
    await page.waitForSelector("[data-note]");
    assert.equal(await page.getByText("hello from a plugin page").count(), 0);
  });

  test("a platform that cannot be reached is named with the reason", { skip: Boolean(process.env.MARU_URL) }, async () => {
    stage.fake.model.broken.add("chzzk");
    await openBoard(stage, page);
    collect();
    await page.waitForSelector(".tile-chzzk [data-platform-error]");
    assert.equal(await page.locator(".tile-chzzk [data-platform-error]").innerText(), "CHZZK unreachable: could not resolve host");
    stage.fake.model.broken.add("soop");
    collect();
    await page.waitForSelector("[data-note] [data-platform-error]");
    assert.match(await page.locator("[data-note]").innerText(), /SOOP unreachable: could not resolve host/);
    stage.fake.model.broken.clear();
    collect();
    await page.waitForSelector("[data-board] tbody tr[data-key]");
  });

  test("the server goes: the last data stays with its age; it comes back: so does the page", async () => {
    await openBoard(stage, page);
    await page.waitForSelector("[data-link=open]");
    const shown = await rows(page);
    await takeShifts(page);
    if (stage.fake) await stage.fake.stop();
    else await page.context().setOffline(true);
    await page.waitForSelector("[data-banner]", { timeout: 60000 });
    assert.deepEqual((await rows(page)).map((r) => r.key), shown.map((r) => r.key));
    assert.match(await page.locator("[data-banner]").innerText(), /\d\d:\d\d:\d\d/);
    await page.waitForTimeout(400);
    await shoot(page, "gone");
    if (stage.fake) await stage.fake.listen();
    else await page.context().setOffline(false);
    await page.waitForSelector("[data-banner]", { state: "detached", timeout: 60000 });
    await page.waitForSelector("[data-link=open]");
    const { value, sources } = await takeShifts(page);
    assert.ok(value < 0.01, `shift ${value} by ${sources}`);
    const before = await rows(page);
    collect();
    await eventually(async () => (await rows(page)).some((row, i) => row.viewers !== before[i]?.viewers), "updates again", UPDATE_MS);
  });

  test("nothing overflows on a phone, in either language, by day and by night", async () => {
    const event = await analysed();
    const routes = { live: "#/live", channel: `#/channels/${event.platform}/${encodeURIComponent(event.channel_id)}`, events: "#/events", event: `#/events/${event.id}`, operations: "#/operations" };
    for (const [locale, colorScheme] of [["ko-KR", "dark"], ["en-GB", "light"]]) {
      const phone = await stage.page({ viewport: { width: 390, height: 844 }, locale, colorScheme, hasTouch: true, isMobile: true });
      for (const [name, route] of Object.entries(routes)) {
        await phone.goto(`${stage.url}/${route}`);
        await settled(phone, name);
        await overflows(phone, name);
        await shoot(phone, `${name}-390-${colorScheme}`);
      }
      assert.deepEqual(phone.troubles, []);
      await phone.context().close();
    }
  });

  test("at 1280 px by day and by night", async () => {
    const event = await analysed();
    for (const [locale, colorScheme] of [["ko-KR", "light"], ["en-GB", "dark"]]) {
      const wide = await stage.page({ locale, colorScheme });
      for (const [name, route] of Object.entries({ live: "#/live", channel: `#/channels/${event.platform}/${encodeURIComponent(event.channel_id)}`, events: `#/events/${event.id}` })) {
        await wide.goto(`${stage.url}/${route}`);
        await settled(wide, name);
        await overflows(wide, name);
        await shoot(wide, `${name}-1280-${colorScheme}`);
      }
      assert.deepEqual(wide.troubles, []);
      await wide.context().close();
    }
  });

  test("asks nobody else, breaks no policy, raises nothing", async () => {
    assert.deepEqual(page.foreign, []);
    assert.deepEqual(await page.evaluate("window.__violations"), []);
    assert.deepEqual(page.troubles, []);
  });

  test("comes over HTTP/2", { skip: !process.env.MARU_URL?.startsWith("https:") }, async () => {
    await openBoard(stage, page);
    const protocols = await page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .filter((entry) => entry.responseStatus) // a request that was given up has no protocol
      .map((entry) => [entry.name, entry.nextHopProtocol]));
    assert.ok(protocols.length > 10);
    assert.deepEqual(protocols.filter(([, protocol]) => protocol !== "h2"), []);
  });
});

async function settled(where, name) {
  const wanted = { live: "[data-board] tbody tr[data-key]", channel: "[data-chart] canvas", events: "[data-event]", event: "[data-analysis]", operations: "[data-no-access]" };
  await where.waitForSelector(wanted[name]);
  await where.waitForTimeout(name === "live" || name === "operations" ? 300 : 600);
}

async function overflows(where, name) {
  const beyond = await where.evaluate(() => {
    const edge = document.documentElement.clientWidth;
    return { page: document.documentElement.scrollWidth - edge,
      who: [...document.querySelectorAll("main *, header *")].filter((e) => e.getBoundingClientRect().right > edge + 1 && !e.closest(".nav, .u-over, .hidden")).map((e) => e.className || e.nodeName).slice(0, 5) };
  });
  assert.ok(beyond.page <= 0, `${name} is ${beyond.page} px too wide: ${beyond.who}`);
  assert.deepEqual(beyond.who, [], `${name}: elements beyond the edge`);
}

async function shoot(where, name) {
  await where.screenshot({ path: path.join(stage.shots, `${name}.png`) });
}
