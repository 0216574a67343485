/** The API page on the real program: routes are found, requests made and sent, wrong fields marked. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import path from "node:path";
import { startServer } from "./real_server.mjs";
import { eventually, openStage } from "./stage.mjs";

const SHOP = `
local M = { name = "shop", version = "1.0.0" }
local ITEM = { type = "object", fields = { sku = { type = "string", min = 1, max = 20, example = "PEN-1" },
  price = { type = "number", min = 0, example = 2.5 }, count = { type = "integer", min = 1, default = 1 } } }
M.routes = {
  ["GET /api/orders"] = { summary = "Orders, newest first", rate = "600/m", cache = "2s", query = {
    status = { type = "enum", values = { "open", "paid", "sent" }, optional = true, help = "only these" },
    limit = { type = "integer", min = 1, max = 50, default = 20, help = "of one page" }, tags = "string(1,10)[0,3]?",
    since = "date?", all = "boolean?" },
    answers = { [200] = { orders = { type = "array", items = { type = "object", fields = { id = "integer", note = "string|null" } } },
      query = "any" } },
    function(app, req) return 200, { orders = app.json.array({ { id = 1, note = app.json.null } }), query = req.query } end },
  ["POST /api/orders"] = { summary = "Take an order", description = "Every item is checked; nothing is kept when one is wrong.",
    body = { customer = { type = "email", help = "who pays" }, status = { type = "enum", values = { "open", "paid" }, default = "open" },
      items = { type = "array", items = ITEM, min = 1, max = 100 }, note = "string(,200)|null?", gift = "boolean?" },
    answers = { [201] = { id = "integer", items = "integer" }, [409] = "the order exists" },
    function(_, req) return 201, { id = 7, items = #req.body.items } end },
  ["PUT /api/orders/{id}/items"] = { summary = "Replace the items", path = { id = "integer(1,)" }, body = { type = "array", items = ITEM },
    function(_, req) return 200, { id = req.params.id, n = #req.body } end },
  ["DELETE /api/orders/{id}"] = { summary = "Forget an order", auth = "admin", deprecated = true, path = { id = "integer(1,)" },
    answers = { [204] = "gone" }, function() return 204 end },
  ["GET /api/files/{name...}"] = { summary = "One file", headers = { ["x-key"] = "string(3,)" },
    function(_, req) return 200, { name = req.params.name, key = req.headers["x-key"] } end },
  ["GET /api/ticks"] = { summary = "Ticks, as they happen", answers = { [200] = { content = "text/event-stream", help = "one every 50 ms" } },
    function(app) return app.sse(function(stream) for i = 1, 1000 do if not stream:send("tick", { n = i }) or not app.sleep(0.05) then return end end end) end },
}
return M`;
const BOARD = `return { name = "board", version = "2.0.0", routes = { ["GET /api/board"] = { summary = "The board", function() return 200, { ok = true } end } } }`;

let server;
let stage;
let page;

const open = async (where, id) => {
  await where.goto(`${server.url}/#/reference${id ? `/${id}` : ""}`);
  await where.waitForSelector(id ? `[data-detail="${id}"]` : "[data-operation]");
};
const field = (key) => page.locator(`[data-field="${key}"]`);
const send = async (status) => {
  await page.locator("[data-send]").click();
  await page.waitForSelector(`[data-answer="${status}"]`);
};
const answer = async () => JSON.parse(await page.locator("[data-answer-body]").innerText());
const shoot = (where, name) => where.screenshot({ path: path.join(stage.shots, `${name}.png`), fullPage: true });

describe("the API page", { timeout: 600000 }, () => {
  before(async () => {
    server = await startServer({ shop: SHOP, board: BOARD });
    process.env.MARU_URL = server.url;
    stage = await openStage();
    page = await stage.page({ permissions: ["clipboard-read", "clipboard-write"] });
  });
  after(async () => {
    await stage?.close();
    await server?.stop();
  });

  test("lists every route by plugin, and finds them", async () => {
    await open(page);
    assert.equal(await page.locator("[data-operation]").count(), 7);
    assert.deepEqual(await page.locator(".ref-tag").allInnerTexts(), ["board", "shop"]);
    await page.keyboard.press("/");
    await page.keyboard.type("orders post");
    await eventually(async () => (await page.locator("[data-operation]").count()) === 1, "one route");
    await page.keyboard.press("Escape");
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-detail]");
    assert.match(page.url(), /#\/reference\/shop\./);
    assert.equal(await page.locator("[data-operation][aria-current=page]").count(), 1);
    assert.match(await page.title(), /^(GET|POST|PUT|DELETE) \/api\/.* · maru$/);
  });

  test("fills in an example, sends it, and shows the answer with its status, time, size and headers", async () => {
    await open(page, "shop.post_api_orders");
    assert.equal(await field("body:customer").inputValue(), "kim@example.com");
    assert.deepEqual(JSON.parse(await field("body:items").inputValue()), [{ sku: "PEN-1", price: 2.5, count: 1 }]);
    await send(201);
    assert.deepEqual(await answer(), { id: 7, items: 1 });
    assert.match(await page.locator("[data-answer] header").innerText(), /201[^\n]*[\s\S]*\d ms[\s\S]*\d+ B/);
    await page.locator("[data-answer] summary").click();
    assert.match(await page.locator(".answer-headers").innerText(), /content-type[\s\S]*application\/json/);
  });

  test("marks every wrong field where it stands, and forgets when it is right", async () => {
    await open(page, "shop.post_api_orders");
    await field("body:customer").fill("nobody");
    await field("body:items").fill(`[{"sku": "", "price": 1}, {"sku": "a", "price": -1, "colour": 1}]`);
    await send(422);
    assert.equal(await page.locator("[data-field-error='body:customer']").innerText(), "must be an e-mail address");
    assert.deepEqual((await page.locator("[data-field-error='body:items'] li").allInnerTexts()).sort(), [
      "[1].sku: must be text of 1 to 20 characters", "[2].colour: unknown field", "[2].price: must be a number of at least 0"]);
    assert.equal(await page.locator("[aria-invalid=true]").count(), 2);
    assert.equal(await page.evaluate("document.activeElement.dataset.field"), "body:customer");
    await shoot(page, "reference-wrong-1280-light");
    await field("body:items").fill("[{]");
    await page.locator("[data-send]").click();
    await page.waitForSelector("[data-field-error='body:items']");
    assert.equal(await page.locator("[data-answer='422']").count(), 1, "what is no JSON was sent");
    await field("body:customer").fill("kim@example.com");
    await field("body:items").fill(`[{"sku": "a", "price": 1}]`);
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("[data-answer='201']");
    assert.equal(await page.locator("[aria-invalid=true]").count(), 0);
  });

  test("takes the body as JSON too, and keeps what was typed", async () => {
    await open(page, "shop.post_api_orders");
    await field("body:note").fill("at the door");
    await page.locator("input[name=ref-body][value=json]").check();
    const body = JSON.parse(await field("body").inputValue());
    assert.equal(body.note, "at the door");
    await field("body").fill(JSON.stringify({ ...body, status: "sent", extra: 1 }));
    await send(422);
    assert.deepEqual((await page.locator("[data-field-error=body] li").allInnerTexts()).sort(), ["body.extra: unknown field", "body.status: must be one of open, paid"]);
    await page.locator("input[name=ref-body][value=form]").check();
    assert.equal(await field("body:note").inputValue(), "at the door");
  });

  test("makes addresses of path, query and headers, and a command of the request", async () => {
    await open(page, "shop.get_api_orders");
    await field("query:status").selectOption("paid");
    await field("query:tags").fill("a,b");
    await field("query:all").selectOption("true");
    await send(200);
    assert.deepEqual((await answer()).query, { status: "paid", tags: ["a", "b"], all: true, limit: 20 });
    await field("query:limit").fill("99");
    await send(422);
    assert.equal(await page.locator("[data-field-error='query:limit']").innerText(), "must be a whole number from 1 to 50");

    await open(page, "shop.get_api_files_by_name");
    await field("path:name").fill("a b/c");
    await field("headers:x-key").fill("it's");
    await send(200);
    assert.deepEqual(await answer(), { name: "a b/c", key: "it's" });
    await page.locator(".curl button").click();
    assert.equal(await page.evaluate("navigator.clipboard.readText()"), `curl '${server.url}/api/files/a%20b/c' \\\n  -H 'x-key: it'\\''s'`);

    await open(page, "shop.put_api_orders_by_id_items");
    await field("path:id").fill("3");
    await send(200);
    assert.deepEqual(await answer(), { id: 3, n: 1 });
  });

  test("sends a token and says who is let in", async () => {
    await open(page, "shop.delete_api_orders_by_id");
    await page.locator("[data-token]").fill("secret");
    assert.match(await page.locator("[data-curl]").innerText(), /authorization: Bearer \$TOKEN/);
    await send(401);
    assert.equal((await answer()).code, "unauthorized");
    await open(page, "shop.get_api_orders");
    assert.equal(await page.locator("[data-token]").count(), 0);
  });

  test("follows a stream and stops it", async () => {
    await open(page, "shop.get_api_ticks");
    await page.locator("[data-send]").click();
    await page.waitForSelector("[data-answer='200']");
    await eventually(async () => /"n":3/.test(await page.locator("[data-answer-body]").innerText()), "three ticks");
    await page.locator("[data-stop]").click();
    await page.waitForSelector("[data-stop]", { state: "detached" });
  });

  test("says so when a route is gone", async () => {
    await page.goto(`${server.url}/#/reference/shop.nothing`);
    await page.waitForSelector("[data-note]");
    await page.locator(".ref-main [data-back]").waitFor({ state: "attached" });
  });

  test("nothing overflows, in either language, by day and by night, wide and on a phone", async () => {
    for (const [locale, colorScheme] of [["ko-KR", "dark"], ["en-GB", "light"]]) {
      for (const [size, viewport] of [["390", { width: 390, height: 844 }], ["1280", { width: 1280, height: 900 }]]) {
        const where = await stage.page({ viewport, locale, colorScheme });
        for (const id of [null, "shop.post_api_orders", "shop.get_api_orders"]) {
          await open(where, id);
          if (id) {
            await where.locator("[data-send]").click();
            await where.waitForSelector("[data-answer]");
          }
          const beyond = await where.evaluate(() => [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.className || e.nodeName).slice(0, 5));
          assert.deepEqual(beyond, [], `${id} ${size} ${locale}`);
          await shoot(where, `reference${id ? `-${id.split(".")[1]}` : ""}-${size}-${colorScheme}`);
        }
        assert.deepEqual(where.troubles, []);
        await where.context().close();
      }
    }
  });

  test("asks nobody else, breaks no policy, raises nothing", async () => {
    assert.deepEqual(page.foreign, []);
    assert.deepEqual(await page.evaluate("window.__violations"), []);
    assert.deepEqual(page.troubles, []);
  });
});
