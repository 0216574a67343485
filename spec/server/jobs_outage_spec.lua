--- PostgreSQL or Redis die as in a crash and come back while jobs are pushed and run, and the server is killed among
--- it: what was acknowledged runs. OUTAGES of them.
local ledger = require("spec.support.ledger")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local OUTAGES = tonumber(os.getenv("OUTAGES") or 2)

local BROKERS = {
  postgres = { start = postgres.start, kill = function(b) b:stop("immediate") end,
    again = function(b) b:launch() end, stop = function(b) b:drop() end },
  redis = { start = redis.start, kill = function(b) b:kill() end,
    again = function(b) b:again() end, stop = function(b) b:stop() end },
}

for name, how in pairs(BROKERS) do
  describe("jobs on " .. name, function()
    it("outlive its crashes and their server's", function()
      local broker = how.start()
      local maru = server.start({ plugins = { ledger = ledger.plugin() },
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
      local lost = ledger.wait_missing(maru, acknowledged, 40)
      local log = lost and maru:logs():sub(-3000)
      assert.is_nil(lost, ("%s of %d acknowledged did not run:\n%s"):format(lost, #acknowledged, log))
    end)
  end)
end

describe("jobs on PostgreSQL that refuses claims", function()
  it("wait, and the server says once why", function()
    local database = postgres.start()
    -- With a limit they are claimed, and not with their rows.
    local maru = server.start({ plugins = { ledger = ledger.plugin("M.jobs.enter.concurrency = 1\n") },
      set = { "jobs.driver=postgres", "jobs.url=" .. database.url } })
    finally(function()
      maru:stop()
      database:drop()
    end)
    local function degraded()
      for _, driver in ipairs(maru:get("/readyz").json.degraded or {}) do
        if driver.kind == "queue" then
          return driver.error
        end
      end
      return nil
    end
    database:sql("alter function maru.claim(bigint, int[], int) rename to claim_away")
    assert.equal(202, maru:post("/enter", { n = 1 }).status)
    assert.matches("maru.claim", server.wait_for(degraded), 1, true)
    socket.sleep(1)
    assert.equal(1, select(2, maru:logs():gsub("nothing is claimed", "")))
    assert.equal(1, ledger.missing(maru, { 1 }))
    database:sql("alter function maru.claim_away(bigint, int[], int) rename to claim")
    assert.is_nil(ledger.wait_missing(maru, { 1 }, 40))
    assert.is_truthy(server.wait_for(function()
      return not degraded()
    end))
    assert.matches("jobs are claimed again", maru:logs(), 1, true)
  end)
end)
