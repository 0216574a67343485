/** The pages about jobs: with the stand-in, and with the real program and 100,000 jobs in it (JOBS says how many). */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, maru, open, serve, write } from "./real.mjs";
import { SHOP } from "./shop.mjs";
import { eventually, openStage } from "./stage.mjs";

const TABS = { overview: "", queues: "/queues", jobs: "/jobs", schedules: "/schedules", workers: "/workers" };

/* What stands on a page once its answers came. */
const SHOWN = { overview: ".log-line", queues: "[data-queue=low]", jobs: "[data-job]", schedules: "[data-schedule=expire]", workers: "[data-lane] li", job: "[data-job-page]", waiting: "[data-why]" };

async function overflows(page, name) {
  const beyond = await page.evaluate(() => {
    const edge = document.documentElement.clientWidth;
    return { page: document.documentElement.scrollWidth - edge,
      who: [...document.querySelectorAll("main *, header *")].filter((e) => e.getBoundingClientRect().right > edge + 1 && !e.closest(".nav, .hidden, .jobs-list, svg")).map((e) => e.className || e.nodeName).slice(0, 5) };
  });
  assert.ok(beyond.page <= 0, `${name} is ${beyond.page} px too wide: ${beyond.who}`);
  assert.deepEqual(beyond.who, [], `${name}: elements beyond the edge`);
}

