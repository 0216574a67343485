/** The pages of inference with the real program: submitted, queued, computed, drawn; then, with a stand-in, what is rare. */
import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { row, standIn } from "./fake_inference.js";
import { launch, open, serve, write } from "./real.mjs";
import { eventually, openStage, takeShifts } from "./stage.mjs";

const PHONE = { viewport: { width: 390, height: 844 } };
const ALL = [["desk-day", {}], ["desk-night", { colorScheme: "dark", locale: "ko-KR" }], ["phone-day", { ...PHONE, locale: "ko-KR" }], ["phone-night", { ...PHONE, colorScheme: "dark" }]];
const LOOKS = process.env.SHOTS ? ALL : [ALL[0], ALL[2]];
/** Pictures cost time: only for whoever wants to look at them. */
const shoot = (page, name) => process.env.SHOTS && page.screenshot({ path: path.join(process.env.SHOTS, `inference-${name}.png`), fullPage: true });
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

describe("with the real program", () => {
  let maru;
  let browser;
  let admin;
  let page;
  const heard = [];
  const receiver = createServer((request, response) => {
    heard.push(request.headers["webhook-id"]);
    response.writeHead(request.url === "/gone" ? 410 : 204).end();
  });
  before(async () => {
    await new Promise((done) => receiver.listen(0, "127.0.0.1", done));
    process.env.INFERENCE_CALLBACK_SECRET = "a secret of the spec";
    maru = await serve({ "admin.listen": "127.0.0.1:0", "plugins.watch": "true", "plugins.inference.callbacks": JSON.stringify([hook("")]) }, (plugins) => cpSync("plugins/inference", `${plugins}/inference`, { recursive: true }));
    admin = `${maru.adminUrl}/admin/login?token=${readFileSync(`${maru.dir}/state/admin.token`, "utf8").trim()}`;
    browser = await launch();
    page = await open(browser, `${maru.url}/#/inference`, { permissions: ["clipboard-read", "clipboard-write"] });
  });
  after(async () => {
    await browser?.close();
    await maru?.stop();
    receiver.close();
  });
  const hook = (where) => `http://127.0.0.1:${receiver.address().port}${where}`;

  /* One page for all: going on in it is how people go on, and loads nothing again. */
  const go = async (view) => {
    await page.mouse.move(1, 1); /* rows under a pointer stay as they are */
    await page.goto(`${maru.url}/#/inference${view && `?view=${view}`}`);
    await page.waitForSelector(`[data-inference=${view || "overview"}]`);
  };
  const chosen = () => new URLSearchParams(page.url().split("?")[1]).get("id");
  const api = async (route, body) => {
    const answer = await fetch(`${maru.url}/api/v1/${route}`, body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${route}: ${answer.status}`);
    return answer.json();
  };
  const state = (wanted) => page.waitForSelector(`[data-state=${wanted}]`);

  test("begins with an invitation; a sample is submitted, computed and drawn", async () => {
    await page.locator("[data-inference] [data-note] a.button").click();
    await page.waitForSelector("[data-preview='480']");
    await page.selectOption("[data-sample]", "trend");
    await page.locator("[data-horizon]").fill("18");
    await page.click("[data-submit]");
    await state("completed");
    const job = await api(`inference/${chosen()}`);
    assert.deepEqual([job.points, job.result.horizon, job.status], [480, 18, "completed"]);
    await page.waitForSelector("[data-chart] [data-median]");
    for (const line of ["history", "median", "band"]) assert.match(await page.getAttribute(`[data-${line}]`, "d"), /^M.+L/, line);
    assert.equal(await page.locator("[data-table] tbody tr").count(), 18);
    const numbers = (text) => Number(text.replaceAll(",", ""));
    const shown = await page.locator("[data-table] tbody tr:last-child td").first().textContent();
    assert.ok(Math.abs(numbers(shown) - job.result.forecast[17]) <= 0.6, `${shown} is ${job.result.forecast[17]}`);

    const reading = () => page.textContent("[data-reading]");
    await page.focus("[data-chart]");
    await page.keyboard.press("Home");
    assert.match(await reading(), /^−47/);
    await page.keyboard.press("End");
    assert.match(await reading(), /^\+18/);
    await page.hover("[data-chart] svg", { position: { x: 200, y: 90 } });
    await eventually(async () => /^−/.test(await reading()), "a reading of the past");
    assert.match(await page.getAttribute("[data-chart]", "aria-label"), /18 steps of forecast/);

    await page.click("[data-copy]");
    await page.getByText("Copied").waitFor();
    assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), job);
    assert.deepEqual(page.troubles, []);
  });

  test("shows which point is refused: in text, in a file of float32, and that there are too few", async () => {
    await go("submit");
    await page.click('input[name="inf-source"][value="text"]', { force: true });
    await page.fill("[data-text]", "[1.5, 2, abc, 4]");
    await page.waitForSelector("[data-not-number='2']");
    await page.click("[data-submit]");
    await page.waitForSelector("[data-refused='2']");
    assert.match(await page.textContent("[data-refused]"), /Point 2 .*no number/);
    const selected = () => page.$eval("[data-text]", (box) => box.value.slice(box.selectionStart, box.selectionEnd));
    await eventually(async () => (await selected()) === "abc", "the bad point selected");
    await page.fill("[data-text]", "");
    await page.waitForSelector("[data-refused]", { state: "detached" });
    await page.click("[data-submit]");
    await page.waitForSelector("[data-refused='-1']");

    await page.click('input[name="inf-source"][value="file"]', { force: true });
    const bad = new Float32Array(100).fill(3);
    bad[41] = NaN;
    await page.setInputFiles(".inf-file-field", { name: "bad.f32", mimeType: "application/octet-stream", buffer: Buffer.from(bad.buffer) });
    await page.waitForSelector("[data-not-number='41']");
    await page.click("[data-submit]");
    await page.waitForSelector("[data-refused='41']");
    assert.deepEqual(page.troubles, []);
  });

  test("takes metadata and a callback, says at the field what is refused of them, and shows what became of them", async () => {
    await go("submit");
    await page.click('input[name="inf-source"][value="sample"]', { force: true });
    await page.waitForSelector("[data-preview='480']");
    await page.click("[data-further] summary");
    const further = { deadline: page.locator("#inf-f-deadline"), callback_url: page.locator("#inf-f-callback_url"), metadata: page.locator("#inf-f-metadata") };
    const refused = async (name, value, words) => {
      await further[name].fill(value);
      await page.click("[data-submit]");
      await page.waitForSelector(`[data-field-error=${name}]`);
      assert.match(await page.textContent(`[data-field-error=${name}]`), words);
      assert.equal(await page.locator("[data-field-error]").count(), 1);
      await page.waitForFunction((id) => document.activeElement?.id === id, `inf-f-${name}`);
      await further[name].fill("");
      await page.waitForSelector("[data-field-error]", { state: "detached" });
    };
    await refused("metadata", "{site: north}", /JSON object/);
    await refused("metadata", JSON.stringify({ x: "x".repeat(20000) }), /16 KiB/);
    await refused("deadline", "soon", /30s/);
    await refused("callback_url", "ftp://example.com", /http/);
    await page.click("[data-further] summary");
    await page.waitForSelector("[data-further]:not([open])");
    await page.click("[data-further] summary");
    await refused("callback_url", "https://example.com/hook", /not allowed/);
    await page.locator("[data-horizon]").fill("1000000");
    await page.click("[data-submit]");
    await page.waitForSelector("[data-field-error=horizon]");
    await page.locator("[data-horizon]").fill("6");
    await further.metadata.fill('{"site": "north", "tags": ["a", {"b": 1}]}');
    await further.callback_url.fill(hook("/told?key=secret"));
    await further.deadline.fill("5m");
    await page.selectOption("#inf-f-priority", "high");
    await page.click("[data-submit]");
    await state("completed");
    await page.waitForSelector("[data-callback=delivered]");
    assert.ok(heard.includes(chosen()));
    assert.match(await page.textContent("[data-metadata]"), /site.*north.*tags.*\["a",\{"b":1\}\]/);
    assert.ok((await page.textContent("[data-about]")).includes(hook("")) && !(await page.textContent("body")).includes("secret"));
    const { id } = await api("inference/submit", { model_name: "moving_average", data: [1, 2, 3], callback_url: hook("/gone") });
    await page.goto(`${maru.url}/#/inference?id=${id}`);
    await page.waitForSelector("[data-callback=failed]");
    assert.match(await page.textContent("[data-callback-error]"), /410/);
    assert.deepEqual(page.troubles, []);
  });

  test("takes a dropped table by its column", async () => {
    await go("submit");
    await page.click('input[name="inf-source"][value="file"]', { force: true });
    const text = `date,load,OT\n${Array.from({ length: 120 }, (_, i) => `2016-07-${i},${i % 24},${30 + (i % 12)}`).join("\n")}`;
    const dropped = await page.evaluateHandle((content) => {
      const data = new DataTransfer();
      data.items.add(new File([content], "oil.csv", { type: "text/csv" }));
      return data;
    }, text);
    await page.dispatchEvent("[data-drop]", "drop", { dataTransfer: dropped });
    await page.waitForSelector("[data-preview='120']");
    assert.deepEqual(await page.locator("[data-column] option").allTextContents(), ["load", "OT"]);
    assert.equal(await page.locator("[data-column]").inputValue(), "1");
    await page.click("[data-submit]");
    await state("completed");
    await page.waitForSelector("[data-chart] [data-median]");
    assert.equal((await api(`inference/${chosen()}`)).result.history[47], 41);
  });

  test("moves by the socket alone", async () => {
    await go("");
    await page.waitForSelector("[data-live=on]");
    await page.waitForSelector("[data-result]");
    await page.route("**/api/v1/inference/**", (route) => route.abort());
    const total = () => page.textContent("[data-tile=total] .num");
    const first = await total();
    const { id } = await api("inference/submit", { model_name: "moving_average", data: [1, 2, 3, 4, 5, 6] });
    await page.waitForSelector(`[data-recent] [data-result="${id}"] [data-spark] .inf-median`, { state: "attached" });
    await eventually(async () => (await total()) !== first, "another total");
    await page.unroute("**/api/v1/inference/**");
  });

  test("is told to connect again when the plugin is replaced, and does", async () => {
    await go("");
    const code = page.evaluate(() => new Promise((done) => {
      const socket = new WebSocket("/api/v1/dashboard/ws");
      socket.onmessage = () => { window.__listening = true; };
      socket.onclose = (event) => done(event.code);
    }));
    await page.waitForFunction(() => window.__listening);
    write(`${maru.dir}/plugins/inference`, "plugin.lua", `${readFileSync("plugins/inference/plugin.lua", "utf8")}-- replaced\n`);
    assert.equal(await code, 1012);
    const { id } = await api("inference/submit", { model_name: "moving_average", data: [3, 2, 1] });
    await page.route("**/api/v1/inference/**", (route) => route.abort());
    await page.waitForSelector(`[data-recent] [data-result="${id}"]`);
    await page.unroute("**/api/v1/inference/**");
  });

  test("finds results by model and status, page after page", async () => {
    const { items } = await api("inference/batch", { items: Array.from({ length: 30 }, (_, i) => ({ model_name: "moving_average", data: [i, i + 1, i + 2] })) });
    await eventually(async () => (await api(`inference/batch?ids=${items.map((item) => item.id).join(",")}`)).results.every((each) => each?.status === "completed"), "all of the batch");
    await go("results");
    await eventually(async () => (await page.locator("[data-result]").count()) === 25, "a page");
    await page.selectOption("[data-filter-model]", "moving_average");
    await page.waitForSelector("[data-more]");
    await eventually(async () => /model_name=moving_average/.test(page.url()) && (await page.locator("[data-result]").count()) === 25, "a page of the model's");
    await page.click("[data-more]");
    await eventually(async () => (await page.locator("[data-result]").count()) >= 31, "the second page");
    assert.equal(new Set(await page.locator("[data-result]").evaluateAll((all) => all.map((each) => each.dataset.result))).size, await page.locator("[data-result]").count());
    await page.selectOption("[data-filter-status]", "failed");
    await page.locator("[data-inference] [data-note] button").click();
    await eventually(async () => (await page.locator("[data-result]").count()) === 25, "all again");
    assert.deepEqual(page.troubles, []);
  });

  test("lists the models with what is honest to say of them, in both languages", async () => {
    const { models } = await api("models");
    await go("models");
    await page.waitForSelector("[data-model-card]");
    assert.deepEqual(await page.locator("[data-model-card]").evaluateAll((all) => all.map((card) => card.dataset.modelCard)), models.map((model) => model.name));
    for (const model of models) assert.equal(await page.textContent(`[data-model-card=${model.name}] [data-honest]`), model.note.en);
    await page.click("[data-lang-toggle]");
    for (const model of models) assert.equal(await page.textContent(`[data-model-card=${model.name}] [data-honest]`), model.note.ko);
    await page.click("[data-lang-toggle]");
  });

  test("tests models on a series of one's own, the best marked", async () => {
    await go("backtest");
    await page.fill("[data-backtest=folds]", "3");
    await page.click("[data-run-backtest]");
    await state("completed");
    await page.waitForSelector("[data-errors]");
    const rows = await page.locator("[data-error-row]").evaluateAll((all) => all.map((each) => each.dataset.errorRow));
    for (const baseline of ["last_value", "seasonal_naive", "moving_average"]) assert.ok(rows.includes(baseline), baseline);
    const mase = await page.locator("[data-errors] tbody tr td:nth-child(4)").evaluateAll((all) => all.map((cell) => parseFloat(cell.textContent)));
    assert.deepEqual(mase, [...mase].sort((a, b) => a - b));
    assert.ok((await page.locator("[data-errors] tbody tr:first-child .inf-best").count()) > 0);
  });

  test("an operator uploads a version, lets it run beside the other one, and makes it current", async () => {
    const desk = await open(browser, admin);
    await desk.goto(`${maru.adminUrl}/#/inference?view=models`);
    const shipped = readFileSync("plugins/inference/models/nlinear_timeseries.safetensors");
    const found = /version\\*": *\\*"1/.exec(shipped.subarray(8, 4096 + 8).toString("latin1"));
    assert.ok(found, "the file says that it is version 1");
    const second = Buffer.from(shipped);
    second.write("2", 8 + found.index + found[0].length - 1);
    await desk.setInputFiles("[data-upload]", { name: "second.safetensors", mimeType: "application/octet-stream", buffer: second });
    const card = desk.locator("[data-model-card=nlinear_timeseries]");
    await card.locator("[data-version='2'] [data-make-shadow]").click();
    await card.getByText("Version 2 runs as shadow.").waitFor();
    const { items } = await api("inference/batch", { items: Array.from({ length: 3 }, (_, k) => ({ model_name: "nlinear_timeseries", data: Array.from({ length: 900 }, (_, i) => 20 + k + 5 * Math.sin(i / 3.8)) })) });
    await eventually(async () => (await api(`inference/batch?ids=${items.map((item) => item.id).join(",")}`)).results.every((each) => each?.status === "completed"), "all of the batch");
    await desk.reload();
    await card.locator("[data-comparison='2']").waitFor();
    await card.locator("[data-version='2'] [data-make-current]").click();
    await card.getByText("Version 2 is current now.").waitFor();
    // Each of the server's threads looks at the choice once a second.
    const third = { model_name: "nlinear_timeseries", data: Array.from({ length: 900 }, (_, i) => Math.sin(i)) };
    await eventually(async () => (await api("models")).models.find((model) => model.name === third.model_name).current === "2", "version 2 shown as current");
    await eventually(async () => (await api("inference/submit", third)).model_version === "2", "version 2 used");
    assert.deepEqual(desk.troubles, []);
    await desk.context().close();
  });

  test("on a desk and a phone, and in pictures by day and night", async () => {
    const { id } = await api("inference/submit", { model_name: (await api("models")).models[0].name, data: Array.from({ length: 400 }, (_, i) => 50 + 10 * Math.sin(i / 3.8)), metadata: { site: "north", tags: ["a", { b: 1 }] }, callback_url: hook("/told") });
    const late = await api("inference/submit", { model_name: "moving_average", data: [1], deadline: "1ms" });
    await eventually(async () => (await api(`inference/${late.id}`)).status === "expired", "one that expires");
    await Promise.all(LOOKS.map(async ([name, options]) => {
      const page = await open(browser, `${maru.url}/#/inference`, options);
      await page.waitForSelector(`[data-recent] [data-result="${id}"]`);
      await page.waitForSelector("[data-model-row]");
      await shoot(page, name);
      for (const [query, shown] of [["?view=submit", "[data-preview='480']"], ["?view=models", "[data-model-card]"], ["?view=backtest", "[data-use], [data-run-backtest]:enabled"], [`?id=${id}`, "[data-chart] [data-median]"]]) {
        await page.goto(`${maru.url}/#/inference${query}`);
        await page.waitForSelector(shown);
        assert.ok(await fits(page), `${name} ${query} is no wider than its screen`);
        await shoot(page, `${name}-${query.startsWith("?id") ? "result" : query.slice(6)}`);
        if (process.env.SHOTS && query === "?view=submit") {
          await page.click("[data-further] summary");
          await page.fill("#inf-f-metadata", "{site}");
          await page.click("[data-submit]");
          await page.waitForSelector("[data-field-error]");
          assert.ok(await fits(page));
          await shoot(page, `${name}-further`);
        }
      }
      assert.deepEqual(page.troubles, []);
      await page.context().close();
    }));
  });
});

