/** The pages that look into cache, events and log, in the real program: what is there, who may see it, and nothing moved by looking. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, open } from "./real.mjs";
import { startServer } from "./real_server.mjs";
import { eventually } from "./stage.mjs";

const SHOP = `
local M = { name = "shop", version = "1.0.0" }
M.routes = { ["POST /fill"] = function(app)
  local c = app.cache
  c:set("session:kim", { user = "김하늘", cart = { 3, 14 }, admin = false }, "2h")
  c:set("session:lee", { user = "lee" }, "2h")
  c:set("motd", "<b>오늘</b>은 무료 배송")
  c:set("icon", "\\137PNG\\13\\10\\26\\10" .. ("\\0\\255"):rep(20))
  c:incr("visits", 1200)
  for i = 1, 700 do c:set(("page:%04d"):format(i), { body = ("x"):rep(i) }, "10m") end
  for i = 1, 40 do c:get("page:" .. i) c:get("visits") end
  return 200, {}
end,
["POST /parcels"] = function(app)
  for i = 1, 40 do app.log:info("parcel weighed", { n = i, to = "강남" }) end
  for _ = 1, 2 do app.log:error("parcel <b>lost</b>") end
  return 200, {}
end,
["POST /orders"] = function(app, req)
  for i = req:json().from, req:json().to do
    assert(app.events:emit("shop.orders", { order = i, who = i % 2 == 0 and "김하늘" or "lee", items = { { sku = "S-" .. i, n = 2 } } },
      { key = "customer-" .. i % 5, headers = { source = "web" } }))
  end
  return 200, {}
end }
return M
`;
const OTHER = `
local M = { name = "mail", version = "1.0.0" }
M.routes = { ["POST /fill-mail"] = function(app)
  app.cache:set("session:kim", "other's", "1h")
  return 200, {}
end }
M.on = { ["shop.orders"] = { retries = 0, function(app, event)
  app.log:info("order taken", { order = event.data.order, who = event.data.who })
  if event.data.order == 13 then error("no thirteenth order") end
end } }
return M
`;

describe("the monitors", { timeout: 300000 }, () => {
  let maru;
  let browser;
  const shots = process.env.MARU_SHOTS;
  const shoot = async (page, name, fullPage = true) => shots && page.screenshot({ path: path.join(shots, `${name}.png`), fullPage });

  before(async () => {
    maru = await startServer({ shop: SHOP, mail: OTHER }, { "admin.listen": "127.0.0.1:0", "logs.search": "true", "lanes.web": "1", "lanes.job": "1" });
    for (const route of ["/fill", "/fill-mail"]) assert.equal((await fetch(maru.url + route, { method: "POST" })).status, 200);
    await orders(1, 150);
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await maru?.stop();
  });

  async function orders(from, to) {
    const answer = await fetch(`${maru.url}/orders`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ from, to }) });
    assert.equal(answer.status, 200);
  }

  async function enter(route, options = {}, token = "admin.token") {
    const url = new URL(maru.adminUrl);
    url.searchParams.set("token", readFileSync(`${maru.dir}/state/${token}`, "utf8").trim());
    const page = await open(browser, url.href, options);
    await page.goto(`${url.origin}/#${route}`);
    return page;
  }

  async function leave(page) {
    assert.deepEqual(page.troubles, []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the window");
    await page.context().close();
  }

  const keys = (page) => page.locator("[data-cache-key]").evaluateAll((rows) => rows.map((row) => row.dataset.cacheKey));

  test("the cache's entries are found by beginning, pattern and plugin", async () => {
    const page = await enter("/operations/cache");
    await page.getByText("and there are more").waitFor();
    assert.ok((await keys(page)).length >= 200);
    await page.locator("[data-cache-search]").fill("*:session:*");
    await eventually(async () => (await keys(page)).join() === "mail:session:kim,shop:session:kim,shop:session:lee", "three sessions");
    await page.locator("[data-cache-plugin]").selectOption("shop");
    await page.locator("[data-cache-search]").fill("session:k");
    await eventually(async () => (await keys(page)).join() === "shop:session:kim", "one session");
    await page.locator("[data-cache-search]").fill("nothing");
    await page.getByText("No key is like that").waitFor();
    await page.locator("[data-cache-search]").fill("page:");
    await eventually(async () => {
      const more = page.locator("[data-cache-more]");
      if (await more.count()) await more.click({ timeout: 1000 }).catch(() => {}); /* it may be gone by then: look again */
      return (await keys(page)).filter((key) => key.startsWith("shop:page:")).length === 700;
    }, "all 700 pages");
    const figures = await page.locator("[data-cache-figures]").innerText();
    assert.match(figures, /50%/);
    assert.match(figures, /40 of hits, 40 of misses/);
    await leave(page);
  });

  test("an entry is opened, and deleted after a question", async () => {
    const page = await enter("/operations/cache?q=shop:session");
    await page.getByRole("link", { name: "shop:session:kim" }).click();
    const one = page.locator("[data-cache-entry]");
    await one.locator("[data-value=json]").waitFor();
    assert.match(await one.locator("pre").innerText(), /"user": "김하늘"/);
    assert.match(await one.innerText(), /1h 59m/);
    await shoot(page, "cache-desktop-light");
    await one.locator("[data-cache-delete]").click();
    await one.getByRole("button", { name: "Keep" }).click();
    await one.locator("[data-cache-delete]").click();
    await one.locator("[data-cache-sure]").click();
    await page.getByText("shop:session:kim is deleted.").waitFor();
    await eventually(async () => (await keys(page)).join() === "shop:session:lee", "one is left");
    await page.goto(`${new URL(page.url()).origin}/#/operations`);
    const audit = page.locator("section:has(#ops-audit)");
    await audit.getByText("cache.delete").waitFor();
    assert.match(await audit.innerText(), /cache\.read\s+shop:session:kim/);
    await leave(page);
  });

  test("bytes are shown as such, and no markup of a value's is drawn", async () => {
    const page = await enter("/operations/cache?q=shop:icon&key=shop:icon", { colorScheme: "dark" });
    await page.locator("[data-value=hex]").waitFor();
    assert.match(await page.locator("[data-value=hex] pre").innerText(), /000000 {2}89 50 4e 47 .*·PNG/);
    await shoot(page, "cache-desktop-dark-hex");
    await page.goto(`${new URL(page.url()).origin}/#/operations/cache?q=shop:motd&key=shop:motd`);
    await page.getByText("<b>오늘</b>은 무료 배송").waitFor();
    assert.equal(await page.locator("[data-value] b").count(), 0);
    await leave(page);
  });

  test("a viewer sees keys, and no value", async () => {
    const page = await enter("/operations/cache?q=mail:&key=mail:session:kim", { locale: "ko-KR", viewport: { width: 390, height: 844 }, colorScheme: "dark" }, "viewer.token");
    await page.locator("[data-cache-hidden]").waitFor();
    await eventually(async () => (await keys(page)).join() === "mail:session:kim", "its key");
    assert.equal(await page.locator("[data-cache-delete], [data-value]").count(), 0);
    assert.doesNotMatch(await page.locator(".ops").innerText(), /other's/);
    await page.getByText("보기 전용").waitFor();
    await shoot(page, "cache-phone-dark-ko-viewer");
    await leave(page);
    if (!shots) return; /* what follows is only to be looked at */
    const light = await enter("/operations/cache?q=shop:page:00", { locale: "ko-KR", viewport: { width: 390, height: 844 } });
    await eventually(async () => (await keys(light)).length === 99, "99 pages");
    await shoot(light, "cache-phone-light-ko", false);
    await leave(light);
  });

  const offsets = (page) => page.locator("[data-event]").evaluateAll((rows) => rows.map((row) => Number(row.dataset.event.split(":")[1])));

  test("topics are listed with those who hear them, and dead letters stand out", async () => {
    const page = await enter("/operations/stream");
    const row = page.locator('[data-topic="shop.orders"]');
    await eventually(async () => /mail$/m.test(await row.locator(".c-heard").innerText()), "mail has heard all of it");
    assert.match(await row.innerText(), /\b150\b/);
    await page.locator('[data-topic="shop.orders.dead"] .pill').waitFor();
    await shoot(page, "stream-desktop-light");
    await page.locator("[data-topic-search]").fill("dead");
    await eventually(async () => await page.locator("[data-topic]").count() === 1, "one topic");
    await page.getByRole("link", { name: "shop.orders.dead" }).click();
    await page.locator("[data-event]").click();
    await page.getByText("no thirteenth order").waitFor();
    await shoot(page, "stream-desktop-light-dead");
    await leave(page);
  });

  test("events of a topic are found from either end, by text, key and offset, and come by themselves", async () => {
    const page = await enter("/operations/stream/shop.orders", { colorScheme: "dark" });
    await eventually(async () => (await offsets(page)).length === 100, "a page of the newest");
    assert.deepEqual((await offsets(page)).slice(0, 2), [149, 148]);
    await page.locator("[data-stream-more]").click();
    await eventually(async () => (await offsets(page)).length === 150, "all of them");
    await orders(151, 152);
    await eventually(async () => (await offsets(page)).slice(0, 3).join() === "151,150,149", "two that came");
    await page.locator('[data-event="0:151"] .message-line').click();
    assert.match(await page.locator('[data-event="0:151"] pre').innerText(), /"who": "김하늘"/);
    await shoot(page, "stream-desktop-dark-topic", false);
    await page.locator("[data-event-search]").fill("s-77");
    await eventually(async () => (await offsets(page)).join() === "76", "the one order");
    await page.locator("[data-event-search]").fill("");
    await page.locator("[data-event-key]").fill("customer-3");
    await eventually(async () => (await offsets(page)).slice(0, 3).join() === "147,142,137", "one customer's");
    await page.locator("[data-event-key]").fill("");
    await page.locator("[data-event-offset]").fill("20");
    await eventually(async () => (await offsets(page)).slice(0, 3).join() === "20,19,18", "from an offset back");
    await page.getByRole("radio", { name: "Oldest first" }).check();
    await eventually(async () => (await offsets(page)).slice(0, 3).join() === "20,21,22", "and on");
    await leave(page);
    const phone = await enter("/operations/stream/shop.orders", { locale: "ko-KR", viewport: { width: 390, height: 844 } }, "viewer.token");
    await eventually(async () => (await offsets(phone)).length === 100, "a page");
    await phone.locator("[data-event-search]").fill("S-150");
    await eventually(async () => (await offsets(phone)).join() === "149", "one");
    await phone.locator("[data-event] .message-line").click();
    await shoot(phone, "stream-phone-light-ko");
    await leave(phone);
    if (!shots) return;
    const list = await enter("/operations/stream", { locale: "ko-KR", viewport: { width: 390, height: 844 }, colorScheme: "dark" });
    await list.locator('[data-topic="shop.orders"]').waitFor();
    await shoot(list, "stream-phone-dark-ko");
    await leave(list);
  });

  test("lines of the log are counted and found by words, plugin and time, and lead to their job", async () => {
    const page = await enter("/operations/logs");
    const lines = (on) => on.locator("[data-line]").count();
    const total = (text) => eventually(async () => await page.locator("[data-logs-said]").innerText() === text, text);
    const search = (words) => page.locator("[data-logs-search]").fill(words);
    const weigh = () => fetch(`${maru.url}/parcels`, { method: "POST" });
    await weigh();
    await search("parcel");
    await total("42 lines");
    await eventually(async () => await lines(page) === 42, "all of them");
    assert.equal(await page.locator("[data-line] mark").first().innerText(), "parcel");
    assert.equal(await page.locator("[data-logs] b").count(), 0, "no markup of the log's is drawn");
    assert.equal(await page.locator("[data-bar]").evaluateAll((bars) => bars.reduce((n, bar) => n + Number(bar.dataset.bar), 0)), 42);
    assert.match(await page.locator('[data-facet="level:error"]').innerText(), /2$/);
    await weigh();
    await total("84 lines");
    await page.locator('[data-facet="level:error"]').click();
    await total("4 lines");
    await page.getByRole("radio", { name: "info" }).check();
    await page.locator('[data-facet="plugin:shop"]').click();
    await search("\"order taken\"");
    await page.getByText("No line is like that.").waitFor();
    await page.locator('[data-facet="plugin:shop"]').click();
    await eventually(async () => /^15\d lines$/.test(await page.locator("[data-logs-said]").innerText()), "those of every plugin");
    await page.goto(`${new URL(page.url()).origin}/#/operations/logs?q=${encodeURIComponent('"order taken" "order 77"')}`);
    await total("1 lines");
    await page.locator("[data-line] .log-press").click();
    await page.locator("[data-line-job]").waitFor();
    await shoot(page, "logs-desktop-light-line", false);
    await page.locator("[data-line-job]").click();
    await page.locator("[data-job-log]").click();
    await eventually(async () => await lines(page) === 1 && /order taken/.test(await page.locator("[data-line]").innerText()), "the job's own line");
    await page.goto(`${new URL(page.url()).origin}/#/operations/logs`);
    await page.locator("[data-bar]:not(:disabled)").first().waitFor();
    await shoot(page, "logs-desktop-light", false);
    await page.locator("[data-bar]:not(:disabled)").last().click();
    await page.locator("[data-logs-span]").click();
    await eventually(async () => await page.locator("[data-logs-span]").count() === 0, "all of the time again");
    await leave(page);
    const phone = await enter("/operations/logs?q=taken", { locale: "ko-KR", viewport: { width: 390, height: 844 }, colorScheme: "dark" }, "viewer.token");
    await eventually(async () => await lines(phone) === 100, "a page");
    await shoot(phone, "logs-phone-dark-ko");
    await leave(phone);
  });
});
