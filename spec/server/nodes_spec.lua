--- Three servers on one PostgreSQL, of which one dies by kill -9 under load: nothing acknowledged is lost. Two on each
--- shared record, with a job that takes its server down.
--- NODES_JOBS: how many jobs (default 3000); NODES_LEASE: the lease (default 3s). Times and rates are printed, not
--- judged.
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local JOBS = tonumber(os.getenv("NODES_JOBS") or 3000)
local LEASE = os.getenv("NODES_LEASE") or "3s"

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "n", version = "1.0.0" }
M.jobs = {
  poison = { retries = 10, timeout = "600s", function(app) app.sleep(600) end },
  brief = { retries = 10, timeout = "60s", function(app, job) app.sleep(job.args.s or 0) end },
}
M.routes = {
  ["POST /poison"] = function(app) return 200, { id = app.jobs:push("poison", {}) } end,
  ["POST /alone"] = function(app) return 200, { id = app.jobs:push("poison", {}, { unique = "alone" }) } end,
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
      push(nodes[3], 300, 0.1) -- what was there before may be over by now
      return tonumber(database:sql(CLAIMED)) > 0
    end), "node3 has nothing to do")
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
    -- A claim that found nothing says that nothing is due: it is not asked again before somebody has pushed.
    assert.equal("nothing", database:sql([[select coalesce(c.run_at::text, 'nothing')
      from (select id from maru.node limit 1) n, lateral maru.claim(n.id, '{}', 1) c]]))
    print(("# %d jobs; push %.0f/s in bulk; node3 died with %s claimed, free after %.1f s; all done at %.1f s"):format(
      #pushed, rate, left, back - died, over - began))
  end)
end)

local BROKERS = {
  postgres = { start = postgres.start, stop = function(b) b:drop() end },
  redis = { start = redis.start, stop = function(b) b:stop() end },
}

--- Which of these servers runs the job now.
local function runner(nodes, id)
  for _, node in ipairs(nodes) do
    for _, worker in ipairs(node:admin("/workers") or {}) do
      for _, run in ipairs(worker.node == node.name and worker.running or {}) do
        if run.id == id then
          return node
        end
      end
    end
  end
end

for name, how in pairs(BROKERS) do
  describe("two nodes on " .. name, function()
    it("set a job aside that took its server down twice, with the evidence", function()
      local broker, nodes = how.start(), {}
      finally(function()
        for _, node in ipairs(nodes) do
          node:stop()
        end
        how.stop(broker)
      end)
      for i = 1, 2 do
        nodes[i] = server.start({ plugins = { n = PLUGIN }, set = { "jobs.driver=" .. name, "jobs.url=" .. broker.url,
          "jobs.lease=2s", "node.name=node" .. i } })
        nodes[i].name = "node" .. i
      end
      local id, died = nodes[1]:post("/poison", {}).json.id, {}
      for _ = 1, 2 do
        local node = assert(server.wait_for(function()
          return runner(nodes, id)
        end), "nobody runs it")
        died[#died + 1] = node.name
        node:signal("KILL", node:server_pid())
        assert(server.wait_for(function()
          return not node:server_pid() or not runner({ node }, id)
        end))
      end
      local job
      assert(server.wait_for(function()
        job = nodes[1]:admin("/jobs/" .. ("%d"):format(id))
        return job and job.state == "dead"
      end), "it is not set aside: " .. tostring(job and job.state))
      assert.equal(2, job.crashes)
      assert.matches("^quarantined: took the process down 2 times", job.error)
      local evidence = job.error
      for _, attempt in ipairs(job.attempts or {}) do
        evidence = evidence .. "\n" .. tostring(attempt.node or attempt.lane) .. ": " .. attempt.error
      end
      for _, node in ipairs(died) do
        assert.matches(node, evidence, 1, true)
      end
      -- It may be tried again, from the start.
      assert.is_nil(nodes[2]:admin("/jobs/" .. ("%d"):format(id) .. "/retry", "POST", {}).status)
      assert(server.wait_for(function()
        return runner(nodes, id)
      end), "nobody runs it again")
      assert.equal(0, nodes[1]:admin("/jobs/" .. ("%d"):format(id)).crashes)
      nodes[1]:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {})
      assert(server.wait_for(function()
        return not runner(nodes, id)
      end), "it is not cancelled")
      -- A cancel that the server never heard of, for it died, holds all the same.
      id = nodes[1]:post("/alone", {}).json.id
      local node = assert(server.wait_for(function()
        return runner(nodes, id)
      end), "nobody runs the next one")
      local child = node:server_pid()
      node:signal("STOP", child)
      local other = node == nodes[1] and nodes[2] or nodes[1]
      assert.is_nil(other:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
      node:signal("KILL", child)
      assert(server.wait_for(function()
        job = other:admin("/jobs/" .. ("%d"):format(id))
        return job.state == "cancelled"
      end), "it is " .. tostring(job and job.state))
      local again
      assert(server.wait_for(function()
        again = other:post("/alone", {}).json.id
        return again
      end), "its unique key stays taken")
      assert.is_nil(other:admin("/jobs/" .. ("%d"):format(again) .. "/cancel", "POST", {}).status)
    end)
  end)
end

local function named(nodes, name)
  for _, node in ipairs(nodes) do
    if node.name == name then
      return node
    end
  end
end

local function of_queue(drivers)
  for _, driver in ipairs(drivers) do
    if driver.kind == "queue" then
      return driver
    end
  end
end

for driver, support in pairs({ postgres = postgres, redis = redis }) do
  describe("the nodes of a queue in " .. driver, function()
    it("are known to each other with roles, drivers and who leads, also when one is missing", function()
      local database, nodes = support.start(), {}
      finally(function()
        for _, node in pairs(nodes) do
          node:stop()
        end
        ;(database.drop or database.stop)(database)
      end)
      for name, roles in pairs({ front = "web", back = "jobs,cron" }) do
        nodes[name] = server.start({ set = { "jobs.driver=" .. driver, "jobs.url=" .. database.url, "jobs.lease=3s",
          "node.name=" .. name, "roles=" .. roles, "lanes.web=1", "lanes.job=2" } })
      end
      local function seen(check)
        return server.wait_for(function()
          local list = nodes.front:admin("/nodes")
          local other = named(list, "back")
          return check(other, list) and (other or true)
        end)
      end
      local other = seen(function(back) return back and back.leads and back.ready end)
      assert.truthy(other, nodes.front:logs())
      assert.same({ "jobs", "cron" }, other.roles)
      assert.equal(2, other.lanes.job)
      assert.equal("up", of_queue(other.drivers).state)
      assert.is_nil(other.self)
      assert.truthy(of_queue(nodes.front:admin("/drivers")).latency_ms > 0)
      local own = named(nodes.front:admin("/nodes"), "front")
      assert.same({ true, false, "web" }, { own.self, own.leads, own.roles[1] })
      nodes.back:kill()
      assert.truthy(seen(function(back) return back and back.missing end))
      assert.truthy(nodes.front:get("/metrics").body:find("\nmaru_nodes_missing 1\n", 1, true))
      assert.truthy(nodes.back:restart())
      assert.truthy(seen(function(back, list) return back and not back.missing and #list == 2 end))
      nodes.back:stop(true)
      assert.truthy(seen(function(back) return not back end))
      assert.truthy(nodes.front:get("/metrics").body:find("\nmaru_nodes_missing 0\n", 1, true))
    end)
  end)
end
