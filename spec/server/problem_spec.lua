--- Every error is one kind of document (RFC 9457), whoever says it: the library, the host, a plugin.
local server = require("spec.support.server")

local SHOP = { ["plugin.lua"] = [[
local M = { name = "shop", version = "1.0.0", limits = { task = "300ms" } }
local function ok() return 200, {} end
M.routes = {
  ["GET /ok"] = ok, ["POST /ok"] = ok, ["PUT /only"] = ok,
  ["POST /body"] = { max_body = "1K", body = { n = "integer" }, ok },
  ["GET /query"] = { query = { n = "integer?" }, ok },
  ["GET /user"] = { auth = "user", ok }, ["GET /rate"] = { rate = "1/h", ok },
  ["GET /fail/{status}"] = { path = { status = "integer" }, function(app, req)
    error(app.fail(req.params.status, "word", "in words", { more = 1 }))
  end },
  ["GET /raise"] = function() error("secret") end,
  ["GET /slow"] = function(app) assert(app.sleep(5)) return 200, {} end,
  ["GET /bad"] = function() return 99, {} end,
}
return M
]] }

local REASONS = { [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [406] = "Not Acceptable", [409] = "Conflict", [413] = "Content Too Large",
  [414] = "URI Too Long", [415] = "Unsupported Media Type", [417] = "Expectation Failed",
  [422] = "Unprocessable Content", [429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error", [503] = "Service Unavailable", [504] = "Gateway Timeout" }

describe("an error", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { shop = SHOP }, https = true, set = { "development=false" } })
  end)

  teardown(function()
    maru:stop()
  end)

  --- What every problem must have; returns it.
  local function problem(answer, status, code)
    assert.equal(status, answer.status, answer.body)
    assert.equal("application/problem+json", answer.headers["content-type"])
    local json = answer.json
    assert.equal("about:blank", json.type)
    assert.equal(status, json.status)
    assert.equal(REASONS[status], json.title)
    assert.equal("string", type(json.detail))
    assert.equal(code, json.code)
    assert.truthy(json.instance:find("^[%w_.-]+$"))
    assert.equal(json.instance, answer.headers["x-request-id"])
    return json, answer.headers
  end

  --- The same of bytes that are no right request.
  local function raw(bytes, status, code)
    local answer = maru:raw(bytes)
    local head, body = answer:match("^(.-)\r\n\r\n(.*)$")
    assert.truthy(head, answer)
    local headers = {}
    for name, value in head:gmatch("\r\n([^:]+): ([^\r]*)") do
      headers[name:lower()] = value
    end
    local ok, json = pcall(require("cjson").decode, body)
    return problem({ status = tonumber(head:match("^HTTP/1.1 (%d+)")), headers = headers, body = body,
      json = ok and json }, status, code)
  end

  it("of the host's own checks is a problem that names the request", function()
    problem(maru:get("/nowhere"), 404, "not_found")
    local _, headers = problem(maru:request("/only", { method = "DELETE" }), 405, "method_not_allowed")
    assert.equal("PUT, OPTIONS", headers.allow)
    _, headers = problem(maru:get("/user"), 401, "unauthorized")
    assert.equal("Bearer", headers["www-authenticate"])
    maru:get("/rate")
    _, headers = problem(maru:get("/rate"), 429, "rate_limited")
    assert.is_true(tonumber(headers["retry-after"]) > 0)
    problem(maru:get("/" .. ("x"):rep(9000)), 414, "uri_too_long")
    problem(maru:get("/a/../b"), 400, "bad_request")
    problem(maru:get("/%ff"), 400, "bad_request")
  end)

  it("of a body says what was wrong with it", function()
    local function send(text, kind)
      return maru:request("/body", { method = "POST", body = text,
        headers = { ["content-type"] = kind or "application/json" } })
    end
    problem(send(("x"):rep(2000)), 413, "body_too_large")
    problem(send("{}", "text/csv"), 415, "not_json")
    local json = problem(send("{\n  \"n\": 1,\n}"), 400, "json")
    assert.truthy(json.detail:find("line 3 column 1", 1, true), json.detail)
    problem(send(""), 400, "json")
    problem(send(("["):rep(70) .. ("]"):rep(70)), 400, "json")
    problem(send("{\"n\":\"\\ud800\"}"), 400, "json")
    json = problem(send("{}"), 422, "invalid")
    assert.same({ ["in"] = "body", field = "body.n", pointer = "/n", code = "required", message = "is required",
      expected = { type = "integer", minimum = -9007199254740991, maximum = 9007199254740991 } }, json.errors[1])
    assert.equal("body.n: is required", json.detail)
    problem(maru:get("/query?n=%zz"), 400, "bad_query")
  end)

  it("of a handler is the same document, and tells nothing that it should not", function()
    for _, status in ipairs({ 400, 403, 406, 409, 429, 503 }) do
      local json = problem(maru:get("/fail/" .. status), status, "word")
      assert.equal(1, json.more)
      assert.equal("in words", json.detail)
    end
    local json = problem(maru:get("/raise"), 500, "error")
    assert.is_nil(json.detail:find("secret", 1, true))
    assert.truthy(maru:logs():find(json.instance, 1, true))
    problem(maru:get("/bad"), 500, "error")
    problem(maru:get("/slow"), 504, "timeout")
  end)

  it("of the library is one too", function()
    local tail = "\r\nHost: a\r\nConnection: close\r\n"
    raw("POST /body HTTP/1.1" .. tail .. "Content-Length: 99999999\r\n\r\n", 413, "body_too_large")
    raw("POST /body HTTP/1.1" .. tail .. "Content-Length: 3\r\nExpect: tea\r\n\r\nabc", 417, "expectation")
    raw("GET /ok HTTP/1.1" .. tail .. "X-Big: " .. ("x"):rep(20000) .. "\r\n\r\n", 431, "headers_too_large")
  end)

  it("has the id that the client gave, over HTTP/2 too", function()
    local json = problem(maru:get("/nowhere", { headers = { ["x-request-id"] = "my-id.1" } }), 404, "not_found")
    assert.equal("my-id.1", json.instance)
    assert.are_not.equal("a b", problem(maru:get("/nowhere", { headers = { ["x-request-id"] = "a b" } }), 404,
      "not_found").instance)
    local output = server.shell("curl -skS --http2 -D - " .. maru.https .. "/nowhere")
    local id = output:match("x%-request%-id: (%x+)")
    assert.truthy(id and output:find('"instance":"' .. id .. '"', 1, true), output)
  end)

  it("answers HEAD with the head alone, and OPTIONS with what is allowed", function()
    local answer = maru:request("/nowhere", { method = "HEAD" })
    assert.equal(404, answer.status)
    assert.equal("", answer.body)
    assert.is_true(tonumber(answer.headers["content-length"]) > 50)
    assert.equal(200, maru:request("/ok", { method = "HEAD" }).status)
    answer = maru:request("/ok", { method = "OPTIONS" })
    assert.equal(204, answer.status)
    assert.equal("GET, HEAD, POST, OPTIONS", answer.headers.allow)
    assert.equal(405, maru:request("/only", { method = "HEAD" }).status)
  end)
end)
