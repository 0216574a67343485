/** What a page says while it loads: nothing that it takes back. */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { openStage } from "./stage.mjs";

/** Every text that ever stood in the page itself, from the first node on. */
const LISTEN = `
  window.__said = new Set();
  new MutationObserver(() => {
    const main = document.getElementById("main");
    const walk = main && document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    while (walk?.nextNode()) if (!walk.currentNode.parentElement.closest("noscript")) window.__said.add(walk.currentNode.data.trim());
  }).observe(document, { childList: true, subtree: true, characterData: true });
`;
const said = (page) => page.evaluate(() => [...window.__said].filter(Boolean));
/** Whatever was to be drawn is drawn. */
const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));

let stage;

before(async () => {
  stage = await openStage();
});
after(() => stage?.close());

async function open(options) {
  const page = await stage.page(options);
  await page.addInitScript(LISTEN);
  return page;
}

/** Answers to `pattern` wait until the result is called. */
async function hold(page, pattern) {
  let release;
  const released = new Promise((done) => {
    release = done;
  });
  await page.route(pattern, async (route) => {
    await released;
    await route.continue();
  });
  return release;
}

/** The shell stands, the stream is open, and what shows a plugin's page has begun. */
async function began(page, route) {
  await Promise.all([page.waitForResponse("**/pages/plugin.js"), page.goto(`${stage.url}/#${route}`)]);
  await page.waitForSelector("[data-link=open]");
  await drawn(page);
}

for (const [name, options] of [["a desk", {}], ["a phone, in Korean", { viewport: { width: 390, height: 844 }, locale: "ko-KR" }]]) {
  test(`a plugin's page is not missed before it is known, nor while it is fetched: on ${name}`, async () => {
    const page = await open(options);
    const answer = await hold(page, "**/api/pages");
    const fetched = await hold(page, "**/plugins/guestbook/page.js");
    await began(page, "/guestbook");
    const asked = page.waitForRequest("**/plugins/guestbook/page.js");
    answer();
    await asked;
    await drawn(page);
    assert.deepEqual(await said(page), []);
    await page.screenshot({ path: path.join(stage.shots, `loading-${options.locale ?? "en"}.png`) });
    fetched();
    await page.getByText("hello from a plugin page").waitFor();
    assert.deepEqual((await said(page)).map((text) => text.replace(/, ..$/, "")), ["hello from a plugin page"]);
    assert.deepEqual(page.troubles, []);
    await page.context().close();
  });
}

test("a page that no plugin brings is missed as soon as that is known, in either language", async () => {
  const page = await open();
  const answer = await hold(page, "**/api/pages");
  await began(page, "/nowhere");
  assert.deepEqual(await said(page), []);
  answer();
  await page.getByText("There is no such page.").waitFor();
  await page.locator("[data-lang-toggle]").click();
  await page.getByText("없는 페이지입니다.").waitFor();
  await page.context().close();
});

test("where the pages cannot be listed, that is what is said; asked again, the page comes", async () => {
  const page = await open();
  await page.route("**/api/pages", (route) => route.fulfill({ status: 503, json: { title: "Service Unavailable", detail: "the plugins are being loaded" } }));
  await began(page, "/guestbook");
  await page.getByText("the plugins are being loaded").waitFor();
  await page.screenshot({ path: path.join(stage.shots, "loading-failed.png") });
  await page.unroute("**/api/pages");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("hello from a plugin page").waitFor();
  assert.equal((await said(page)).includes("There is no such page."), false);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("a signal that changes before its reader has been painted is read again", async () => {
  const page = await open();
  await page.goto(`${stage.url}/#/nowhere`);
  await page.waitForSelector("[data-link]");
  await page.evaluate(async () => {
    const [{ signal }, { useSignal }, { html, render }] = await Promise.all(["signal", "hooks", "html"].map((name) => import(`/lib/${name}.js`)));
    const source = signal("early");
    const root = document.body.appendChild(document.createElement("output"));
    const Reader = () => html`<b>${useSignal(source)}</b>`;
    render(html`<${Reader} />`, root);
    source.value = "late";
  });
  await page.locator("output", { hasText: "late" }).waitFor();
  await page.context().close();
});
