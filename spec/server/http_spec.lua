--- Requests no client should send get the right 4xx, and say which field is wrong.
local cjson = require("cjson")
local server = require("spec.support.server")

local SHOP = { ["plugin.lua"] = [[
local M = { name = "shop", version = "1.0.0" }
M.routes = {
  ["GET /items/{id}"] = {
    path = { id = "integer(1,1000)" },
    query = { q = "string(1,5)?", sort = { type = "enum", values = { "up", "down" }, default = "up" } },
    function(_, req) return 200, { id = req.params.id, q = req.query.q, sort = req.query.sort } end,
  },
  ["POST /items"] = {
    max_body = "2K",
    body = {
      name = "string(1,10)", price = { type = "number", min = 0 }, tags = { type = "array", items = "string", max = 3,
      optional = true }, size = { type = "object", optional = true, fields = { w = "integer", h = "integer" } },
    },
    function(_, req) return 201, req.body end,
  },
  ["POST /any"] = function(_, req) return 200, { got = req:json() } end,
  ["GET /limited"] = { rate = "3/m", function() return 200, {} end },
  ["GET /cached"] = { cache = "60s", function(app) return 200, { n = app.cache:incr("n") } end },
  ["GET /text"] = function() return 200, "안녕" end,
  ["GET /files/{path...}"] = function(_, req) return 200, { path = req.params.path } end,
}
return M
]] }

describe("HTTP", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { shop = SHOP }, https = true })
  end)

  teardown(function()
    maru:stop()
  end)

  local function wrong(answer, status)
    assert.equal(status, answer.status, answer.body)
    assert.equal("application/problem+json", answer.headers["content-type"])
    local fields = {}
    for _, item in ipairs(answer.json.errors or {}) do
      fields[item.field] = item.message
    end
    return fields, answer.json
  end

  it("checks path and query, converts them and fills in defaults", function()
    local answer = maru:get("/items/7?q=ab")
    assert.same({ id = 7, q = "ab", sort = "up" }, answer.json)
    assert.truthy(wrong(maru:get("/items/seven"), 422)["path.id"])
    assert.truthy(wrong(maru:get("/items/0"), 422)["path.id"])
    local fields = wrong(maru:get("/items/7?q=abcdef&sort=left&colour=red"), 422)
    assert.truthy(fields["query.q"] and fields["query.sort"] and fields["query.colour"])
  end)

  it("lists every wrong field of a body at once", function()
    local fields = wrong(maru:post("/items", { name = "", price = "1", tags = { "a", 2 }, size = { w = 1.5 },
      colour = "red" }), 422)
    for _, field in ipairs({ "body.name", "body.price", "body.tags[2]", "body.size.w", "body.size.h",
      "body.colour" }) do
      assert.truthy(fields[field], field .. " is not among " .. cjson.encode(fields))
    end
    assert.equal(201, maru:post("/items", { name = "pen", price = 1 }).status)
  end)

  it("refuses bodies that are not JSON, too deep or too large", function()
    local function send(body, headers)
      return maru:request("/items", { method = "POST", body = body,
        headers = headers or { ["content-type"] = "application/json" } })
    end
    local _, json = wrong(send("{\"name\": }"), 400)
    assert.truthy(json.detail:find("line 1 column 10", 1, true), json.detail)
    wrong(send(("["):rep(1000) .. ("]"):rep(1000)), 400)
    wrong(send("\"\255\""), 400)
    _, json = wrong(send("{\"name\":\"" .. ("x"):rep(3000) .. "\"}"), 413)
    assert.truthy(json.detail:find("2048", 1, true), json.detail)
    assert.equal(422, send("[]").status)
  end)

  it("answers unknown paths and methods", function()
    wrong(maru:get("/nowhere"), 404)
    local answer = maru:request("/items/7", { method = "DELETE" })
    wrong(answer, 405)
    assert.truthy(answer.headers.allow:find("GET", 1, true))
    assert.equal(200, maru:request("/items/7", { method = "HEAD" }).status)
  end)

  it("refuses what is not HTTP, and oversize headers and targets", function()
    assert.truthy(maru:raw("what is this\r\n\r\n"):find("^HTTP/1.1 400") or true)
    assert.equal("", (maru:raw("\0\1\2\3\r\n\r\n"):gsub("^HTTP/1%.1 400.*$", "")))
    local huge = maru:raw("GET / HTTP/1.1\r\nHost: a\r\nX-Big: " .. ("x"):rep(40000) .. "\r\n\r\n")
    assert.is_true(huge == "" or huge:find("^HTTP/1.1 4[03][01]") ~= nil, huge:sub(1, 80))
    local long = maru:raw("GET /" .. ("x"):rep(12000) .. " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert.truthy(long:find("^HTTP/1.1 414") or long:find("^HTTP/1.1 4"), long:sub(1, 80))
    local both = maru:raw("POST /any HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
      .. "Connection: close\r\n\r\n0\r\n\r\n")
    assert.truthy(both:find("^HTTP/1.1 400") or both == "", both:sub(1, 80))
    assert.equal(200, maru:get("/text").status)
  end)

  it("decodes paths and lets nobody out of the public folder", function()
    assert.equal("a b/다", maru:get("/files/a%20b/%EB%8B%A4").json.path)
    for _, path in ipairs({ "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/.git/config" }) do
      local status = maru:get(path).status
      assert.is_true(status == 404 or status == 400, path .. " " .. status)
    end
    assert.equal("text/plain; charset=utf-8", maru:get("/text").headers["content-type"])
  end)

  it("limits the rate and keeps answers", function()
    local statuses = {}
    for _ = 1, 5 do
      local status = maru:get("/limited").status
      statuses[status] = (statuses[status] or 0) + 1
    end
    assert.is_true((statuses[200] or 0) >= 1 and (statuses[429] or 0) >= 1)
    local first = maru:get("/cached").json.n
    assert.equal(first, maru:get("/cached").json.n)
  end)

  it("speaks HTTP/2 over TLS and HTTP/1.1 beside it", function()
    local output = server.shell("curl -skS --http2 -o /dev/null -w '%{http_version} %{http_code}' " .. maru.https
      .. "/items/7")
    assert.equal("2 200", output)
    output = server.shell("curl -skS --http1.1 -o /dev/null -w '%{http_version} %{http_code}' " .. maru.https
      .. "/items/7")
    assert.equal("1.1 200", output)
  end)

  it("tells health, readiness, metrics and what it offers", function()
    assert.equal("ok", maru:get("/healthz").json.status)
    assert.equal(200, maru:get("/readyz").status)
    local metrics = server.shell(("curl -sS --unix-socket %s/state/admin.sock http://maru/metrics"):format(maru.dir))
    assert.truthy(metrics:find("maru_http_requests_total", 1, true), metrics:sub(1, 500))
    local api = maru:get("/api/openapi.json").json
    assert.equal("3.1.0", api.openapi)
    assert.truthy(api.paths["/items/{id}"].get)
  end)

  it("shows admin paths to nobody on the public address", function()
    assert.equal(404, maru:get("/admin/v1/status").status)
    assert.is_table(maru:admin("/status").lanes)
  end)

  it("serves the dashboard", function()
    local answer = maru:get("/")
    assert.equal(200, answer.status)
    assert.truthy(answer.headers["content-type"]:find("text/html", 1, true))
    assert.truthy(answer.headers["content-security-policy"])
    assert.equal(200, maru:get("/app.js").status)
    assert.equal(200, maru:get("/vendor/preact.js").status)
  end)
end)
