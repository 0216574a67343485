/** The page of the plugin notify: rules, what was said, and the acknowledgement; in both languages. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { eventually } from "./stage.mjs";
import { launch, open, serve } from "./real.mjs";

const SHOP = `return { name = "shop", version = "1.0.0", requires = { "notify >= 1" }, allow = { exports = { "notify.send" } },
  routes = { ["POST /tell"] = function(app, req) return 200, { n = assert(app.call("notify.send", req:json())) } end } }`;
const CONFIG = `return { ["plugins.notify"] = {
  channels = { { name = "log", kind = "log" }, { name = "owner", kind = "mail", to = { "owner@example.com" } } },
  rules = {
    { name = "down", event = "alerts.*", channels = { "log", "owner" }, title = "{name} is down",
      escalate = { { after = 300, channels = { "owner" } } } },
    { name = "sales", event = "shop.sold", channels = { "log" }, group = 600, quiet = "22:00-08:00" },
  } } }`;

test("the page of notify", async (t) => {
  const server = await serve({ "admin.listen": "127.0.0.1:0", "plugins.disable": "simulator" }, (plugins) => {
    cpSync("plugins/notify", `${plugins}/notify`, { recursive: true });
    mkdirSync(`${plugins}/shop`);
    writeFileSync(`${plugins}/shop/plugin.lua`, SHOP);
  }, CONFIG);
  const browser = await launch();
  t.after(async () => {
    await browser.close();
    await server.stop();
  });
  await fetch(`${server.url}/tell`, { method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ event: "alerts.db", data: { name: "<b>데이터베이스</b>" } }) });

  const token = readFileSync(`${server.dir}/state/admin.token`, "utf8").trim();
  const page = await open(browser, `${server.adminUrl}/admin/login?token=${token}`);
  await page.goto(`${server.adminUrl}/#/notify`);
  await page.locator("h1", { hasText: "Notifications" }).waitFor();
  await page.locator("td", { hasText: "<b>데이터베이스</b> is down" }).first().waitFor();
  await page.locator("td", { hasText: "after 300 s owner" }).waitFor();
  await eventually(async () => (await page.locator("td", { hasText: "no mail server is configured" }).count()) === 1, "the failure");
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/notify-en.png` });
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await eventually(async () => (await page.getByRole("button", { name: "Acknowledge" }).count()) === 0, "the acknowledgement");
  await page.locator("[data-lang-toggle]").click();
  await page.locator("h1", { hasText: "알림" }).waitFor();
  await page.getByText("확인함").waitFor();
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/notify-ko.png` });
  assert.deepEqual(page.troubles, []);

  const phone = await open(browser, `${server.adminUrl}/admin/login?token=${token}`, { viewport: { width: 390, height: 844 }, locale: "ko-KR" });
  await phone.goto(`${server.adminUrl}/#/notify`);
  const labels = phone.locator('td[data-label="조용한 시간"]');
  await labels.nth(1).waitFor();
  assert.equal(await labels.nth(1).evaluate((cell) => getComputedStyle(cell, "::before").content), '"조용한 시간"');
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no wider than its screen");
  assert.deepEqual(phone.troubles, []);
});
