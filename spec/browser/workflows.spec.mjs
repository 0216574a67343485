/** The pages about workflows over the real program: a picture of a run, an answer given, a cancel. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import path from "node:path";
import { eventually, openStage } from "./stage.mjs";
import { startServer } from "./real_server.mjs";

const PLUGIN = `
local M = { name = "press", version = "1.0.0" }
local function slow(name, following)
  return function(app, run)
    run.state[name] = #(run.input.text or "") + run.n
    app.sleep(0.05)
    return following
  end
end
M.jobs = {
  resize = function(app, job) app.sleep(0.02) return job.args.n end,
  album = function(_, job) return { pictures = #job.previous } end,
  broken = { function() error("the picture is no picture") end, retries = 0 },
}
M.workflows = { review = { start = "gather", version = 2, steps = {
  gather = { slow("sources", { "facts", "style", "law" }), next = { "facts", "style", "law" } },
  facts = { slow("facts", "merge"), next = { "merge" } },
  style = { slow("style", "merge"), next = { "merge" } },
  law = { slow("law", "merge"), next = { "merge" }, on_error = "reject" },
  merge = { slow("merged", "draft"), join = { "facts", "style", "law" }, next = { "draft" } },
  draft = { function(_, run)
    run.state.drafts = (run.state.drafts or 0) + 1
    return run.state.drafts < 3 and "draft" or "editor"
  end, next = { "draft", "editor" } },
  editor = { function(_, run)
    if run.signal then
      run.state.editor = run.signal.data
      return run.signal.data.approved and "publish" or "draft"
    end
    return run:wait("approval", { timeout = "3d", otherwise = "remind" })
  end, next = { "publish", "draft", "remind" } },
  remind = { function() return "editor" end, next = { "editor" } },
  publish = { function(_, run) run.state.published = true end, next = {} },
  reject = { function() end, next = {} },
} }, catalogue = { start = "list", steps = {
  list = { function(_, run)
    local pages = {}
    for n = 1, run.input.n do pages[n] = { n = n } end
    return run:each("page", pages)
  end, next = { "page" } },
  page = { each = true, retries = 0, on_error = "sum", next = { "sum" }, function(app, run)
    app.sleep(run.input.slow or 0)
    if run.index % 50 == 7 then error("page " .. run.index .. " is torn") end
    return run.index
  end },
  sum = { function(_, run)
    run.state.pages, run.state.torn = #run.results.page, #(run.errors.page or {})
  end, join = { "page" }, next = {} },
} } }
M.routes = {
  ["POST /review"] = function(app, req)
    return 200, { id = app.workflows:start("review", { text = "Seoul" }, { key = req:json().key }) }
  end,
  ["POST /catalogue"] = function(app, req)
    return 200, { id = app.workflows:start("catalogue", req:json()) }
  end,
  ["POST /album"] = function(app, req)
    local list = {}
    for n = 1, 40 do list[n] = { "resize", { n = n } } end
    if req:json().broken then list[7] = { "broken", {} } end
    return 200, { id = app.workflows:chord(list, { "album" }, { name = "album" }) }
  end,
}
return M
`;

let stage;
let server;

before(async () => {
  server = await startServer({ press: PLUGIN }, { "admin.listen": "127.0.0.1:0" });
  stage = await openStage();
});
after(async () => {
  await stage?.close();
  await server?.stop();
});

async function post(route, body = {}) {
  const answer = await fetch(server.url + route, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200);
  return answer.json();
}

async function operations(options) {
  const page = await stage.page(options);
  await page.goto(server.adminUrl);
  return page;
}

async function show(page, route, ready) {
  await page.goto(new URL(route, server.adminUrl).href);
  await page.waitForSelector(ready);
}

test("a run is drawn, answered, and goes on", async () => {
  const { id } = await post("/review", { key: "issue-1" });
  const page = await operations();
  await show(page, `/#/operations/workflows/${id}`, '[data-run][data-state="waiting"]');
  assert.equal(await page.locator("[data-flow] [data-step]").count(), 10);
  assert.equal(await page.locator('[data-step="merge"]').getAttribute("data-state"), "done");
  assert.equal(await page.locator('[data-step="editor"]').getAttribute("data-state"), "waiting");
  assert.equal(await page.locator('[data-step="publish"]').getAttribute("data-state"), "none");
  const apart = await page.evaluate(() => {
    const boxes = [...document.querySelectorAll("[data-step] .step-box")].map((b) => b.getBoundingClientRect());
    return boxes.every((a, i) => boxes.every((b, k) => i === k || a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top));
  });
  assert.ok(apart, "two steps lie on one another");
  await page.screenshot({ path: path.join(stage.shots, "workflow-waiting.png"), fullPage: true });
  await page.locator('[data-step="draft"]').click();
  assert.equal(await page.locator("[data-step-row]").count(), 3);
  await page.locator("[data-answer] .field").fill("well done");
  await page.locator("[data-approve]").click();
  await page.waitForSelector('[data-run][data-state="done"]');
  assert.equal(await page.locator('[data-step="publish"]').getAttribute("data-state"), "done");
  assert.match(await page.locator(".run").innerText(), /"note": "well done"/);
  await page.screenshot({ path: path.join(stage.shots, "workflow-done.png"), fullPage: true });
  assert.deepEqual(page.troubles, []);
});

test("the list shows states and reasons, in Korean on a phone by night", async () => {
  await post("/album", { broken: true });
  await post("/album");
  const { id } = await post("/review", { key: "issue-2" });
  const page = await operations({ viewport: { width: 390, height: 844 }, locale: "ko-KR", colorScheme: "dark" });
  await show(page, "/#/operations/workflows", '[data-run-row][data-state="failed"]');
  await page.waitForSelector(`[data-run-row="${id}"][data-state="waiting"]`);
  await page.waitForSelector('[data-run-row][data-state="done"]');
  assert.match(await page.locator('[data-run-row][data-state="failed"]').innerText(), /no picture/);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `the page is ${wide} pixels too wide`);
  await page.screenshot({ path: path.join(stage.shots, "workflows-phone-night.png"), fullPage: true });
  await show(page, `/#/operations/workflows/${id}`, '[data-run][data-state="waiting"]');
  await page.screenshot({ path: path.join(stage.shots, "workflow-phone-night.png"), fullPage: true });
  await page.locator('[data-verb="cancel"]').click();
  await page.waitForSelector('[data-run][data-state="cancelled"]');
  assert.deepEqual(page.troubles, []);
});

test("a chord is two nodes, however many members it has", async () => {
  const page = await operations({ viewport: { width: 1280, height: 900 } });
  await show(page, "/#/operations/workflows", '[data-run-row][data-state="failed"]');
  await page.screenshot({ path: path.join(stage.shots, "workflows.png"), fullPage: true });
  await page.locator('[data-run-row][data-state="failed"] .row-name').click();
  await page.waitForSelector("[data-run-error]");
  await page.waitForSelector('[data-step="press.broken"]');
  assert.equal(await page.locator("[data-flow] [data-step]").count(), 3);
  assert.match(await page.locator('[data-step="press.resize"]').innerHTML(), /39/);
  const failed = () => page.locator("[data-step-row].step-failed .steps-job a").evaluateAll((all) => all.map((a) => a.innerText));
  const [job] = await failed();
  await page.locator('[data-verb="retry"]').click();
  await eventually(async () => (await (await page.request.get(new URL(`/admin/v1/jobs/${/\d+/.exec(job)}`, server.adminUrl).href)).json()).attempts.length === 2, "a second attempt");
  await page.waitForSelector('[data-run][data-state="failed"] [data-verb="retry"]');
  await page.screenshot({ path: path.join(stage.shots, "workflow-chord.png"), fullPage: true });
  assert.deepEqual(page.troubles, []);
});

test("many items are one node with its counts, and one line", async () => {
  const { id } = await post("/catalogue", { n: 400 });
  const page = await operations();
  await show(page, `/#/operations/workflows/${id}`, '[data-run][data-state="done"]');
  assert.equal(await page.locator("[data-flow] [data-step]").count(), 3);
  assert.equal(await page.locator('[data-step="page"]').getAttribute("data-state"), "failed");
  assert.match(await page.locator('[data-step="page"]').textContent(), /392\/400/);
  assert.equal(await page.locator("[data-step-row]").count(), 3);
  assert.match(await page.locator("[data-step-row]", { hasText: "400 items" }).innerText(), /done 392 · failed 8/);
  await page.screenshot({ path: path.join(stage.shots, "workflow-items.png"), fullPage: true });
  await page.locator('[data-step="page"]').click();
  assert.equal(await page.locator("[data-step-row]").count(), 27);
  assert.match(await page.locator(".steps").innerText(), /page 357 is torn/);
  const slow = await post("/catalogue", { n: 300, slow: 1.5 });
  const phone = await operations({ viewport: { width: 390, height: 844 }, locale: "ko-KR", colorScheme: "dark" });
  await show(phone, `/#/operations/workflows/${slow.id}`, '[data-step="page"][data-state="running"]');
  await phone.screenshot({ path: path.join(stage.shots, "workflow-items-phone-night.png"), fullPage: true });
  assert.deepEqual([...page.troubles, ...phone.troubles], []);
});
