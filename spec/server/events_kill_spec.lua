--- What the event stream keeps when maru dies in the middle of emits and handlers.
---
--- What was acknowledged stands in the log, one line each; what was handled is a row each. Nothing acknowledged may be
--- missing, and an event is one job, also when handed over again. MARU_EVENT_KILLS: how often, default 1; with it
--- also what takes long, because Kafka waits for the session of a dead member to end.
local kafka = require("spec.support.kafka")
local load = require("spec.support.event_load")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local CASES = {
  { name = "table", events = "table", jobs = "sqlite" },
  { name = "table, jobs in Redis", events = "table", jobs = "redis" },
  { name = "kafka", events = "kafka", jobs = "sqlite" },
}
if os.getenv("MARU_EVENT_KILLS") then
  CASES[#CASES + 1] = { name = "kafka, jobs in Redis", events = "kafka", jobs = "redis" }
  CASES[#CASES + 1] = { name = "table, jobs in PostgreSQL", events = "table", jobs = "postgres" }
  CASES[#CASES + 1] = { name = "kafka, jobs in PostgreSQL", events = "kafka", jobs = "postgres" }
end

for _, case in ipairs(CASES) do
  describe("events when maru is killed, " .. case.name, function()
    local maru, cluster, db

    setup(function()
      local settings = { "events.driver=" .. case.events, "jobs.driver=" .. case.jobs, "jobs.lease=2s" }
      if case.events == "kafka" then
        cluster = kafka.start(1)
        settings[#settings + 1] = "events.url=" .. cluster.url
        settings[#settings + 1] = "events.kafka=session.timeout.ms=6000,heartbeat.interval.ms=500"
      end
      if case.jobs == "redis" then
        db = redis.start()
      elseif case.jobs == "postgres" then
        db = postgres.start()
      end
      if db then
        settings[#settings + 1] = "jobs.url=" .. db.url
      end
      maru = load.start(settings)
    end)

    teardown(function()
      maru:stop()
      if cluster then cluster:stop() end
      if db then (db.stop or db.drop)(db) end
    end)

    it("loses nothing that was acknowledged, and hands over once", function()
      for round = 1, tonumber(os.getenv("MARU_EVENT_KILLS") or 1) do
        local run = "kill" .. round
        load.run(maru, run, 8, 30)
        server.wait_for(function() return maru:get("/heard/" .. run).json.rows > 100 end)
        maru:kill()
        maru:restart()
        assert.truthy(load.all_heard(maru, run), "acknowledged and not handled: " .. tostring(load.missing(maru, run)))
        local heard = maru:get("/heard/" .. run).json
        local _, kept = load.told(maru, run)
        assert.equal(heard.events, heard.jobs, "an event became two jobs")
        print(("# %s: %d acknowledged, %d handled, %d handled again"):format(case.name, kept, heard.events,
          heard.rows - heard.events))
      end
    end)
  end)
end
