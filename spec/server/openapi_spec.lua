--- The document at /api/openapi.json is OpenAPI 3.1 by an independent validator, and the server takes and
--- refuses the same bodies as an independent reading of its schemas (spec/support/openapi.mjs).
local cjson = require("cjson")
local server = require("spec.support.server")

local TORTURE = { ["plugin.lua"] = [[
local M = { name = "torture", version = "1.2.3" }
local function ok() return 200, { ok = true } end
local POINT = { type = "object", help = "a place", fields = { x = "number(-1,1)", y = { type = "number", above = -1,
  below = 1, example = 0.5 } } }
local ALL = {
  text = "string(2,5)", short = "string(,3)|null", free = { type = "string", help = "말", example = "안녕" },
  plate = { type = "string", pattern = "^%d%d%d?가%u+$", optional = true, example = "12가A" },
  code = { type = "string", pattern = "[%a_][%w_.-]*", min = 2, max = 6, example = "a_1" },
  slug = { type = "string", pattern = "(%l+)%-?%d*[^%s]-!", optional = true, example = "ab-1x!" },
  rest = { type = "string", pattern = "%.%$[%^%]%-a-c]+.*", optional = true, example = ".$^]-b" },
  whole = "integer", small = "integer(-2,2)", even = { type = "integer", step = 2, min = 0, default = 4 },
  open = "integer(>0,<10)?", ratio = "number(>0,1)?", any_number = "number", flag = "boolean",
  word = "enum(open,paid)|null?", level = { type = "enum", values = { 1, 2.5 }, default = 1 },
  list = "number[1,3]", matrix = "integer(0,9)[2,2][]?", set = { type = "array", items = "string(,2)", unique = true,
  max = 4, optional = true }, flags = { type = "array", items = "boolean", unique = true, optional = true },
  anything = "any", maybe = "any?", loose = { type = "object", optional = true },
  several = { type = "array", optional = true, max = 2 },
  map = { type = "object", values = "integer(0,5)|null", min = 1, max = 2, optional = true },
  counted = { type = "object", max = 1, optional = true },
  point = POINT, points = { type = "array", items = POINT, max = 2, default = {} },
  deep = { type = "object", default = {}, fields = { inner = { type = "object", default = {}, fields = {
    n = { type = "integer", default = 1 }, l = "string[]?" } } } },
  keeps = { type = "object", open = true, optional = true, fields = { a = "boolean" } },
  nothing = { type = "object", nullable = true, fields = { b = "string?" } },
  either = { one_of = { "integer(0,5)", "enum(all)", "boolean[1,2]" }, nullable = true },
  shape = { optional = true, one_of = { { type = "object", fields = { r = "number", n = { type = "integer",
    default = 1 } } }, { type = "object", fields = { w = "number", h = "number", n = "integer|null?" } } } },
  old = { type = "integer", deprecated = true, optional = true },
  ["odd name/~"] = "string?",
}
local FORMATS = { date = "date?", datetime = "datetime?", time = "time?", uuid = "uuid?", email = "email?",
  url = "url?", host = "hostname?", four = "ipv4?", six = "ipv6?", raw = "base64?",
  mails = { type = "array", optional = true, items = { type = "email", max = 12, example = "kim@a.kr" } } }
M.routes = {
  ["POST /torture"] = { summary = "Everything", description = "All that fields can say.", body = ALL, ok },
  ["PUT /torture/formats"] = { body = FORMATS, ok },
  ["PATCH /torture/list"] = { body = { type = "array", items = "integer(0,3)", unique = true, max = 3 }, ok },
  ["POST /torture/map"] = { body = { type = "object", values = POINT, help = "places" }, ok },
  ["POST /torture/union"] = { body = { one_of = { "integer", "string(1,2)[]", "boolean" } }, ok },
  ["POST /torture/text"] = { body = "email|null", ok },
  ["POST /torture/any"] = { body = "any", ok },
  ["DELETE /torture/{id}/{rest...}"] = { deprecated = true, auth = "admin", rate = "10/m", path = { id = "uuid" },
    query = { limit = { type = "integer", min = 1, max = 50, default = 20, help = "how many" }, tags = "string[0,3]?",
    odd = { type = "string", pattern = "%b()", optional = true } }, headers = { ["x-key"] = "string(3,)" },
    answers = { [204] = "gone", [404] = "no such thing" }, ok },
  ["GET /torture/{id}"] = { auth = "user", cache = "2s", answers = { [200] = { n = "integer", list = "string[]" },
    [202] = { content = "text/csv", help = "rows" } }, ok },
  ["GET /torture/by/id"] = ok, ["GET /torture-by/id"] = ok, ["GET /torture_by/id"] = ok, ["OPTIONS /torture-o"] = ok,
  ["GET /"] = ok,
}
return M
]] }

