--- Three servers on one PostgreSQL, of which one dies by kill -9 under load: nothing acknowledged is lost.
--- NODES_JOBS: how many jobs (default 3000); NODES_LEASE: the lease (default 3s). Times and rates are printed, not
--- judged.
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")
local socket = require("socket")

local JOBS = tonumber(os.getenv("NODES_JOBS") or 3000)
local LEASE = os.getenv("NODES_LEASE") or "3s"

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "n", version = "1.0.0" }
M.jobs = {
  brief = { retries = 10, timeout = "60s", function(app, job) app.sleep(job.args.s or 0) end },
}
M.routes = {
  ["POST /many"] = function(app, req)
    local body = req:json()
    local list = {}
    for i = 1, body.n do list[i] = { s = body.s } end
    local from = app.now()
    local ids, message = app.jobs:push_many("brief", list)
    if not ids then return 503, { error = message } end
    return 200, { ids = app.json.array(ids), seconds = app.now() - from }
  end,
}
return M
]==],
}

local function kill(node)
  local child = node:server_pid()
  node:signal("KILL")
  node:signal("KILL", child)
end

local CLAIMED = "select count(*) from maru.claimed c join maru.node n on n.id = c.node where n.name = 'node3'"

describe("three nodes on one database", function()
  it("lose nothing when one is killed under load, and have its jobs back after the lease", function()
    local database = postgres.start()
    local nodes = {}
    finally(function()
      for _, node in ipairs(nodes) do
        node:stop()
      end
      database:drop()
    end)
    for i = 1, 3 do
      nodes[i] = server.start({
        plugins = { n = PLUGIN },
        set = { "jobs.driver=postgres", "jobs.url=" .. database.url, "jobs.lease=" .. LEASE, "node.name=node" .. i },
      })
    end
    local pushed, began = {}, socket.gettime()
    local function push(node, n, s)
      local answer = node:post("/many", { n = n, s = s })
      for _, id in ipairs(answer.status == 200 and answer.json.ids or {}) do
        pushed[#pushed + 1] = id
      end
      return answer
    end
    local rate = 0
    for i = 1, 3 do
      local answer = push(nodes[i], JOBS / 3, 0.02)
      rate = math.max(rate, JOBS / 3 / answer.json.seconds)
    end
    assert.is_truthy(server.wait_for(function()
      return tonumber(database:sql(CLAIMED)) > 0
    end, 20), "node3 has nothing to do")
    kill(nodes[3])
    local died = socket.gettime()
    local left = database:sql(CLAIMED)
    push(nodes[1], 30, 0)
    local back = server.wait_for(function()
      return database:sql("select count(*) from maru.node where name = 'node3'") == "0" and socket.gettime()
    end, 60)
    assert.is_truthy(back, "node3's lease did not end")
    assert.is_truthy(server.wait_for(function()
      return database:sql("select (select count(*) from maru.job) + (select count(*) from maru.dead)") == "0"
    end, 120), "not everything ended")
    local over = socket.gettime()
    local ended = {}
    for id in database:sql("select id from maru.past where fin = 0"):gmatch("%d+") do
      ended[tonumber(id)] = true
    end
    local lost = 0
    for _, id in ipairs(pushed) do
      lost = lost + (ended[id] and 0 or 1)
    end
    assert.equal(0, lost)
    print(("# %d jobs; push %.0f/s in bulk; node3 died with %s claimed, free after %.1f s; all done at %.1f s"):format(
      #pushed, rate, left, back - died, over - began))
  end)
end)