describe("the pages about jobs", () => {
  let stage;
  let page;
  before(async () => {
    stage = await openStage();
    stage.fake.options.admin = "open";
    page = await stage.page();
  });
  after(() => stage.close());
  const go = (where) => page.goto(`${stage.url}/#/operations${where}`);
  const rows = () => page.locator("[data-job]").evaluateAll((all) => all.map((row) => row.dataset.job));

  test("tabs lead to each other and say where one is", async () => {
    await go("");
    for (const tab of ["Queues", "Jobs", "Schedules", "Workers", "Overview"]) {
      await page.locator(".tabs a", { hasText: tab }).click();
      await page.locator(`[data-operations=${tab.toLowerCase()}]`).waitFor();
      assert.equal(await page.locator(".tabs a[aria-current=page]").innerText(), tab);
    }
  });

  test("a queue shows its rates, is paused, limited and let go on", async () => {
    await go("/queues");
    await page.locator("[data-queue=collect] .row-name").click();
    await page.locator("[data-rates=collect] .rates-line").first().waitFor({ state: "attached" });
    const plot = page.locator("[data-rates=collect] .rates-box");
    const reading = () => page.locator(".rates-when").innerText();
    const newest = await reading();
    await plot.focus();
    await page.keyboard.press("ArrowLeft");
    await eventually(async () => (await reading()) !== newest, "an earlier reading");
    await page.locator("input[name=rates-range][value='24h']").check();
    await page.locator("[data-queue=collect] [data-pause]").click();
    await page.locator("[data-queue=collect] .pill-warn").waitFor();
    await page.locator("[data-queue=collect] [data-pause]").click();
    await page.locator("[data-queue=collect] .pill-warn").waitFor({ state: "detached" });
    await page.locator("[data-queue=collect] [data-limits]").click();
    const form = page.locator("[data-limits-form]");
    assert.equal(await form.locator("[name=rate]").inputValue(), "100/m");
    assert.equal(await form.locator("[name=concurrency]").inputValue(), "");
    await form.locator("[name=rate]").fill("");
    await form.locator("[name=concurrency]").fill("7");
    await form.locator(".button-main").click();
    await eventually(async () => /7 at once/.test(await page.locator("[data-queue=collect]").innerText()), "the limit");
    assert.doesNotMatch(await page.locator("[data-queue=collect]").innerText(), /100\/m/);
  });

  test("a search narrows down, in the address too", async () => {
    await go("/jobs");
    await page.locator("[data-job]").first().waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("kind:streampulse.detect state:dead unreachable");
    await eventually(async () => (await rows()).length > 0 && (await page.locator("[data-job]:not([data-state=dead])").count()) === 0, "dead jobs only");
    assert.match(decodeURIComponent(page.url()), /state:dead/);
    assert.equal(await page.locator("[data-choose=dead]").getAttribute("aria-pressed"), "true");
    await eventually(async () => /\d/.test(await page.locator("[data-choose=dead]").innerText()), "a count");
    await page.locator("[data-choose=all]").click();
    await page.locator("[data-search]").fill("nobody has this");
    await page.locator("[data-note]").waitFor();
    await page.reload();
    assert.equal(await page.locator("[data-search]").inputValue(), "nobody has this");
  });

  test("no arguments are shown where none are kept", async () => {
    await go("/jobs?q=state:done");
    await page.locator("[data-job][data-state=done]").first().waitFor();
    const lines = await page.locator("[data-job][data-state=done] .job-line").allInnerTexts();
    assert.ok(lines.every((line) => line !== "{}"), lines.join());
  });

  test("a list of any length draws what is in sight", async () => {
    await go("/jobs");
    await page.locator("[data-job='900']").waitFor();
    assert.ok((await page.locator("[data-job]").count()) < 60);
    await eventually(async () => {
      await page.locator("[data-jobs]").evaluate((box) => { box.scrollTop = box.scrollHeight; });
      return (await page.locator("[data-job='1']").count()) === 1;
    }, "the oldest job");
    assert.ok((await page.locator("[data-job]").count()) < 60);
    await page.locator("[data-jobs]").evaluate((box) => { box.scrollTop = 0; });
    await page.locator("[data-job='900']").waitFor();
  });

  test("one job tells its attempts, its arguments and why it does not run", async () => {
    await go("/jobs?q=state:dead");
    await page.locator("[data-job] .row-name").first().click();
    await page.locator("[data-job-page]").waitFor();
    assert.equal(await page.locator("[data-attempt]").count(), 3);
    await page.locator("[data-attempt] summary").first().click();
    assert.match(await page.locator("[data-attempt] pre").first().innerText(), /stack traceback/);
    await page.locator("[data-verb=retry]").click();
    await page.locator("[data-job-page][data-state=ready]").waitFor();
    await page.locator("[data-why]").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("[data-jobs]").waitFor();
    assert.match(decodeURIComponent(page.url()), /state:dead/);
    await go("/jobs/999999");
    await page.locator("[data-note]").waitFor();
  });

  test("all that match are changed after they were counted", async () => {
    await go("/jobs");
    await page.locator("[data-job]").first().waitFor();
    assert.ok(await page.locator("[data-bulk]").isDisabled());
    await page.locator("[data-choose=dead]").click();
    await eventually(async () => (await page.locator("[data-job]:not([data-state=dead])").count()) === 0 && (await rows()).length > 0, "dead jobs");
    await page.locator("[data-bulk]").click();
    const dialog = page.locator("[data-bulk-dialog]");
    await eventually(async () => /\d+ jobs match/.test(await dialog.locator("[data-bulk-count]").innerText()), "the count");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.ok((await rows()).length > 0, "nothing was changed");
    await page.locator("[data-bulk]").click();
    await page.locator("[data-bulk-run]:not([disabled])").click();
    await eventually(async () => (await rows()).length === 0, "no dead jobs");
  });

  test("schedules tell their next runs and when the clock changes", async () => {
    await go("/schedules");
    await page.locator("[data-open-schedule=backup]").click();
    assert.equal(await page.locator(".next-runs time").count(), 5);
    assert.match(await page.locator("[data-clock-change]").innerText(), /60 min forward/);
    await page.locator("[data-pause-schedule=backup]").click();
    await page.locator("[data-schedule=backup] .pill-warn").waitFor();
    await page.locator("[data-pause-schedule=backup]").click();
    await page.locator("[data-run=collect]").click();
    await page.locator("[data-schedule=collect] a[href*='jobs/901']").waitFor();
  });

  test("workers tell what they run", async () => {
    await go("/workers");
    await page.locator("[data-lane=job0] li").first().waitFor();
    const before = await page.locator("[data-lane=job0] li").count();
    await page.locator("[data-lane=job0] li button").first().click();
    await eventually(async () => (await page.locator("[data-lane=job0] li").count()) < before, "one less");
    assert.equal(await page.locator("[data-lane=job0] [role=progressbar]").count(), await page.locator("[data-lane=job0] li").count());
  });

  test("who may only look sees no buttons", async () => {
    stage.fake.admin.role = "viewer";
    const viewer = await stage.page();
    for (const where of [...Object.values(TABS), "/jobs/895", "/jobs?q=state:ready"]) {
      await viewer.goto(`${stage.url}/#/operations${where}`);
      await viewer.locator("[data-viewer]").waitFor();
      await viewer.waitForTimeout(250);
      const buttons = await viewer.locator("main .button:visible").evaluateAll((all) => all.filter((b) => b.tagName === "BUTTON" && !b.closest(".code-box")).map((b) => b.innerText));
      assert.deepEqual(buttons, [], where);
    }
    stage.fake.admin.role = "operator";
    await viewer.context().close();
  });

  test("nothing is asked for while the tab is hidden", async () => {
    const hidden = await stage.page();
    await hidden.goto(`${stage.url}/#/operations/jobs`);
    await hidden.locator("[data-job]").first().waitFor();
    await hidden.evaluate(() => {
      Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
      window.asked = 0;
      const real = window.fetch;
      window.fetch = (...args) => { window.asked += String(args[0]).includes("/admin/v1/jobs"); return real(...args); };
    });
    await hidden.waitForTimeout(2600);
    assert.equal(await hidden.evaluate("window.asked"), 0);
    await hidden.evaluate(() => Object.defineProperty(document, "hidden", { get: () => false, configurable: true }));
    await eventually(async () => (await hidden.evaluate("window.asked")) > 0, "it is followed again");
    await hidden.context().close();
  });

  test("nothing overflows, wide or on a phone, in either language, by day and by night", async () => {
    for (const [width, locale, colorScheme] of [[1280, "en-GB", "light"], [1280, "ko-KR", "dark"], [390, "ko-KR", "light"], [390, "en-GB", "dark"]]) {
      const where = await stage.page({ viewport: { width, height: width === 390 ? 844 : 900 }, locale, colorScheme, isMobile: width === 390, hasTouch: width === 390 });
      for (const [name, tab] of Object.entries({ ...TABS, job: "/jobs/898", waiting: "/jobs/896" })) {
        await where.goto(`${stage.url}/#/operations${tab}`);
        await where.locator(SHOWN[name]).first().waitFor({ state: "attached" });
        if (name === "queues") await where.locator("[data-limits]").nth(1).click();
        if (name === "schedules") await where.locator("[data-open-schedule=backup]").click();
        await where.waitForTimeout(100);
        await overflows(where, `${name} ${width}`);
        await where.screenshot({ path: path.join(stage.shots, `jobs-${name}-${width}-${colorScheme}.png`) });
      }
      assert.deepEqual(where.troubles, []);
      await where.context().close();
    }
  });

  test("what is left while it scrolls hears of it no more", async () => {
    for (const [where, shown, box] of [["", ".log-line", "[data-log]"], ["/jobs", "[data-job='900']", "[data-jobs]"]]) {
      await go(where);
      await page.locator(shown).first().waitFor();
      /* The scroll's event comes with a frame; the page is left at once. */
      const height = await page.locator(box).evaluate((e) => {
        const room = e.scrollHeight - e.clientHeight;
        e.scrollTop = e.scrollTop > 0 ? 0 : room;
        location.hash = "#/operations/workers";
        dispatchEvent(new Event("hashchange"));
        return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(room))));
      });
      assert.ok(height > 0, `${box} has nothing to scroll`);
      await page.locator("[data-operations=workers]").waitFor();
    }
    assert.deepEqual(page.troubles, []);
  });

  test("asks nobody else, breaks no policy, raises nothing", async () => {
    assert.deepEqual(page.foreign, []);
    assert.deepEqual(await page.evaluate("window.__violations"), []);
    assert.deepEqual(page.troubles, []);
  });
});

