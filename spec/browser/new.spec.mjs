/** The page that `maru new plugin --page` writes, in the real dashboard. */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch, maru, open, serve, shotsFolder } from "./real.mjs";

let server, browser, shots;

before(async () => {
  shots = shotsFolder();
  server = await serve({}, (plugins) => {
    maru("new", "plugin", "hello", "--route", "--page", "--set", `plugins.path=${plugins}`);
    maru("new", "plugin", "plain", "--page", "--set", `plugins.path=${plugins}`);
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a line that is left is shown at once, also to whoever else looks", async () => {
  const mine = await open(browser, `${server.url}/#/hello`);
  const other = await open(browser, `${server.url}/#/hello`, { locale: "ko-KR" });
  await mine.locator("text=There is nothing yet.").waitFor();
  await other.locator("text=아직 아무것도 없습니다.").waitFor();
  await mine.locator("input.field").fill("안녕, maru");
  await mine.locator("button:has-text('Leave it')").click();
  await mine.locator("td:has-text('안녕, maru')").waitFor();
  await other.locator("td:has-text('안녕, maru')").waitFor();
  assert.equal(await mine.locator("input.field").inputValue(), "");
  assert.match(await mine.title(), /hello/);
  assert.deepEqual([...mine.troubles, ...other.troubles], []);
  await mine.context().close();
  await other.context().close();
});

test("the page follows the language and the theme, on a desk and in a hand", async () => {
  for (const [name, size] of [["desktop", { width: 1280, height: 700 }], ["phone", { width: 390, height: 700 }]]) {
    for (const [scheme, locale] of [["light", "en-GB"], ["dark", "ko-KR"]]) {
      for (const plugin of ["hello", "plain"]) {
        const page = await open(browser, `${server.url}/#/${plugin}`, { viewport: size, colorScheme: scheme, locale });
        await page.locator(`h1:has-text("${plugin}")`).waitFor();
        await page.locator(plugin === "hello" ? "td:has-text('maru')" : "main p").first().waitFor();
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
        await page.screenshot({ path: path.join(shots, `new-${plugin}-${name}-${scheme}.png`) });
        if (name === "desktop") {
          const before = await page.locator("main").innerText();
          await page.locator("[data-lang-toggle]").click();
          assert.notEqual(await page.locator("main").innerText(), before);
        }
        assert.deepEqual(page.troubles, []);
        await page.context().close();
      }
    }
  }
});
