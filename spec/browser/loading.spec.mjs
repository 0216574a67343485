/** What a page says while it loads: nothing that it takes back. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { standIn } from "./fake_inference.js";
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

/** Answers to `pattern`, the server's own or `answer`, wait until the result is called. */
async function hold(page, pattern, answer) {
  let release;
  const released = new Promise((done) => {
    release = done;
  });
  await page.route(pattern, async (route) => {
    await released;
    await (answer ? route.fulfill(answer) : route.continue());
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

const TYPES = { ".js": "text/javascript", ".css": "text/css" };
const CLOSED = { status: 401, json: { title: "Unauthorized", detail: "this needs the operator's token" } };
const waits = (page) => page.locator("h1").waitFor();

/** A page of a real plugin, its files from its folder. */
async function bring(page, plugin, address, module) {
  await page.route("**/api/pages", (route) => route.fulfill({ json: [{ plugin, path: address, title: { ko: plugin, en: plugin }, module: `/plugins/${plugin}/${module}` }] }));
  await page.route(`**/plugins/${plugin}/**`, (route) => {
    const name = path.basename(new URL(route.request().url()).pathname);
    return route.fulfill({ contentType: TYPES[path.extname(name)], body: readFileSync(path.join("plugins", plugin, "public", name)) });
  });
}

for (const tab of ["", "/jobs/1", "/workflows/1", "/logs"]) {
  test(`operations${tab} shows nothing of what is not served to this reader`, async () => {
    const page = await open();
    const answer = await hold(page, "**/admin/v1/status");
    await page.goto(`${stage.url}/#/operations${tab}`);
    await waits(page);
    await drawn(page);
    assert.deepEqual(await said(page), ["Operations"]);
    answer();
    await page.waitForSelector("[data-no-access]");
    const left = await page.evaluate(() => document.getElementById("main").textContent);
    assert.deepEqual((await said(page)).filter((text) => !left.includes(text)), []);
    assert.deepEqual(page.troubles, []);
    await page.context().close();
  });
}

test("the reference counts no routes before it knows them", async () => {
  const page = await open();
  const answer = await hold(page, "**/api/openapi.json", { json: { openapi: "3.1.0", info: {}, paths: { "/a": { get: { operationId: "a", tags: ["a"], responses: {} } } } } });
  await page.goto(`${stage.url}/#/reference`);
  await waits(page);
  answer();
  await page.getByText("1 routes").waitFor();
  assert.deepEqual((await said(page)).filter((text) => text.startsWith("0 routes")), []);
  await page.context().close();
});

test("an empty board waits for the reason why it is empty", { skip: Boolean(process.env.MARU_URL) }, async (t) => {
  stage.fake.model.broken.add("chzzk").add("soop");
  t.after(() => stage.fake.model.broken.clear());
  const page = await open();
  const answer = await hold(page, "**/api/live/summary");
  const board = page.waitForResponse("**/api/live?*");
  await page.goto(`${stage.url}/#/live`);
  await (await board).finished();
  await page.waitForSelector("[data-board]", { state: "detached" });
  answer();
  await page.getByText("a platform cannot be reached").waitFor();
  assert.equal((await said(page)).includes("Nothing has been collected yet."), false);
  await page.context().close();
});

for (const [plugin, address, module, asks] of [["notify", "/notify", "page.js", "**/api/notify"], ["streampulse", "/explorer", "explorer.js", "**/api/explorer/*"]]) {
  test(`#${address} shows nothing to whoever is no operator`, async () => {
    const page = await open();
    await bring(page, plugin, address, module);
    const asked = page.waitForRequest(asks);
    const answer = await hold(page, asks, CLOSED);
    await page.goto(`${stage.url}/#${address}`);
    await asked;
    await drawn(page);
    answer();
    await page.getByText("For operators only").waitFor();
    const left = await page.evaluate(() => document.getElementById("main").textContent);
    assert.deepEqual((await said(page)).filter((text) => text !== "Loading…" && !left.includes(text)), []);
    assert.deepEqual(page.troubles, []);
    await page.context().close();
  });
}

test("inference does not call its socket lost before it was tried", async () => {
  const page = await open();
  await standIn(page, { rows: [] });
  await page.goto(`${stage.url}/#/inference`);
  await page.waitForSelector("[data-live=on]");
  assert.equal((await said(page)).includes("asking every few seconds"), false);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});