describe("with a stand-in", () => {
  let stage;
  let page;
  let fake;
  const given = { rows: [] };
  before(async () => {
    stage = await openStage();
    page = await stage.page();
    fake = await standIn(page, given);
  });
  after(() => stage.close());
  const go = (query) => page.goto(`${stage.url}/#/inference${query}`);

  test("says why it failed, waits for what runs, cancels, and knows what is gone", async () => {
    given.rows = [row(0, "queued", { id: "q" }), row(1, "failed", { id: "f" })];
    await go("?id=f");
    assert.match(await page.textContent("[data-why]"), /has 3 points/);
    await go("?id=q");
    await page.waitForSelector("[data-state=queued]");
    given.rows[0] = { ...given.rows[0], status: "running", started_at: new Date().toISOString() };
    await page.waitForSelector("[data-state=running]");
    given.onCancel = () => { given.rows[0] = { ...given.rows[0], status: "cancelled" }; };
    await page.click("[data-cancel]");
    await page.waitForSelector("[data-state=cancelled]");
    await go("?id=nowhere");
    await page.getByText("There is no such result.").waitFor();
    assert.deepEqual(page.troubles, []);
  });

  test("goes on without a socket, and says so; an error has a way on", async () => {
    Object.assign(given, { rows: [row(0)], down: 503 });
    await go("");
    await page.reload();
    await page.waitForSelector("[data-live=off]");
    await page.getByText("the store is away").first().waitFor();
    given.down = 0;
    await page.locator("[data-inference] [data-note] button").first().click();
    await page.waitForSelector("[data-result]");
    await page.waitForSelector("[data-live=on]");
  });

  test("a new result moves nothing, and a row that is being read stays", async () => {
    Object.assign(given, { rows: Array.from({ length: 9 }, (_, i) => row(i)), slow: 150 });
    await go("");
    await page.reload();
    await page.waitForSelector("[data-result]");
    await page.waitForSelector("[data-model-row]");
    await page.evaluate(() => document.fonts.ready);
    given.rows.unshift(row(0, "completed", { id: "newest" }));
    fake.update();
    await page.waitForSelector("[data-recent] li:first-child[data-result=newest]");
    const shifts = await takeShifts(page);
    assert.ok(shifts.value < 0.01, JSON.stringify(shifts));
    await page.locator("[data-recent] [data-row]").nth(2).focus();
    const before = await page.locator("[data-recent] li").evaluateAll((all) => all.map((each) => each.dataset.result));
    given.rows.unshift(row(0, "completed", { id: "newer still" }));
    fake.update();
    await page.waitForFunction((n) => document.querySelector("[data-tile=total] .num").textContent === n, String(given.rows.length));
    assert.deepEqual(await page.locator("[data-recent] li").evaluateAll((all) => all.map((each) => each.dataset.result)), before);
  });

  test("compares a shadow, and tells who may not change it", async () => {
    await go("?view=models");
    assert.match(await page.textContent("[data-comparison='2']"), /128/);
    await page.click("[data-version='2'] [data-make-current]");
    await page.getByText("Only operators may do this.").waitFor();
  });
});
