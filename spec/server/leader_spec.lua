--- Schedules of three nodes that share a queue in PostgreSQL or Redis: one of them fires, whoever dies.
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local CLOCK = { ["plugin.lua"] = [[
local M = { name = "clock", version = "1.0.0" }
M.jobs = { tick = function() end, long = function(app) app.sleep(600) end }
M.cron = {
  ["* * * * * *"] = { job = "tick", id = "tick", missed = "all", overlap = "allow" },
  ["@every 1s"] = { job = "long", id = "long", overlap = "queue" },
}
return M
]] }

--- What the specs do with each: fires answers how many, the first and last instant, and how many jobs they made.
local BACKENDS = {
  postgres = {
    start = postgres.start,
    fires = function(database, schedule)
      local text = database:sql("select count(*), min(at), max(at), count(distinct job) from maru.fire"
        .. " where schedule = '" .. schedule .. "'")
      local count, first, last, jobs = text:match("(%d+)|(%d*)|(%d*)|(%d+)")
      return tonumber(count), tonumber(first), tonumber(last), tonumber(jobs)
    end,
    unfinished = function(database, schedule)
      return tonumber((database:sql("select id from maru.job where uniq = '" .. schedule .. "'")))
    end,
    kill = function(database) database:stop("immediate") end,
    again = function(database) database:launch() end,
    drop = function(database) database:drop() end,
  },
  redis = {
    start = redis.start,
    fires = function(database, schedule)
      local count, first, last, jobs, seen = 0, math.huge, 0, 0, {}
      local text = database:call("EVAL", [[local out = {}
        for _, key in ipairs(redis.call('KEYS', 'maru:fire:' .. ARGV[1] .. ':*')) do
          out[#out + 1] = string.match(key, '%d+$') .. '=' .. redis.call('GET', key)
        end
        return table.concat(out, ' ')]], "0", schedule)
      for at, job in text:gmatch("(%d+)=(%d+)") do
        count, first, last = count + 1, math.min(first, at), math.max(last, at)
        jobs = jobs + (seen[job] and 0 or 1)
        seen[job] = true
      end
      return count, first, last, jobs
    end,
    unfinished = function(database, schedule)
      return tonumber((database:call("GET", "maru:unique:clock.long:" .. schedule)))
    end,
    kill = function(database) database:kill() end,
    again = function(database) database:again() end,
    drop = function(database) database:stop() end,
  },
}

for _, driver in ipairs({ "postgres", "redis" }) do
  local backend = BACKENDS[driver]
  describe("schedules of three nodes on " .. driver, function()
    local database, nodes

    local function start(name)
      return server.start({ plugins = { clock = CLOCK }, set = { "jobs.driver=" .. driver, "jobs.url=" .. database.url,
        "jobs.lease=2s", "node.name=" .. name, "lanes.web=1", "lanes.job=1",
        "shutdown.grace=1s" } })
    end

    setup(function()
      database = backend.start()
      nodes = { start("a"), start("b"), start("c") }
    end)

    teardown(function()
      for _, node in ipairs(nodes or {}) do
        node:stop()
      end
      backend.drop(database)
    end)

    local function leaders()
      local list = {}
      for i, node in ipairs(nodes) do
        if node:admin("/status").leads then
          list[#list + 1] = i
        end
      end
      return list
    end

    local function leader()
      return server.wait_for(function()
        return leaders()[1]
      end)
    end

    local function fires()
      return (backend.fires(database, "clock/tick"))
    end

    local function more_fires(than)
      assert.truthy(server.wait_for(function()
        return fires() > than + 2
      end))
    end

    --- Every second from the first fire to the last has one, and each its own job.
    local function is_whole()
      local count, first, last, jobs = backend.fires(database, "clock/tick")
      assert.equal(last - first + 1, count)
      assert.equal(count, jobs)
    end

    it("fire on one of them", function()
      assert.truthy(leader())
      more_fires(0)
      assert.equal(1, #leaders())
      is_whole()
    end)

    it("go on from what was fired when the leader is killed", function()
      local first = leader()
      local before = fires()
      local dead = nodes[first]
      dead:signal("KILL", dead:server_pid())
      dead:signal("KILL")
      table.remove(nodes, first)
      assert.truthy(leader())
      more_fires(before)
      is_whole()
      dead:stop()
      nodes[3] = start("d")
    end)

    it("go on at once when it stops", function()
      local first = leader()
      local before = fires()
      nodes[first]:stop()
      table.remove(nodes, first)
      assert.truthy(leader())
      more_fires(before)
      is_whole()
      nodes[3] = start("e")
    end)

    it("are made up for after the database was away", function()
      leader()
      local before = fires()
      backend.kill(database)
      socket.sleep(4)
      for _, node in ipairs(nodes) do
        assert.is_false(node:admin("/status").leads)
      end
      backend.again(database)
      assert.truthy(leader())
      more_fires(before + 4)
      is_whole()
      assert.equal(1, #leaders())
    end)

    it("are paused on any node", function()
      local first = leader()
      local other = nodes[first % 3 + 1]
      assert.truthy(server.wait_for(function()
        return other:admin("/schedules/clock/tick/pause", "POST").ok
      end))
      assert.truthy(server.wait_for(function()
        local row = nodes[first]:admin("/schedules")
        return row[1].paused or row[2].paused
      end))
      local before = fires()
      socket.sleep(2.5)
      assert.equal(before, fires())
      assert.is_true(nodes[first]:admin("/schedules/clock/tick/resume", "POST").ok)
      more_fires(before)
    end)

    it("wait for a job that is unfinished on another node", function()
      local function long_fires()
        return (backend.fires(database, "clock/long"))
      end
      local id = server.wait_for(function()
        return backend.unfinished(database, "clock/long")
      end)
      local before = long_fires()
      socket.sleep(2.5)
      assert.equal(before, long_fires())
      assert.is_true(nodes[1]:admin("/jobs/" .. id .. "/cancel", "POST").ok)
      assert.truthy(server.wait_for(function()
        return long_fires() == before + 1
      end))
    end)
  end)
end
