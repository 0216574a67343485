/** The data explorer with the real program: asked, drawn, saved, downloaded; closed to everybody else. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import path from "node:path";
import { launch, open, serve, shotsFolder } from "./real.mjs";
import { eventually } from "./stage.mjs";

const shots = shotsFolder();
let browser;
let maru;
let admin;

before(async () => {
  maru = await serve({ "plugins.path": "plugins", "admin.listen": "127.0.0.1:0",
    "plugins.tolerate": "", development: "false" }, () => {});
  admin = `${maru.adminUrl}/admin/login?token=${readFileSync(`${maru.dir}/state/admin.token`, "utf8").trim()}`;
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await maru?.stop();
});

async function explorer(options) {
  const page = await open(browser, admin, options);
  await page.goto(`${maru.adminUrl}/#/explorer`);
  await page.waitForSelector("[data-rows]");
  return page;
}

const ask = async (page, sql) => {
  await page.fill("[data-sql]", sql);
  await page.press("[data-sql]", "Control+Enter");
};

test("is locked for whoever is no operator", async () => {
  const page = await open(browser, `${maru.url}/#/explorer`);
  await page.waitForSelector("[data-locked]");
  const status = await page.evaluate(() => fetch("/api/explorer/query", { method: "POST",
    headers: { "content-type": "application/json" }, body: JSON.stringify({ source: "tables", sql: "select 1" }) }).then((r) => r.status));
  assert.equal(status, 401);
  await page.context().close();
});

test("answers the first example on opening, but nothing that somebody wrote", async () => {
  const page = await explorer();
  assert.match(await page.textContent("[data-rows]"), /^\d+ rows? in /);
  await page.fill("[data-sql]", "select 1");
  // The page keeps it after the next paint, which nobody's hand is faster than.
  await page.waitForFunction(() => Object.values(sessionStorage).some((kept) => kept.includes('"select 1"')));
  await page.reload();
  await page.waitForSelector("[data-table]");
  assert.equal(await page.inputValue("[data-sql]"), "select 1");
  assert.equal(await page.locator("[data-rows]").count(), 0);
  await page.context().close();
});

test("groups digits, and shows instants by the reader's clock and says which", async () => {
  for (const [locale, said] of [["en-GB", "Times by your clock (Asia/Seoul, UTC+09:00)."], ["ko-KR", "시간대(Asia/Seoul, UTC+09:00)"]]) {
    const page = await explorer({ locale, timezoneId: "Asia/Seoul" });
    await page.click('input[name="xp-source"][value="tables"]', { force: true });
    await ask(page, `select 1700000000 as detected_at, 1234567 as viewers, 79612.88636 as mean, 0.0004 as share, 1234567 as id
      union all select null, 0, 3, 0.25, 1`);
    await page.waitForSelector("[data-answer]");
    assert.deepEqual(await page.locator("[data-answer] tbody tr:first-child td").allTextContents(),
      ["2023-11-15 07:13:20", "1,234,567", "79,612.89", "0.000400", "1234567"]);
    assert.equal(await page.locator("[data-answer] tbody tr:nth-child(2) td:nth-child(3)").textContent(), "3.00");
    assert.ok((await page.textContent("[data-zone]")).includes(said), await page.textContent("[data-zone]"));
    await page.context().close();
  }
});

test("answers SQL with numbers to the right, NULL shown, and pages", async () => {
  const page = await explorer();
  await page.click('input[name="xp-source"][value="tables"]', { force: true });
  await ask(page, "with recursive t as (select 1 as n union all select n + 1 from t where n < 250) select n, 'b' || n as name, nullif(n, 2) as gap from t");
  await page.waitForSelector("[data-answer]");
  assert.match(await page.textContent("[data-rows]"), /^250 rows/);
  assert.equal(await page.locator("[data-answer] tbody tr").count(), 100);
  assert.equal(await page.textContent("[data-answer] tbody tr:nth-child(2) .xp-null"), "NULL");
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector("[data-answer] td")).textAlign), "end");
  await page.click("[data-next]");
  assert.equal(await page.textContent("[data-answer] tbody tr td"), "101");
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("says where the SQL is wrong and goes there; Tab indents", async () => {
  const page = await explorer();
  await page.click('input[name="xp-source"][value="series"]', { force: true });
  await ask(page, "select platform,\n  viewerz\nfrom viewers");
  await page.waitForSelector("[data-wrong]");
  assert.match(await page.textContent("[data-wrong]"), /^line 2 column 3: /);
  await page.click("[data-goto]");
  const chosen = () => page.evaluate(() => {
    const box = document.querySelector("[data-sql]");
    return box.value.slice(box.selectionStart, box.selectionEnd);
  });
  assert.equal(await chosen(), "viewerz");
  await page.keyboard.press("Tab");
  assert.equal(await page.inputValue("[data-sql]"), "select platform,\n    \nfrom viewers");
  await page.context().close();
});

test("draws lines and bars, by day and night, on a desk and a phone", async () => {
  for (const [name, options] of [["desk-day", {}], ["desk-night", { colorScheme: "dark", locale: "ko-KR" }],
    ["phone-day", { viewport: { width: 390, height: 844 }, locale: "ko-KR" }], ["phone-night", { viewport: { width: 390, height: 844 }, colorScheme: "dark" }]]) {
    const page = await explorer(options);
    await page.click('input[name="xp-source"][value="tables"]', { force: true });
    await ask(page, `with recursive t as (select 0 as n union all select n + 1 from t where n < 47)
      select 1700000000 + n * 1800 as at, p.platform, 20000 + n * n * p.k as viewers from t, (select 'chzzk' as platform, 9 as k union all select 'soop', 4) p`);
    await page.waitForSelector("[data-answer]");
    await page.click('input[name="xp-view"][value="chart"]', { force: true });
    await page.waitForSelector("[data-plot] canvas");
    assert.equal(await page.locator("[data-plot] .plot-read i").count(), 2);
    await page.screenshot({ path: path.join(shots, `explorer-${name}.png`), fullPage: true });
    await page.click('input[name="xp-kind"][value="bar"]', { force: true });
    await page.waitForFunction(() => document.querySelectorAll("[data-plot] .plot-read i").length === 1);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is no wider than its screen`);
    assert.deepEqual(page.troubles, []);
    await page.context().close();
  }
});

test("is seen among the links of a narrow screen", async () => {
  const page = await explorer({ viewport: { width: 320, height: 700 } });
  const seen = () => page.evaluate(() => {
    const nav = document.querySelector(".nav"), link = nav.querySelector("[aria-current]").getBoundingClientRect();
    return { wide: nav.scrollWidth > nav.clientWidth, whole: link.left >= 0 && link.right <= innerWidth };
  });
  await eventually(async () => (await seen()).whole, "the link in sight");
  assert.ok((await seen()).wide, "the links are wider than this screen");
  await page.context().close();
});

test("keeps questions by name, and gives CSV and Parquet files", async () => {
  const page = await explorer();
  await page.click('input[name="xp-source"][value="tables"]', { force: true });
  await ask(page, "select 1.5 as a, '=1+1' as b, 'x,\"y' as c, null as d");
  await page.waitForSelector("[data-answer]");
  page.once("dialog", (dialog) => dialog.accept("my own"));
  await page.click("[data-save]");
  await page.waitForSelector('[data-saved="my own"]');
  const file = async (button) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
    return readFileSync(await download.path());
  };
  assert.equal((await file("[data-csv]")).toString(), "a,b,c,d\r\n1.5,'=1+1,\"x,\"\"y\",\r\n");
  assert.equal((await file("[data-parquet]")).subarray(0, 4).toString(), "PAR1");
  await page.reload();
  await page.click('[data-saved="my own"]');
  await page.waitForSelector("[data-answer]");
  page.once("dialog", (dialog) => dialog.accept());
  await page.click('[data-remove="my own"]');
  await page.waitForFunction(() => !document.querySelector("[data-saved]"));
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});
