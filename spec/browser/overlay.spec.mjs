/** The development overlay, on the real server: a plugin breaks, every page shows the line, the fix takes it away. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch, open as openPage, serve, shotsFolder, write } from "./real.mjs";
import { eventually } from "./stage.mjs";

const GOOD = `--- A plugin that is broken and mended while pages look at it.
local M = { name = "sample", version = "1.0.0" }

M.routes = {
  ["GET /sample"] = function() return 200, { number = 1 } end,
  ["GET /fails"] = function(app)
    local nothing = app.config.nothing
    return 200, nothing.here
  end,
}

return M
`;
/* Line 5 of the source, which only a long scroll would show whole. */
const BROKEN = GOOD.replace("return 200, { number = 1 }", "return 200 { number = 1 } -- <b>&amp; a comment that makes this line rather longer than a phone is wide, 한국어도</b>");
const FIXED = GOOD.replace("number = 1", "number = 2").replace("nothing.here", "{ fine = true }");

let server, browser, shots;

const start = (settings) => serve(settings, (plugins) => {
  write(plugins, "sample/plugin.lua", GOOD);
  write(plugins, "sample/public/own.html", "<!doctype html><html lang=ko><title>own</title><h1>자기 페이지</h1></html>\n");
});
const save = (text) => write(server.dir, "plugins/sample/plugin.lua", text);
const open = (route, options) => openPage(browser, server.url + route, options);
const overlay = (page) => page.locator("maru-overlay dialog");
const shown = (page, text = "") => overlay(page).filter({ hasText: text }).waitFor({ state: "visible" });
const gone = (page) => page.locator("maru-overlay").waitFor({ state: "detached" });
const shoot = (page, name) => page.screenshot({ path: path.join(shots, `overlay-${name}.png`) });

before(async () => {
  shots = shotsFolder();
  server = await start({});
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("every open page shows the line that broke, and what serves on; the fix takes it away", async () => {
  const dashboard = await open("/#/events");
  const own = await open("/plugins/sample/own.html", { locale: "ko-KR" });
  save(BROKEN);
  await Promise.all([shown(dashboard, "plugin.lua:5"), shown(own, "plugin.lua:5")]);

  assert.equal(await overlay(dashboard).getAttribute("role"), "alertdialog");
  const text = await overlay(dashboard).innerText();
  assert.match(text, /sample was not reloaded/);
  assert.match(text, /plugins\/sample\/plugin\.lua:5/);
  assert.match(text, /sample@[0-9a-f]{12} keeps serving\./);
  assert.match(text, /maru check sample/);
  const failing = overlay(dashboard).locator(".failing");
  assert.equal(await failing.getAttribute("data-line"), "5");
  assert.match(await failing.innerText(), /return 200 \{ number = 1 \} -- <b>&amp; a comment/);
  const lines = await overlay(dashboard).locator("[data-line]").evaluateAll((spans) => spans.map((s) => Number(s.dataset.line)));
  assert.deepEqual(lines, [2, 3, 4, 5, 6, 7, 8]);
  assert.match(await overlay(own).innerText(), /sample 플러그인을 다시 읽지 못했습니다/);
  assert.equal((await (await fetch(`${server.url}/sample`)).json()).number, 1);

  save(FIXED);
  await Promise.all([gone(dashboard), gone(own)]);
  assert.equal((await (await fetch(`${server.url}/sample`)).json()).number, 2);
  assert.deepEqual([...dashboard.troubles, ...own.troubles], []);
  await dashboard.context().close();
  await own.context().close();
});

test("a page that is opened while a plugin is broken shows it, and so does putting the old text back", async () => {
  save(GOOD);
  save(BROKEN);
  await eventually(async () => (await fetch(`${server.url}/sample`)).ok && readFileSync(`${server.dir}/log`, "utf8").includes("keeps serving"), "the failed reload");
  const page = await open("/#/events");
  await shown(page);
  save(GOOD);
  await gone(page);
  await page.context().close();
});

test("Esc hides it until the next error, and gives the focus back", async () => {
  const page = await open("/#/events");
  await page.locator("[data-theme-toggle]").focus();
  save(BROKEN);
  await shown(page);
  assert.equal(await page.evaluate(() => document.querySelector("maru-overlay").shadowRoot.activeElement?.className), "close");
  await page.keyboard.press("Escape");
  await gone(page);
  assert.ok(await page.evaluate(() => document.activeElement?.hasAttribute("data-theme-toggle")));
  save(BROKEN.replace("a comment", "another comment"));
  await shown(page);
  await page.locator("maru-overlay [data-hide]").click();
  await gone(page);
  save(GOOD);
  await page.context().close();
});

test("a handler that raises answers a browser with its line, and comes back with the fix", async () => {
  save(GOOD);
  const page = await open("/fails", { locale: "ko-KR" });
  assert.match(await page.locator("h1").innerText(), /핸들러가 실패했습니다/);
  assert.match(await page.locator(".message").innerText(), /attempt to index local 'nothing' \(a nil value\)/);
  assert.match(await page.locator(".at").innerText(), /plugins\/sample\/plugin\.lua:8/);
  assert.match(await page.locator(".failing").innerText(), /8\s*return 200, nothing\.here/);
  await shoot(page, "handler-desktop-light-ko");
  await page.setViewportSize({ width: 390, height: 780 });
  await page.emulateMedia({ colorScheme: "dark" });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await shoot(page, "handler-phone-dark-ko");
  save(FIXED);
  await page.locator("text=fine").waitFor();
  assert.deepEqual(page.troubles, []);
  await page.context().close();

  const api = await fetch(`${server.url}/nowhere`, { headers: { accept: "text/html" } });
  assert.equal(api.status, 404);
  save(GOOD);
  await eventually(async () => (await (await fetch(`${server.url}/sample`)).json()).number === 1, "the old version");
  const json = await fetch(`${server.url}/fails`, { headers: { accept: "application/json" } });
  assert.equal(json.status, 500);
  assert.match(json.headers.get("content-type"), /problem\+json/);
});

test("it reads well on a desk and in a hand, by day and by night, in both languages", async () => {
  save(BROKEN);
  for (const [name, size] of [["desktop", { width: 1280, height: 900 }], ["phone", { width: 390, height: 780 }]]) {
    for (const scheme of ["light", "dark"]) {
      for (const locale of ["en-GB", "ko-KR"]) {
        const page = await open("/#/events", { viewport: size, colorScheme: scheme, locale, deviceScaleFactor: 2 });
        await shown(page);
        const box = await overlay(page).boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= size.width && box.y + box.height <= size.height, JSON.stringify(box));
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
        await page.waitForTimeout(250);
        await shoot(page, `${name}-${scheme}-${locale.slice(0, 2)}`);
        await page.context().close();
      }
    }
  }
  save(GOOD);
});

test("in production no page has it, and nothing answers under /dev/events", async () => {
  const production = await start({ development: "false" });
  try {
    assert.equal((await fetch(`${production.url}/dev/events`)).status, 404);
    assert.doesNotMatch(await (await fetch(`${production.url}/`)).text(), /dev\/overlay/);
    assert.doesNotMatch(await (await fetch(`${production.url}/plugins/sample/own.html`)).text(), /dev\/overlay/);
    const page = await fetch(`${production.url}/fails`, { headers: { accept: "text/html" } });
    assert.equal(page.status, 500);
    assert.match(page.headers.get("content-type"), /problem\+json/);
    assert.doesNotMatch(await page.text(), /plugin\.lua/);
  } finally {
    await production.stop();
  }
});
