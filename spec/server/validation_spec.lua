--- What a route declares is what its handler gets, and everything else is refused in one answer.
local cjson = require("cjson")
local server = require("spec.support.server")

local FORM = { ["plugin.lua"] = [[
local M = { name = "form", version = "1.0.0" }
local ITEM = { type = "object", fields = { price = "number(0,)", name = "string(1,5)", count = { type = "integer",
  default = 1 } } }
M.routes = {
  ["GET /text/{id}/{rest...}"] = {
    path = { id = "integer(1,)" },
    query = { n = "number?", on = "boolean?", tags = "string(1,5)[0,3]?", ids = "integer[]?", day = "date?",
      level = { type = "enum", values = { 1, 2 }, optional = true }, either = { one_of = { "integer", "boolean" },
      optional = true }, limit = { type = "integer", min = 1, max = 50, default = 20 } },
    headers = { ["x-key"] = "uuid?", ["x-list"] = "integer[]?" },
    function(_, req) return 200, { params = req.params, query = req.query, key = req.headers["x-key"],
      list = req.headers["x-list"], host = req.headers.host } end,
  },
  ["POST /body"] = {
    body = {
      items = { type = "array", items = ITEM, min = 1, max = 200 },
      size = { type = "object", default = {}, fields = { w = { type = "integer", default = 3 }, h = "integer?" } },
      labels = { type = "object", values = "integer(0,9)", max = 3, optional = true },
      free = { type = "object", optional = true }, open = { type = "object", open = true, optional = true,
      fields = { a = "integer" } }, ratio = "number(>0,<1)?", even = { type = "integer", step = 2, optional = true },
      note = "string(,10)|null?", codes = { type = "array", items = "string", unique = true, optional = true },
      matrix = "number[2,2][]?", mail = "email?", at = "datetime?", link = "url?", four = "ipv4?", six = "ipv6?",
      raw = "base64?", pin = { type = "string", pattern = "%d%d%d%d", optional = true },
      shape = { optional = true, one_of = { { type = "object", fields = { r = "number" } }, { type = "object",
      fields = { w = "number", h = "number" } } } },
    },
    function(_, req) return 200, req.body end,
  },
  ["POST /list"] = { body = "integer[1,3]", function(_, req) return 200, req.body end },
  ["POST /map"] = { body = { type = "object", values = "boolean" }, function(_, req) return 200, req.body end },
  ["POST /maybe"] = { body = { a = { type = "integer", default = 5 } }, function(_, req) return 200, req.body end },
  ["POST /any"] = { body = "any", function(_, req) return 200, { got = req.body } end },
  ["GET /answer/{kind}"] = {
    answers = { [200] = { n = "integer", list = "string[]" }, [404] = "no such kind" },
    function(app, req)
      local kind = req.params.kind
      if kind == "none" then error(app.fail(404, "not_found", "no such kind")) end
      if kind == "other" then return 201, {} end
      if kind == "text" then return 200, '{"n":0}', { ["content-type"] = "application/json" } end
      return 200, { n = kind == "wrong" and 1.5 or 1, list = kind == "empty" and {} or app.json.array({}) }
    end,
  },
}
return M
]] }

