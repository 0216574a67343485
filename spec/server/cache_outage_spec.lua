--- Redis is killed, frozen, cut off, slow, a replica, loading, full, while plugins use the cache and its locks: no call
--- hangs and no entry fails, locks are refused and nothing else, and what comes back is never old. Times are printed,
--- not judged.
local cjson = require("cjson")
local fault = require("spec.support.fault")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local LOAD = [==[
local M = { name = "load", version = "1.0.0", limits = { task = "10m" } }
local stats = { calls = 0, failed = 0, slowest = 0, locked = 0, refused = 0, told = "" }
local running, left = true, 0

local function timed(app, fn, ...)
  local from = app.now()
  local value, message, code = fn(app.cache, ...)
  stats.slowest = math.max(stats.slowest, app.now() - from)
  return value, message, code
end

local function one_turn(app, i, n)
  for _, call in ipairs({ { app.cache.set, "s" .. i, n }, { app.cache.get, "s" .. i }, { app.cache.incr, "n" .. i, 1 },
    { app.cache.add, "a" .. i, n, "1s" }, { app.cache.delete, "s" .. i }, { app.cache.keys, "s", 5 } }) do
    local _, message, code = timed(app, unpack(call))
    stats.calls = stats.calls + 1
    if code then stats.failed, stats.told = stats.failed + 1, message end
  end
  local token, fence, code = timed(app, app.cache.lock, "l" .. i, "2s")
  if token then
    stats.locked = stats.locked + 1
    if fence <= (stats.fence or 0) and i == 1 then stats.failed, stats.told = stats.failed + 1, "an old fence" end
    if i == 1 then stats.fence = fence end
    app.cache:unlock("l" .. i, token)
  elseif code then
    stats.refused = stats.refused + 1
    if code ~= "unavailable" and code ~= "timeout" then stats.failed, stats.told = stats.failed + 1, fence end
  end
end

M.routes = {
  ["POST /load/begin"] = function(app)
    running = true
    for i = 1, 8 do
      left = left + 1
      app.spawn(function()
        local n = 0
        while running do
          n = n + 1
          one_turn(app, i, n)
          app.sleep(0.002)
        end
        left = left - 1
      end)
    end
    return 200, {}
  end,
  ["GET /load/stats"] = function(app)
    local now = stats
    stats = { calls = 0, failed = 0, slowest = 0, locked = 0, refused = 0, told = "", fence = now.fence }
    return 200, now
  end,
  ["POST /load/end"] = function(app)
    running = false
    while left > 0 do app.sleep(0.01) end
    return 200, {}
  end,
  ["POST /load/run"] = function(app, req)
    local body = req:json()
    local list = app.json.array({})
    for i, value in ipairs({ assert(loadstring("local app = ... " .. body.text))(app) }) do list[i] = value end
    return 200, list
  end,
}
return M
]==]

