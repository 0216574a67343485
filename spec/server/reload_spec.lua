--- Plugins replaced while they serve: nothing fails, nothing broken is ever served.
local server = require("spec.support.server")

local function version(n)
  return {
    ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d" }
M.routes = {
  ["GET /v"] = function() return 200, { v = %d } end,
  ["GET /slow"] = function(app) app.sleep(1) return 200, { v = %d } end,
}
return M
]]):format(n, n, n),
  }
end

local function start_load(url, seconds, file)
  os.remove(file)
  server.shell(("wrk -t1 -c16 -d%ds %s >%s 2>&1 &"):format(seconds, url, file))
end

--- Text wrk printed, once it has ended.
local function load_result(file)
  return assert(server.wait_for(function()
    local text = server.read_file(file)
    return text and text:find("Transfer/sec", 1, true) and text
  end, 60), "wrk did not end")
end

describe("a reload", function()
  local maru

  before_each(function()
    maru = server.start({ plugins = { shop = version(0) } })
  end)

  after_each(function()
    maru:stop()
  end)

  local function serves(n)
    return server.wait_for(function()
      local answer = maru:get("/v").json
      return answer and answer.v == n
    end)
  end

  it("loses no request over twenty edits and three broken ones", function()
    local file = maru.dir .. "/wrk"
    start_load(maru.url .. "/v", 20, file)
    for n = 1, 20 do
      server.write_plugins(maru.dir .. "/plugins", { shop = version(n) })
      assert(serves(n), "version " .. n .. " did not arrive:\n" .. maru:logs())
      if n % 6 == 0 then
        server.write_file(maru:plugin_path("shop"), "local M = {}\nM.routes = { [\"GET /v\"] = }\nreturn M\n")
        local output, status = maru:command_output("reload shop")
        assert.not_equal(0, status)
        assert.truthy(output:find("shop/plugin.lua:2:", 1, true), output)
        assert.equal(n, maru:get("/v").json.v)
      end
    end
    local text = load_result(file)
    assert.is_nil(text:find("Non-2xx", 1, true), text)
    assert.is_nil(text:find("Socket errors", 1, true), text)
    assert.is_true(tonumber(text:match("(%d+) requests in")) > 100)
  end)

  it("lets a running request finish on the code it began with", function()
    local file = maru.dir .. "/slow"
    server.shell(("curl -sS %s/slow >%s 2>&1 &"):format(maru.url, file))
    server.shell("sleep 0.3")
    server.write_plugins(maru.dir .. "/plugins", { shop = version(7) })
    assert(serves(7))
    assert(server.wait_for(function()
      return (server.read_file(file) or "") ~= ""
    end))
    assert.equal('{"v":0}', server.read_file(file))
  end)

  it("keeps the old version when start fails, and says why", function()
    server.write_plugins(maru.dir .. "/plugins", { shop = { ["plugin.lua"] = [[
local M = { name = "shop", version = "2.0.0" }
M.routes = { ["GET /v"] = function() return 200, { v = 99 } end }
M.start = function() error("no ink") end
return M
]] } })
    local output, status = maru:command_output("reload shop")
    assert.not_equal(0, status)
    assert.truthy(output:find("plugin.lua:3: no ink", 1, true), output)
    assert.equal(0, maru:get("/v").json.v)
  end)

  it("refuses a route that another plugin has, naming both", function()
    server.write_plugins(maru.dir .. "/plugins", { thief = { ["plugin.lua"] = [[
local M = { name = "thief", version = "1.0.0" }
M.routes = { ["GET /v"] = function() return 200, {} end }
return M
]] } })
    local output, status = maru:command_output("reload")
    assert.not_equal(0, status)
    assert.truthy(output:find("shop", 1, true) and output:find("thief", 1, true), output)
    assert.equal(0, maru:get("/v").json.v)
  end)

  it("hands what stop returns to the next start, and starts once", function()
    local function stateful(n)
      return { ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d" }
M.start = function(app, previous)
  app.cache:incr("starts")
  app.cache:set("carried", previous and previous.n or "nothing")
end
M.stop = function() return { n = %d } end
M.routes = { ["GET /v"] = function(app)
  return 200, { v = %d, starts = app.cache:get("starts"), carried = app.cache:get("carried") }
end }
return M
]]):format(n, n, n) }
    end
    server.write_plugins(maru.dir .. "/plugins", { shop = stateful(1) })
    assert(serves(1))
    server.write_plugins(maru.dir .. "/plugins", { shop = stateful(2) })
    assert(serves(2))
    local answer = server.wait_for(function()
      local json = maru:get("/v").json
      return json.starts == 2 and json
    end)
    assert(answer, maru:get("/v").body)
  end)

  it("adds a new plugin and drops one whose folder is gone", function()
    server.write_plugins(maru.dir .. "/plugins", { extra = { ["plugin.lua"] = [[
return { name = "extra", version = "1.0.0", routes = { ["GET /extra"] = function() return 200, { here = true } end } }
]] } })
    assert(server.wait_for(function()
      return maru:get("/extra").status == 200
    end))
    server.shell("rm -rf " .. maru.dir .. "/plugins/extra")
    assert(server.wait_for(function()
      return maru:get("/extra").status == 404
    end))
    assert.equal(0, maru:get("/v").json.v)
  end)
end)
