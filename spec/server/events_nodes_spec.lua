--- Several servers on one Kafka: one that runs no jobs emits, two share the partitions; one of these dies by kill -9,
--- and the other takes what was its.
local kafka = require("spec.support.kafka")
local server = require("spec.support.server")

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "s", version = "1.0.0" }
M.on = { ["s.made"] = function(app, event)
  assert(app.store:exec("insert into heard(n) values($1)", event.data.n))
end }
M.routes = {
  ["POST /emit"] = function(app, req)
    local body = req:json()
    for n = body.from, body.to do
      assert(app.events:emit("s.made", { n = n }, { key = "k" .. n }))
    end
    return 200, {}
  end,
  ["GET /heard"] = function(app)
    local list = {}
    for i, row in ipairs(app.store:all("select n from heard")) do list[i] = row.n end
    return 200, app.json.array(list)
  end,
}
return M
]==],
  ["migrations/0001_heard.sql"] = "create table heard(n integer);",
}

local WARM = 100000 -- numbers from here on only show who takes part

--- How often each number was handled by these servers, how many numbers, and how many handled each of them.
local function heard(nodes)
  local seen, count, each = {}, 0, {}
  for i, node in ipairs(nodes) do
    local list = node:get("/heard").json
    each[i] = #list
    for _, n in ipairs(list) do
      if n < WARM then
        count = count + (seen[n] and 0 or 1)
        seen[n] = (seen[n] or 0) + 1
      end
    end
  end
  return seen, count, each
end

describe("servers on one Kafka", function()
  it("share its partitions when they run jobs, and take over those of one that dies", function()
    local cluster = kafka.start(1)
    local nodes = {}
    finally(function()
      for _, node in ipairs(nodes) do
        node:stop()
      end
      cluster:stop()
    end)
    local function start(roles)
      nodes[#nodes + 1] = server.start({ plugins = { s = PLUGIN }, set = { "plugins.watch=false", "lanes.web=1",
        "lanes.job=1", "events.driver=kafka", "events.url=" .. cluster.url, "roles=" .. roles,
        "events.kafka=session.timeout.ms=6000,heartbeat.interval.ms=500" } })
      return nodes[#nodes]
    end
    local web, one, other = start("web"), start("web,jobs,cron"), start("web,jobs,cron")
    assert.same({}, web:admin("/events").groups)
    -- An event that is under way while another joins may be handled again.
    local warm = WARM
    assert.truthy(server.wait_for(function()
      web:post("/emit", { from = warm, to = warm + 19 })
      warm = warm + 20
      local _, _, each = heard({ one, other })
      return each[1] > 0 and each[2] > 0
    end))
    web:post("/emit", { from = 1, to = 200 })
    assert.truthy(server.wait_for(function()
      local _, count = heard({ one, other })
      return count == 200
    end))
    local seen, _, each = heard({ one, other })
    for n = 1, 200 do
      assert.equal(1, seen[n], "event " .. n)
    end
    print(("# shared as %d and %d"):format(each[1], each[2]))
    assert.same({}, web:get("/heard").json)
    other:kill()
    web:post("/emit", { from = 201, to = 300 })
    assert.truthy(server.wait_for(function()
      local got = heard({ one })
      for n = 201, 300 do
        if not got[n] then
          return false
        end
      end
      return true
    end))
  end)
end)