describe("a declared route", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { form = FORM } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function errors_of(answer)
    assert.equal(422, answer.status, answer.body)
    local by_field = {}
    for _, item in ipairs(answer.json.errors) do
      by_field[item.field] = item
    end
    return by_field, answer.json
  end

  local ITEMS = { { price = 1, name = "pen" } }

  local function body(fields)
    fields.items = fields.items or ITEMS
    return maru:post("/body", fields)
  end

  it("reads path, query and headers as what they were declared", function()
    local answer = maru:get("/text/7/a/b%20c?n=1.5e2&on=true&tags=a,b&ids=1&ids=2&day=2024-02-29&level=2&either=true",
      { headers = { ["x-key"] = "019aa3c2-7f00-7000-8000-0123456789ab", ["x-list"] = "1, 2,3" } })
    assert.equal(200, answer.status, answer.body)
    assert.same({ id = 7, rest = "a/b c" }, answer.json.params)
    assert.same({ n = 150, on = true, tags = { "a", "b" }, ids = { 1, 2 }, day = "2024-02-29", level = 2,
      either = true, limit = 20 }, answer.json.query)
    assert.equal("019aa3c2-7f00-7000-8000-0123456789ab", answer.json.key)
    assert.same({ 1, 2, 3 }, answer.json.list)
    assert.truthy(answer.json.host:find("127.0.0.1", 1, true))
    assert.same({}, maru:get("/text/7/a?tags=").json.query.tags)
  end)

  it("refuses text that is something else, each with its place, code and expectation", function()
    local fields = errors_of(maru:get("/text/0/a?n=1x&on=yes&tags=a,b,c,d&ids=1,b&day=2023-02-29&level=3&either=no"
      .. "&limit=1&limit=2&limt=5", { headers = { ["x-key"] = "nobody" } }))
    local codes = {}
    for field, item in pairs(fields) do
      codes[field] = item.code
    end
    assert.same({ ["path.id"] = "range", ["query.n"] = "type", ["query.on"] = "type", ["query.tags"] = "items",
      ["query.ids[2]"] = "type", ["query.day"] = "format", ["query.level"] = "enum", ["query.either"] = "one_of",
      ["query.limit"] = "repeated", ["query.limt"] = "unknown", ["headers.x-key"] = "format" }, codes)
    assert.equal("unknown field; did you mean 'limit'?", fields["query.limt"].message)
    assert.same({ "query", "/ids/1" }, { fields["query.ids[2]"]["in"], fields["query.ids[2]"].pointer })
    assert.same({ type = "integer", minimum = 1, maximum = 50 }, fields["query.limit"].expected)
    for _, text in ipairs({ "1e400", "9007199254740992", "-9007199254740992", "1.0", "0x10", "%2B1", "" }) do
      assert.equal(422, maru:get("/text/7/a?ids=1," .. text .. ",2").status, text)
    end
    assert.equal(9007199254740991, maru:get("/text/7/a?ids=9007199254740991").json.query.ids[1])
  end)

  it("fills in defaults, also nested ones, and drops null where it means absent", function()
    local answer = body({ note = cjson.null, mail = cjson.null })
    assert.equal(200, answer.status, answer.body)
    assert.same({ w = 3 }, answer.json.size)
    assert.equal(1, answer.json.items[1].count)
    assert.equal(cjson.null, answer.json.note)
    assert.is_nil(answer.json.mail)
    assert.same({ w = 3, h = 4 }, body({ size = { h = 4 } }).json.size)
    assert.same({ a = 5 }, maru:request("/maybe", { method = "POST", body = "" }).json)
  end)

  it("takes everything that fits", function()
    local given = { labels = { a = 1, ["b/c"] = 9 }, free = { x = { 1 } }, open = { a = 1, b = "kept" },
      ratio = 0.5, even = 4, note = "열글자까지는됩니다만", codes = { "a", "b" }, matrix = { { 1, 2 }, { 3, 4 } },
      mail = "kim@example.com", at = "2026-12-31T23:59:60Z", link = "https://[2001:db8::1]:8080/a?b=%20#c",
      four = "192.0.2.255", six = "::ffff:192.0.2.1", raw = "aGk=", pin = "0123", shape = { w = 1, h = 2 } }
    local answer = body(given)
    assert.equal(200, answer.status, answer.body)
    for key, value in pairs(given) do
      if key ~= "items" then
        assert.same(value, answer.json[key])
      end
    end
    assert.same({ 1, 2 }, maru:post("/list", { 1, 2 }).json)
    assert.same({ a = true }, maru:post("/map", { a = true }).json)
    assert.equal("[]", (maru:request("/any", { method = "POST", body = "[]",
      headers = { ["content-type"] = "application/vnd.x+json" } }).body:match("%[%]")))
  end)

  it("lists every wrong field of a body at once, with a pointer to each", function()
    local fields, problem = errors_of(body({
      items = { ITEMS[1], { price = -1, name = "" }, { price = "1", name = "pencils", colour = 1 }, 5 },
      labels = { ["b/c~"] = 10, ok = 1 }, open = {}, ratio = 1, even = 3, note = "eleven chars",
      codes = { "a", "b", "a" }, matrix = { { 1 } }, mail = "kim@", at = "2026-11-21 10:00",
      link = "ftp://x", four = "1.2.3.256", six = "1::2::3", raw = "a", pin = "123", shape = { r = 1, w = 2 },
      size = 5 }))
    local codes = {}
    for field, item in pairs(fields) do
      codes[field] = item.code .. " " .. item.pointer
    end
    assert.same({
      ["body.items[2].price"] = "range /items/1/price", ["body.items[2].name"] = "length /items/1/name",
      ["body.items[3].price"] = "type /items/2/price", ["body.items[3].name"] = "length /items/2/name",
      ["body.items[3].colour"] = "unknown /items/2/colour", ["body.items[4]"] = "type /items/3",
      ['body.labels["b/c~"]'] = "range /labels/b~1c~0", ["body.open.a"] = "required /open/a",
      ["body.ratio"] = "range /ratio", ["body.even"] = "step /even", ["body.note"] = "length /note",
      ["body.codes[3]"] = "unique /codes/2", ["body.matrix[1]"] = "items /matrix/0", ["body.mail"] = "format /mail",
      ["body.at"] = "format /at", ["body.link"] = "format /link", ["body.four"] = "format /four",
      ["body.six"] = "format /six", ["body.raw"] = "format /raw", ["body.pin"] = "pattern /pin",
      ["body.shape"] = "one_of /shape", ["body.size"] = "type /size",
    }, codes)
    assert.equal("22 fields are wrong", problem.detail)
    assert.is_nil(problem.errors_left_off)
    assert.equal("must be a number above 0 and below 1", fields["body.ratio"].message)
    assert.same({ type = "number", exclusiveMinimum = 0, exclusiveMaximum = 1 }, fields["body.ratio"].expected)
  end)

  it("keeps an object, an array and null apart", function()
    local function send(path, text)
      return maru:request(path, { method = "POST", body = text, headers = { ["content-type"] = "application/json" } })
    end
    for path, texts in pairs({ ["/list"] = { "{}", "null", '{"1":1}', "[null]", "[1.5]", "[]", "[1,2,3,4]", '"1"' },
      ["/map"] = { "[]", "[true]", "null", '{"a":1}', '{"a":null}', "true" },
      ["/maybe"] = { "[]", "[{}]", "5", '{"a":9007199254740992}', '{"a":"5"}', '{"a":true}' } }) do
      for _, text in ipairs(texts) do
        assert.equal(422, send(path, text).status, path .. " " .. text)
      end
    end
    assert.equal(200, send("/maybe", '{"a":1.0}').status)
  end)

  it("gives the first 50 of many wrong fields and says how many are left off", function()
    local items = {}
    for i = 1, 130 do
      items[i] = { price = -1, name = "pen" }
    end
    local _, problem = errors_of(body({ items = items }))
    assert.equal(50, #problem.errors)
    assert.equal(80, problem.errors_left_off)
    assert.equal("130 fields are wrong", problem.detail)
    local unknown = { items = ITEMS }
    for i = 1, 300 do
      unknown["u" .. i] = 1
    end
    unknown[("x"):rep(5000)] = 1
    local answer = maru:post("/body", unknown)
    assert.equal(251, answer.json.errors_left_off)
    assert.is_true(#answer.body < 20000)
  end)

  it("refuses what does not say that it is JSON", function()
    local function send(headers)
      return maru:request("/maybe", { method = "POST", body = "{}", headers = headers })
    end
    for _, kind in ipairs({ "text/plain", "application/x-www-form-urlencoded", "application/json; charset=euc-kr" }) do
      local answer = send({ ["content-type"] = kind })
      assert.equal(415, answer.status, kind)
      assert.equal("application/json", answer.headers.accept)
      assert.equal("not_json", answer.json.code)
    end
    assert.equal(415, send({}).status)
    assert.equal(415, send({ ["content-type"] = "application/json", ["content-encoding"] = "gzip" }).status)
    assert.equal(200, send({ ["content-type"] = "application/json; charset=utf-8" }).status)
  end)

  it("checks declared answers in development", function()
    assert.same({ n = 1, list = {} }, maru:get("/answer/right").json)
    assert.equal(404, maru:get("/answer/none").status)
    assert.equal(200, maru:get("/answer/text").status)
    for kind, words in pairs({ wrong = "body.n must be a whole number", empty = "body.list must be an array",
      other = "201 is not among the declared answers" }) do
      local answer = maru:get("/answer/" .. kind)
      assert.equal(500, answer.status)
      assert.truthy(answer.json.detail:find(words, 1, true), answer.body)
      assert.truthy(maru:logs():find(words, 1, true))
    end
  end)

  it("does not check answers outside of development", function()
    local other = server.start({ plugins = { form = FORM }, set = { "development=false" } })
    finally(function()
      other:stop()
    end)
    assert.equal(200, other:get("/answer/wrong").status)
    assert.equal(201, other:get("/answer/other").status)
  end)
end)

describe("a wrong declaration", function()
  local function refused(routes)
    local maru, log = server.try_start({ plugins = { form = { ["plugin.lua"] =
      "return { name = 'form', version = '1.0.0', routes = {\n" .. routes .. "\n} }" } } })
    if maru then
      maru:stop()
    end
    return assert(not maru and log, "it started")
  end

  local cases = {
    ["['POST /a'] = { body = { n = 'integer(5,1)' }, print }"] = "body.n: min is over max",
    ["['POST /a'] = { body = { n = 'integer(>x,)' }, print }"] = "'integer(>x,)' is not a field",
    ["['POST /a'] = { body = { n = 'string(>1,)' }, print }"] = "'string(>1,)' is not a field",
    ["['POST /a'] = { body = { n = 'strin' }, print }"] = "did you mean 'string'?",
    ["['POST /a'] = { body = { n = { type = 'string', format = 'emial' } }, print }"] = "did you mean 'email'?",
    ["['POST /a'] = { body = { n = { type = 'integer', min = 1.5 } }, print }"] = "n.min: must be a whole number",
    ["['POST /a'] = { body = { n = { type = 'integer', default = 'x' } }, print }"]
      = "n.default: must be a whole number",
    ["['POST /a'] = { body = { n = { type = 'string', max = 2, example = 'long' } }, print }"]
      = "n.example: must be text of at most 2 characters",
    ["['POST /a'] = { body = { o = { type = 'object', fields = { d = { type = 'any', default = 1 }, e = { type = "
      .. "'integer', default = 'x' } } } }, print }"]
      = "body.o.fields.e.default: must be a whole number",
    ["['POST /a'] = { body = { n = { type = 'array', unique = true, items = 'any' } }, print }"]
      = "only text, numbers and booleans can be compared",
    ["['POST /a'] = { body = { n = { one_of = { 'integer' } } }, print }"] = "one_of: must be a list of 2 to 20 fields",
    ["['POST /a'] = { body = { n = { type = 'object', min = 1, fields = {} } }, print }"]
      = "either `fields` or `values`",
    ["['GET /a'] = { query = { n = { type = 'object' } }, print }"] = "an object cannot stand in",
    ["['GET /a'] = { query = { n = 'integer|null' }, print }"] = "there is no null in text",
    ["['GET /a'] = { headers = { ['X-Key'] = 'string' }, print }"] = "small letters: \\\"x-key\\\"",
    ["['GET /a/{id}'] = { path = { id = 'integer?' }, print }"] = "a path parameter is always there",
    ["['GET /a'] = { body = { n = 'integer' }, print }"] = "a GET request has no body",
    ["['GET /a'] = { answers = { [99] = 'x' }, print }"] = "from 200 to 599",
    ["['GET /a'] = { answers = { [200] = { n = 'integr' } }, print }"] = "did you mean 'integer'?",
  }

  it("stops the start and says what is wrong", function()
    for routes, words in pairs(cases) do
      local log = refused(routes)
      assert.truthy(log:find(words, 1, true) or log:find(words:gsub('\\"', '"'), 1, true), routes .. "\n" .. log)
    end
  end)
end)