describe("the cache while its Redis fails", function()
  local db, proxy, maru

  local function run(text)
    local answer = maru:request("/load/run", { method = "POST", json = { text = text } })
    assert.are.equal(200, answer.status, answer.body)
    return unpack(answer.json)
  end

  local function degraded()
    for _, driver in ipairs(maru:get("/readyz").json.degraded or {}) do
      if driver.kind == "cache" then
        return driver.error
      end
    end
    return nil
  end

  --- Until the process has noticed; what it says.
  local function noticed(what)
    local said = server.wait_for(degraded)
    assert.is_truthy(said, what .. " was not noticed")
    return said
  end

  local function stats()
    return maru:get("/load/stats").json
  end

  --- Until the process is back; a summary is printed.
  local function healed(what, seen)
    local from = socket.gettime()
    assert.is_truthy(server.wait_for(function()
      return not degraded()
    end), what .. " did not heal: " .. tostring(degraded()))
    print(("# %s: %d calls, %d failed, the slowest took %.2f s; locks: %d granted, %d refused; healed in %.2f s")
      :format(what, seen.calls, seen.failed, seen.slowest, seen.locked, seen.refused, socket.gettime() - from))
  end

  --- What a fault does to calls: they go on, entries do not fail, locks are refused.
  local function endured()
    stats()
    local sum = { calls = 0, failed = 0, slowest = 0, locked = 0, refused = 0, told = "" }
    assert.is_truthy(server.wait_for(function()
      local now = stats()
      for _, key in ipairs({ "calls", "failed", "locked", "refused" }) do
        sum[key] = sum[key] + now[key]
      end
      sum.slowest, sum.told = math.max(sum.slowest, now.slowest), now.told ~= "" and now.told or sum.told
      return sum.calls > 200 and sum.refused > 20
    end), cjson.encode(sum))
    assert.are.equal(0, sum.failed, sum.told)
    return sum
  end

  setup(function()
    db = redis.start("--appendonly no")
    proxy = fault.proxy(db.port)
    maru = server.start({ plugins = { load = { ["plugin.lua"] = LOAD } }, set = { "plugins.watch=false",
      "lanes.web=1", "lanes.job=1", "cache.driver=redis", "cache.prefix=maru:", "cache.timeout=300ms",
      "shutdown.grace=200ms",
      ("cache.url=redis://127.0.0.1:%d/0"):format(proxy.port) } })
  end)

  teardown(function()
    maru:stop()
    proxy:stop()
    db:stop()
  end)

  before_each(function()
    stats()
    assert.are.equal(200, maru:post("/load/begin", {}).status)
  end)

  after_each(function()
    maru:post("/load/end", {})
  end)

  it("killed, and everything in it lost", function()
    run([[app.cache:set("old", 1)]])
    db:kill()
    noticed("a killed server")
    local seen = endured()
    run([[app.cache:set("meanwhile", 1)]])
    assert.are.equal(1, run([[return app.cache:get("meanwhile")]]))
    db:again()
    healed("killed", seen)
    assert.is_nil((run([[return app.cache:get("old"), app.cache:get("meanwhile")]])))
    assert.are.equal("string", run([[return type((app.cache:lock("after", "1s")))]]))
  end)

  it("frozen: nothing old comes back and nothing of its own stays in front", function()
    run([[app.cache:set("changed", "old") app.cache:set("gone", "old") app.cache:set("kept", "old")
      app.cache:set("count", 10)]])
    fault.pause(db.pid)
    noticed("a frozen server")
    local seen = endured()
    run([[app.cache:set("changed", "meanwhile") app.cache:delete("gone") app.cache:incr("count")]])
    assert.are.equal("meanwhile", run([[return app.cache:get("changed")]]))
    fault.resume(db.pid)
    healed("frozen", seen)
    assert.are.equal("old", run([[return app.cache:get("kept")]]))
    assert.is_nil((run([[return app.cache:get("changed") or app.cache:get("gone") or app.cache:get("count")]])))
    db:call("SET", "maru:cache:load:changed", "sof another node")
    assert.are.equal("of another node", run([[return app.cache:get("changed")]]))
  end)

  it("refused, cut off, frozen on the way, and slow", function()
    for _, fault_name in ipairs({ "refuse", "freeze" }) do
      proxy[fault_name](proxy)
      noticed(fault_name)
      local seen = endured()
      proxy:heal()
      healed(fault_name, seen)
    end
    proxy:cut()
    healed("cut", stats())
    proxy:slow(20)
    stats()
    assert.is_truthy(server.wait_for(function()
      return stats().locked > 0
    end))
    assert.is_nil(degraded()) -- slow is not away
    proxy:heal()
    healed("slow", stats())
  end)

  it("a replica after a failover, and again the master", function()
    local master = redis.start()
    finally(function()
      master:stop()
    end)
    db:call("REPLICAOF", "127.0.0.1", tostring(master.port))
    assert.is_truthy(noticed("a replica"):find("READONLY", 1, true))
    local seen = endured()
    db:call("REPLICAOF", "NO", "ONE")
    healed("replica", seen)
  end)

  it("full: new entries are refused, the rest goes on", function()
    maru:post("/load/end", {})
    run([[app.cache:set("before", "here")]])
    db:call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    db:call("CONFIG", "SET", "maxmemory", "1")
    local code, lock, kept, gone = run([[
      local _, _, code = app.cache:set("more", 1)
      local _, _, lock = app.cache:lock("more")
      return code, lock, app.cache:get("before"), app.cache:delete("before")]])
    assert.are.same({ "full", "full", "here", true }, { code, lock, kept, gone })
    assert.is_nil(degraded())
    db:call("CONFIG", "SET", "maxmemory", "0")
    assert.is_true(run([[return app.cache:set("more", 1)]]))
  end)

  it("a password that is changed", function()
    db:call("CONFIG", "SET", "requirepass", "another")
    server.shell(("redis-cli -p %d -a another CLIENT KILL TYPE normal"):format(db.port))
    assert.is_truthy(server.wait_for(function()
      return (degraded() or ""):find("NOAUTH", 1, true)
    end))
    local seen = endured()
    server.shell(("redis-cli -p %d -a another CONFIG SET requirepass ''"):format(db.port))
    healed("password", seen)
  end)

  it("loading what it had", function()
    maru:post("/load/end", {})
    db:call("EVAL", "for i = 1, 3000 do redis.call('SET', 'filler' .. i, ('x'):rep(200)) end", "0")
    db:call("SAVE")
    maru:post("/load/begin", {})
    db:kill()
    noticed("a killed server")
    db.pid = tonumber(server.shell(("redis-server --port %d --bind 127.0.0.1 --dir %s --save '' --key-load-delay 300 "
      .. "--loading-process-events-interval-bytes 1024 >%s/out 2>&1 & echo $!"):format(db.port, db.dir, db.dir))
      :match("%d+"))
    local said = server.wait_for(function()
      local error = degraded()
      return error and error:find("LOADING", 1, true)
    end)
    local seen = stats()
    assert.are.equal(0, seen.failed, seen.told)
    assert.is_truthy(said, "it was never seen loading")
    healed("loading", seen)
  end)
end)
