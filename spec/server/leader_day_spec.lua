--- Hours of schedules on three nodes and a real PostgreSQL, on a clock of the test's (support/cron_day.c).
--- CRON_HOURS says how many (3; a day is 24).
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")

describe("a day in which leaders die", function()
  local database, dir

  setup(function()
    database = postgres.start()
    dir = server.make_dir()
  end)

  teardown(function()
    database:drop()
    server.shell("rm -rf " .. dir)
  end)

  it("runs every cycle exactly once", function()
    local hours = tonumber(os.getenv("CRON_HOURS")) or 3
    local seed = os.getenv("CRON_SEED") or tostring(os.time())
    local program = server.binary():gsub("maru$", "support/cron_day")
    local output, status = server.shell(("%s '%s' %s %d %s"):format(program, database.url, dir, hours, seed))
    assert.equal(0, status, output)
    local leaders, changes, from, to = output:match("leaders (%d+) changes (%d+) from (%d+) until (%d+)")
    assert.equal("1", leaders)
    assert.truthy(tonumber(changes) >= hours, output)
    local function fired(schedule, step)
      local range = ("schedule = '%s' and at > %s and at <= %s"):format(schedule, from, to)
      assert.equal(tostring(hours * 3600 / step), database:sql("select count(*) from maru.fire where " .. range),
        "seed " .. seed)
      -- and each instant has its one job
      assert.equal("0", database:sql("select count(*) from maru.fire f where " .. range .. [[
        and (select count(*) from maru.job j where j.id = f.job and j.scheduled_at = f.at * 1000000000) <> 1]]))
    end
    fired("p/five", 300)
    fired("p/minute", 60)
    assert.equal(database:sql("select count(*) from maru.fire"), database:sql("select count(*) from maru.job"))
  end)
end)