local function look(maru, arguments)
  local text, status = server.shell("node spec/support/openapi.mjs " .. maru.url .. " " .. (arguments or ""))
  assert.equal(0, status, text)
  return cjson.decode(text)
end

describe("the API document", function()
  local maru, document

  setup(function()
    maru = server.start({ plugins = { torture = TORTURE } })
    document = maru:get("/api/openapi.json").json
  end)

  teardown(function()
    maru:stop()
  end)

  it("is valid OpenAPI 3.1, whatever a plugin declares", function()
    local report = look(maru)
    assert.same({}, report.errors)
    assert.equal(14, report.operations)
    assert.equal(7, report.examples)
  end)

  it("describes bodies so that ajv refuses what the server refuses, and nothing else", function()
    local seed = os.getenv("SEED") or "20261121"
    local report = look(maru, (os.getenv("COUNT") or "400") .. " " .. seed)
    assert.same({}, report.disagreements)
    for path, tally in pairs(report.by_path) do
      local least = path == "/torture/any" and 0 or 50 -- nothing is wrong for `any`
      assert.is_true(tally.taken >= 50 and tally.refused >= least, path .. " " .. cjson.encode(tally))
    end
  end)

  it("says what every operation takes, answers and needs", function()
    local operation = document.paths["/torture/{id}/{rest}"].delete
    assert.is_true(operation.deprecated)
    assert.same({ "torture" }, operation.tags)
    assert.equal("torture.delete_torture_by_id_by_rest", operation.operationId)
    local parameters = {}
    for _, item in ipairs(operation.parameters) do
      parameters[item["in"] .. " " .. item.name] = item
    end
    assert.is_true(parameters["path id"].required and parameters["path rest"].required)
    assert.equal("uuid", parameters["path id"].schema.format)
    assert.same({ type = "integer", minimum = 1, maximum = 50, default = 20 }, parameters["query limit"].schema)
    assert.equal("how many", parameters["query limit"].description)
    assert.is_false(parameters["query limit"].required)
    assert.equal("%b()", parameters["query odd"].schema["x-lua-pattern"])
    assert.is_nil(parameters["query odd"].schema.pattern)
    assert.is_true(parameters["header x-key"].required)
    assert.equal("gone", operation.responses["204"].description)
    assert.is_nil(operation.responses["204"].content)
    for status, name in pairs({ ["401"] = "Unauthorized", ["422"] = "Invalid", ["429"] = "TooMany",
      default = "Problem" }) do
      assert.equal("#/components/responses/" .. name, operation.responses[status]["$ref"])
    end
    assert.same({ { admin = {} } }, operation.security)
    assert.equal("10/m", operation["x-maru"].rate)
    assert.truthy(document.components.responses.TooMany.headers["Retry-After"])
    assert.equal("Everything", document.paths["/torture"].post.summary)
    local text = document.paths["/torture/{id}"].get.responses["202"].content["text/csv"]
    assert.is_table(text)
  end)

  it("gives no two operations one id", function()
    local ids = {}
    for _, path in ipairs({ "/torture/{id}", "/torture/by/id", "/torture-by/id", "/torture_by/id" }) do
      ids[#ids + 1] = document.paths[path].get.operationId
    end
    table.sort(ids)
    assert.same({ "torture.get_torture_by_id", "torture.get_torture_by_id_2", "torture.get_torture_by_id_3",
      "torture.get_torture_by_id_4" }, ids)
  end)
end)

describe("the bundled plugins' document", function()
  it("is valid, has a summary, the answers and a tag for every operation", function()
    local maru = server.start({ plugins_path = "plugins", demo = true })
    finally(function()
      maru:stop()
    end)
    assert.same({}, look(maru).errors)
    local document = maru:get("/api/openapi.json").json
    local tags = {}
    for _, tag in ipairs(document.tags) do
      tags[tag.name] = true
    end
    for path, item in pairs(document.paths) do
      for method, operation in pairs(item) do
        assert.truthy(operation.summary, method .. " " .. path .. " has no summary")
        assert.is_true(tags[operation.tags[1]])
        local said
        for status, response in pairs(operation.responses) do
          said = said or status == "204" or (status:find("^2") and response.content)
        end
        assert.is_truthy(said, method .. " " .. path .. " does not say what it answers")
      end
    end
  end)
end)