describe("the same with the real program", () => {
  const count = Number(process.env.JOBS ?? 100000);
  let server;
  let browser;
  let link;
  let page;
  before(async () => {
    server = await serve({ "admin.listen": "127.0.0.1:0", "plugins.watch": "false" }, (plugins) => write(plugins, "shop/plugin.lua", SHOP));
    link = maru("admin-url", "--set", `state.dir=${server.dir}/state`).trim();
    const filled = await fetch(`${server.url}/fill`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ count, running: 6 }) });
    assert.equal(filled.status, 200);
    browser = await launch();
    page = await open(browser, link);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  const admin = async (where) => (await page.context().request.get(`${new URL(link).origin}/admin/v1${where}`)).json();
  const go = (where) => page.goto(`${new URL(link).origin}/#/operations${where}`);

  test("pages paint soon with many jobs", async (t) => {
    const queues = await eventually(async () => {
      const all = await admin("/queues");
      return all.reduce((n, q) => n + q.delayed + q.running + q.dead, 0) === count + 46 && all;
    }, "every job in its place");
    t.diagnostic(`${queues.reduce((n, q) => n + q.delayed, 0)} delayed, ${queues.reduce((n, q) => n + q.dead, 0)} dead, ${queues.reduce((n, q) => n + q.running, 0)} running`);
    for (const [name, where, wanted] of [["queues", "/queues", "[data-queue=mail]"], ["jobs", "/jobs", "[data-job]"], ["search", "/jobs?q=state:delayed lee99", "[data-job]"], ["dead", "/jobs?q=state:dead", "[data-job]"], ["workers", "/workers", "[data-lane] li"]]) {
      await page.goto("about:blank");
      await go(where);
      await page.locator(wanted).first().waitFor();
      const { paint, shown } = await page.evaluate(() => ({ paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0, shown: performance.now() }));
      t.diagnostic(`${name}: first paint ${paint.toFixed(0)} ms, rows shown after ${shown.toFixed(0)} ms`);
      assert.ok(paint > 0);
    }
  });

  test("a dead job is retried, a running one cancelled", async () => {
    await go("/jobs?q=state:dead");
    const id = await page.locator("[data-job]").first().getAttribute("data-job");
    const failed = (await admin("/queues")).find((q) => q.queue === "payments").failed_total;
    await page.locator(`[data-job='${id}'] button`).click();
    await eventually(async () => (await admin("/queues")).find((q) => q.queue === "payments").failed_total === failed + 1, "another try");
    await go("/workers");
    await page.locator("[data-lane] li button").first().click();
    await eventually(async () => (await admin("/queues")).find((q) => q.queue === "crawl").running === 5, "one less running");
  });

  test("one job has its attempts with where they failed", async () => {
    const { jobs } = await admin("/jobs?state=dead&limit=1");
    await go(`/jobs/${jobs[0].id}`);
    await page.locator("[data-attempt]").first().waitFor();
    assert.match(await page.locator("[data-job-page]").innerText(), /gateway refused card of order/);
    assert.match(await page.locator("[data-job-page]").innerText(), /plugins\/shop\/plugin\.lua:6/);
  });

  test("a queue is paused and goes on", async () => {
    await go("/queues");
    await page.locator("[data-queue=mail] [data-pause]").click();
    await eventually(async () => (await admin("/queues")).find((q) => q.queue === "mail").paused, "a pause");
    await page.locator("[data-queue=mail] .pill-warn").waitFor();
    await page.locator("[data-queue=mail] [data-pause]").click();
    await eventually(async () => !(await admin("/queues")).find((q) => q.queue === "mail").paused, "its end");
  });

  test("thousands are cancelled at once", async (t) => {
    await go("/jobs?q=state:delayed queue:mail kim");
    await page.locator("[data-job]").first().waitFor();
    await page.locator("[data-bulk]").click();
    await page.locator("input[name=bulk-action][value=cancel]").check();
    const run = page.locator("[data-bulk-run]:not([disabled])", { hasText: "Cancel" });
    await run.waitFor();
    const before = (await admin("/queues")).find((q) => q.queue === "mail").delayed;
    const began = Date.now();
    await run.click();
    await page.locator("[data-bulk-dialog]").waitFor({ state: "detached", timeout: 60000 });
    const left = (await admin("/queues")).find((q) => q.queue === "mail").delayed;
    t.diagnostic(`${before - left} jobs cancelled in ${Date.now() - began} ms`);
    assert.ok(left < before);
    assert.equal((await admin("/jobs?state=delayed&queue=mail&q=kim")).jobs.length, 0);
    assert.deepEqual(page.troubles, []);
  });
});
