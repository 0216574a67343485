--- PostgreSQL or Redis die as in a crash and come back while jobs are pushed and run, and the server is killed among
--- it: what was acknowledged runs. OUTAGES of them.
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local OUTAGES = tonumber(os.getenv("OUTAGES") or 2)

local LEDGER = {
  ["plugin.lua"] = [==[
local M = { name = "ledger", version = "1.0.0" }
M.jobs = {
  enter = { retries = 20, backoff = "50ms", function(app, job)
    assert(app.store:exec([=[insert into entries(n) values ($1)
      on conflict (n) do update set times = times + 1]=], job.args.n))
  end },
}
M.routes = {
  ["POST /enter"] = { body = { n = "integer" }, function(app, req)
    local id, message, code = app.jobs:push("enter", { n = req.body.n })
    if not id then return 503, { error = message, code = code } end
    return 202, { id = id }
  end },
  ["GET /entries"] = function(app)
    local list = {}
    for i, row in ipairs(app.store:all("select n from entries")) do list[i] = row.n end
    return 200, { entries = app.json.array(list) }
  end,
}
return M
]==],
  ["migrations/0001_entries.sql"] =
    "create table entries (n integer primary key, times integer not null default 1)",
}

local BROKERS = {
  postgres = { start = postgres.start, kill = function(b) b:stop("immediate") end,
    again = function(b) b:launch() end, stop = function(b) b:drop() end },
  redis = { start = redis.start, kill = function(b) b:kill() end,
    again = function(b) b:again() end, stop = function(b) b:stop() end },
}

local function missing(maru, acknowledged)
  local json = maru:get("/entries").json
  if not json then
    return acknowledged[1]
  end
  local entered = {}
  for _, n in ipairs(json.entries) do
    entered[n] = true
  end
  for _, n in ipairs(acknowledged) do
    if not entered[n] then
      return n
    end
  end
  return nil
end

for name, how in pairs(BROKERS) do
  describe("jobs on " .. name, function()
    it("outlive its crashes and their server's", function()
      local broker = how.start()
      local maru = server.start({ plugins = { ledger = LEDGER },
        set = { "jobs.driver=" .. name, "jobs.url=" .. broker.url, "jobs.lease=2s" } })
      finally(function()
        maru:stop()
        how.stop(broker)
      end)
      local acknowledged, n = {}, 0
      local function push_for(seconds, least)
        local deadline, before = socket.gettime() + seconds, #acknowledged
        repeat
          n = n + 1
          if maru:post("/enter", { n = n }).status == 202 then
            acknowledged[#acknowledged + 1] = n
          end
        until socket.gettime() > deadline and (#acknowledged >= before + least or socket.gettime() > deadline + 30)
        assert.is_true(#acknowledged >= before + least, maru:logs():sub(-3000))
      end
      for i = 1, OUTAGES do
        push_for(0.5, 20)
        how.kill(broker)
        if i % 2 == 0 then
          maru:signal("KILL", maru:server_pid())
        end
        how.again(broker)
        push_for(0.5, 20)
      end
      local lost
      server.wait_for(function()
        lost = missing(maru, acknowledged)
        return not lost
      end, 40)
      local log = lost and maru:logs():sub(-3000)
      assert.is_nil(lost, ("%s of %d acknowledged did not run:\n%s"):format(lost, #acknowledged, log))
    end)
  end)
end
