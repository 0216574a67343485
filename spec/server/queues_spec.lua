--- Limits, turns and pauses of queues on the real program, declared by a plugin and changed by an operator.
local server = require("spec.support.server")

local SHOP = { ["plugin.lua"] = [[
local M = { name = "shop", version = "1.0.0" }
M.queues = { mail = { concurrency = 2 }, fair = { concurrency = 1, key_concurrency = 1 } }
local function busy(app, name, most)
  if app.cache:incr(name .. ":now", 1) > most then app.cache:incr(name .. ":over", 1) end
  app.sleep(0.02)
  app.cache:incr(name .. ":now", -1)
  app.cache:incr(name .. ":done", 1)
end
M.jobs = {
  send = { queue = "mail", function(app) busy(app, "mail", 2) end },
  turn = { queue = "fair", key = "tenant", function(app, job)
    app.cache:set("turn:" .. job.args.tenant, app.cache:incr("turns", 1))
  end },
  few = { rate = "3/h", function(app) app.cache:incr("few:done", 1) end },
  late = { queue = "stopped", expires = "100ms", function(app) app.cache:incr("late:done", 1) end },
  stuck = { timeout = "200ms", hard_timeout = "200ms", retries = 0, function(app) assert(app.sleep(60)) end },
}
M.routes = {
  ["POST /push"] = { body = { name = "string", count = "integer", tenant = "string?" }, function(app, req)
    local ids = assert(app.jobs:push_many(req.body.name, (function()
      local list = {}
      for i = 1, req.body.count do list[i] = { tenant = req.body.tenant } end
      return list
    end)()))
    return 200, { id = ids[1] }
  end },
  ["GET /seen/{name}"] = function(app, req) return 200, { n = app.cache:get(req.params.name) or 0 } end,
}
return M
]] }

local OTHER = { ["plugin.lua"] = [[
return { name = "other", version = "1.0.0", queues = { mail = { weight = 2 } } }
]] }

describe("queues", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { shop = SHOP } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function push(name, count, tenant)
    local answer = maru:post("/push", { name = name, count = count, tenant = tenant })
    assert.equal(200, answer.status)
    return answer.json.id
  end

  local function seen(name)
    return maru:get("/seen/" .. name).json.n
  end

  local function change(path, body)
    local answer = maru:admin("/queues/" .. path, "POST", body)
    assert.is_nil(answer.status, answer.detail)
  end

  local function state(id)
    return maru:admin("/jobs/" .. id).state
  end

  it("run no more at once than they declare", function()
    push("send", 20)
    assert.truthy(server.wait_for(function() return seen("mail:done") == 20 end))
    assert.equal(0, seen("mail:over"))
  end)

  it("let keys take turns", function()
    push("turn", 1, "first") -- the queue is known from here on
    assert.truthy(server.wait_for(function() return seen("turns") == 1 end))
    change("fair/pause")
    push("turn", 300, "many")
    push("turn", 1, "one")
    change("fair/resume")
    assert.truthy(server.wait_for(function() return seen("turns") == 302 end))
    assert.truthy(seen("turn:one") <= 4, seen("turn:one"))
  end)

  it("let as many start as the rate says", function()
    push("few", 5)
    assert.truthy(server.wait_for(function() return seen("few:done") == 3 end))
    push("send", 1)
    assert.truthy(server.wait_for(function() return seen("mail:done") == 21 end))
    assert.equal(3, seen("few:done"))
  end)

  it("stay paused over a restart, and what waits too long expires", function()
    push("late", 1)
    assert.truthy(server.wait_for(function() return seen("late:done") == 1 end))
    change("stopped/pause")
    maru:restart()
    local before, id = seen("late:done"), push("late", 1)
    assert.truthy(server.wait_for(function() return state(id) == "expired" end))
    assert.equal(before, seen("late:done"))
  end)

  it("end what is over its hard timeout, and go on", function()
    local before, id = seen("mail:done"), push("stuck", 1)
    assert.truthy(server.wait_for(function() return state(id) == "dead" end))
    push("send", 1)
    assert.truthy(server.wait_for(function() return seen("mail:done") == before + 1 end))
  end)

  it("are declared by one plugin only", function()
    local clash, log = server.try_start({ plugins = { shop = SHOP, other = OTHER } })
    assert.is_nil(clash)
    assert.truthy(log:find('M.queues["mail"]', 1, true), log)
    assert.truthy(log:find("shop", 1, true) and log:find("other", 1, true), log)
  end)
end)
