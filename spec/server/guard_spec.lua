--- A generation that does worse than its predecessor is rolled back by itself, once.
local server = require("spec.support.server")

local function version(n, handler)
  return {
    ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d", limits = { memory = "8M" } }
M.routes = {
  ["GET /n"] = function() return 200, { v = %d } end,
  ["GET /v"] = function(app) %s end,
}
return M
]]):format(n, n, handler or ("return 200, { v = %d }"):format(n)),
  }
end

describe("the guard of a reload", function()
  local maru

  local function start(...)
    maru = server.start({ plugins = { shop = version(1) },
      set = { "plugins.watch=false", "reload.guard_tasks=10", ... } })
  end

  after_each(function()
    maru:stop()
  end)

  local function run(command)
    local output, status = maru:command_output(command)
    assert.equal(0, status, output)
  end

  local function load(n, handler)
    server.write_plugins(maru.dir .. "/plugins", { shop = version(n, handler) })
    run("reload shop")
    assert.equal(n, maru:get("/n").json.v)
  end

  local function ask(times, path)
    for _ = 1, times do
      maru:get(path or "/v")
    end
  end

  local function serves(n)
    return server.wait_for(function()
      local json = maru:get("/n").json
      return json and json.v == n
    end)
  end

  local function show()
    return maru:admin("/plugins/shop")
  end

  it("puts the predecessor back when most tasks raise, and says so everywhere", function()
    start()
    ask(5)
    load(2, "error('ink is dry')")
    local bad = show().generation
    ask(15)
    assert(serves(1), maru:logs():sub(-2000))
    local plugin = show()
    assert.equal(bad, plugin.rolled_back.from)
    assert.truthy(plugin.rolled_back.reason:find("tasks failed", 1, true), plugin.rolled_back.reason)
    assert.equal("rolled back", plugin.events[1].kind)
    assert.equal("guard", plugin.events[2].kind)
    assert.truthy(maru:logs():find("does worse than", 1, true))
    assert.truthy(maru:get("/metrics").body:find('maru_plugin_rollbacks_total{plugin="shop",cause="guard"} 1', 1, true))
    assert.truthy(maru:command_output("plugins"):find("rolled back from " .. bad, 1, true))
    for _, kept in ipairs(plugin.kept) do
      assert.equal(kept.hash == bad, type(kept.failed) == "string")
    end
    run("reload")
    assert.equal(1, maru:get("/n").json.v)
  end)

  it("counts what ran out of memory or time", function()
    start()
    load(2, "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end")
    ask(2)
    assert(serves(1), maru:logs():sub(-2000))
    assert.truthy(show().rolled_back.reason:find("killed", 1, true))
  end)

  it("does not take an answer of 4xx for a failure, but 5xx", function()
    start()
    load(2, "error(app.fail(404, 'not_found', 'nobody here'))")
    ask(30)
    assert.is_nil(server.wait_for(function()
      return show().generation and type(show().rolled_back) == "table"
    end, 1))
    load(3, "error(app.fail(503, 'busy', 'later'))")
    ask(15)
    assert(serves(2), maru:logs():sub(-2000))
  end)

  it("leaves a generation that is no worse than the one before", function()
    maru = server.start({ plugins = { shop = version(1, "error('dry')") },
      set = { "plugins.watch=false", "reload.guard_tasks=10" } })
    ask(12)
    load(2, "error('still dry')")
    ask(20)
    assert.is_nil(server.wait_for(function()
      return type(show().rolled_back) == "table"
    end, 1))
  end)

  it("never leads back to what was rolled back, and gives way to the operator", function()
    start()
    load(2, "error('dry')")
    ask(15)
    assert(serves(1))
    load(3, "error('dry again')")
    ask(15)
    assert(serves(1))
    local count = 0
    for _, event in ipairs(show().events) do
      count = count + (event.kind == "rolled back" and 1 or 0)
    end
    assert.equal(2, count)
    load(4)
    assert.is_userdata(show().rolled_back)
  end)

  it("can be off", function()
    start("reload.guard=0")
    load(2, "error('dry')")
    ask(30)
    assert.is_nil(server.wait_for(function()
      return type(show().rolled_back) == "table"
    end, 1))
  end)
end)
