--- What users of a series see while PostgreSQL is killed, restarted, frozen or refused, under load:
--- errors in time, no call that hangs, nothing acknowledged lost. Times are printed, not judged.
local fault = require("spec.support.fault")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")
local socket = require("socket")

local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "m", version = "1.0.0" }
M.series = { load = { keys = { "k" }, values = { "v" }, retention = "30d" } }
M.limits = { task = "60s" }
-- Appends and reads without a pause; what was acknowledged is counted, what failed is kept by its words.
local state = { running = false, acknowledged = 0, failed = 0, reads = 0, slowest = 0, codes = {} }
local function note(app, from, ok, message, code)
  state.slowest = math.max(state.slowest, app.now() - from)
  if not ok then
    state.failed = state.failed + 1
    state.codes[code or "?"] = message
  end
end
M.routes = {
  ["POST /begin"] = function(app)
    state.running = true
    for task = 1, 3 do
      app.spawn(function()
        local n = 0
        while state.running do
          local from, rows = app.now(), {}
          n = n + 1
          for i = 1, 20 do rows[i] = { at = from, k = "t" .. task, v = n } end
          local ok, message, code = app.series:append("load", rows)
          note(app, from, ok, message, code)
          if ok then state.acknowledged = state.acknowledged + 20 else app.sleep(0.02) end
        end
      end)
    end
    app.spawn(function()
      while state.running do
        local from = app.now()
        local ok, message, code = app.series:window("load", { last = 5 })
        note(app, from, ok, message, code)
        if ok then state.reads = state.reads + 1 else app.sleep(0.02) end
      end
    end)
    return 200, {}
  end,
  ["POST /reset"] = function() state.failed, state.slowest, state.codes = 0, 0, {} return 200, {} end,
  ["POST /end"] = function() state.running = false return 200, {} end,
  ["GET /state"] = function() return 200, state end,
  ["GET /stats"] = function(app)
    local stats, message, code = app.series:stats("load")
    return 200, { points = stats and stats.points, message = message, code = code }
  end,
}
return M
]==] }

describe("series in a PostgreSQL that", function()
  local database, proxy, node

  lazy_setup(function()
    database = postgres.start()
    proxy = fault.proxy(database.port)
    node = server.start({ plugins = { m = PLUGIN }, set = {
      "lanes.web=1", "series.driver=postgres",
      "series.url=" .. database.url:gsub(":" .. database.port .. "/", ":" .. proxy.port .. "/"),
    } })
    assert.equal(0, node:get("/stats").json.points)
    node:post("/begin", {})
  end)
  lazy_teardown(function()
    if node then
      node:stop()
    end
    proxy:stop()
    database:drop()
  end)

  local function state()
    return node:get("/state").json
  end

  --- Until appends and reads come through again; the seconds are printed.
  local function wait_healed(what, from)
    local before = state()
    assert.is_truthy(server.wait_for(function()
      local now = state()
      return now.acknowledged > before.acknowledged and now.reads > before.reads
    end), "not healed after " .. what)
    local now = state()
    local codes = {}
    for code, message in pairs(now.codes) do
      codes[#codes + 1] = code .. " (" .. message .. ")"
    end
    print(("# %s: healed after %.1f s, %d calls failed, the slowest took %.1f s: %s"):format(what,
      socket.gettime() - from, now.failed, now.slowest, table.concat(codes, ", ")))
    return now
  end

  local function wait_failing()
    assert.is_truthy(server.wait_for(function()
      return state().failed > 0
    end))
    assert.equal(503, node:get("/readyz").status)
    local stats = node:get("/stats").json
    assert.equal("io", stats.code)
    assert.matches("^series: PostgreSQL: ", stats.message)
  end

  before_each(function()
    wait_healed("before", socket.gettime())
    node:post("/reset", {})
  end)

  it("is restarted as after a crash", function()
    database:stop("immediate")
    wait_failing()
    local from = socket.gettime()
    database:launch()
    local now = wait_healed("crash and restart", from)
    assert.is_truthy(now.codes.io)
    assert.equal(200, server.wait_for(function()
      local status = node:get("/readyz").status
      return status == 200 and status
    end))
  end)

  it("stands still", function()
    fault.pause(database.pid)
    wait_failing()
    local from = socket.gettime()
    fault.resume(database.pid)
    wait_healed("SIGSTOP", from)
  end)

  it("refuses connections", function()
    proxy:refuse()
    wait_failing()
    local from = socket.gettime()
    proxy:heal()
    wait_healed("refused", from)
  end)

  it("cuts connections", function()
    local from = socket.gettime()
    proxy:cut()
    wait_healed("cut", from)
  end)

  it("is slow", function()
    proxy:slow(30)
    local from = socket.gettime()
    wait_healed("30 ms a piece", from)
    assert.equal(0, state().failed)
    proxy:heal()
  end)

  it("has everything that was acknowledged", function()
    node:post("/end", {})
    local acknowledged
    server.wait_for(function()
      local now = state().acknowledged
      local same = now == acknowledged
      acknowledged = now
      socket.sleep(0.3)
      return same
    end)
    local points = node:get("/stats").json.points
    print(("# acknowledged %d points, there are %d"):format(acknowledged, points))
    assert.is_true(points >= acknowledged, points)
    -- A batch whose answer was lost may be there; a part of one may not.
    assert.equal("0", database:sql(
      "select count(*) from (select k, v from maru_series.m__load group by k, v having count(*) % 20 <> 0) q"))
  end)
end)
