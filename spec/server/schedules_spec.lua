--- Schedules on the real program: what fires, pause and resume over a restart, run by hand, what is shown.
local cjson = require("cjson")
local server = require("spec.support.server")

local CLOCK = { ["plugin.lua"] = [[
local M = { name = "clock", version = "1.0.0" }
M.routes = {
  ["GET /fires"] = function(app)
    return 200, { fires = app.json.array(assert(app.store:all("select kind, at from fires order by at, kind"))) }
  end,
}
M.jobs = { note = function(app, job)
  assert(app.store:exec("insert into fires(kind, at) values ($1, $2)", job.args.kind or "hand", job.scheduled_at or 0))
end }
M.cron = {
  ["* * * * * *"] = { job = "note", args = { kind = "second" }, id = "second" },
  ["@every 1s"] = { job = "note", args = { kind = "splayed" }, id = "splayed", jitter = "1s", overlap = "allow" },
  ["0 4 * * *"] = { job = "note", args = { kind = "night" }, id = "every night", tz = "Europe/London" },
}
return M
]], ["migrations/0001_fires.sql"] = "create table fires (kind text not null, at real not null);\n" }

describe("schedules", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { clock = CLOCK } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function cli(words)
    return maru:command_output(words)
  end

  local function rows()
    local by_id = {}
    for _, row in ipairs(maru:admin("/schedules")) do
      by_id[row.id] = row
    end
    return by_id
  end

  --- Instants of one kind, each once.
  local function instants(kind)
    local list, seen = {}, {}
    for _, fire in ipairs(maru:get("/fires").json.fires) do
      if fire.kind == kind then
        assert.falsy(seen[fire.at])
        seen[fire.at] = true
        list[#list + 1] = fire.at
      end
    end
    return list
  end

  it("fire every second, once for each", function()
    assert.truthy(server.wait_for(function()
      return #instants("second") >= 2 and #instants("splayed") >= 2
    end))
  end)

  it("show their next five runs and what they are to do", function()
    local night = rows()["every night"]
    assert.equal(5, #night.next)
    assert.equal(night.next_at, night.next[1])
    for _, run in ipairs(night.next) do
      assert.truthy(run:find("T04:00:00%+0[01]:00$"), run)
    end
    assert.equal("latest", night.missed)
    assert.equal("skip", night.overlap)
    assert.is_false(night.paused)
    local output = cli("schedules show 'clock/every night'")
    assert.truthy(output:find("T04:00:00", 1, true) and output:find("Europe/London", 1, true), output)
    local one = cjson.decode((cli("schedules show 'clock/every night' --json")))
    assert.same(rows()["every night"].next, one.next)
    assert.equal("every night", one.id)
    output = cli("schedules show clock/none --json")
    assert.truthy(output:find("there is no schedule none of plugin clock", 1, true), output)
    output = cli("schedules")
    assert.truthy(output:find("every night", 1, true) and output:find("splayed", 1, true), output)
  end)

  it("are paused over a restart and resumed", function()
    local output, status = cli("schedules pause clock/second")
    assert.equal(0, status, output)
    assert.is_true(rows().second.paused)
    assert.equal(0, #rows().second.next)
    maru:restart()
    assert.is_true(rows().second.paused)
    local last = rows().second.last_at
    local splayed = rows().splayed.last_at
    assert.truthy(server.wait_for(function()
      return rows().splayed.last_at ~= splayed
    end))
    assert.equal(last, rows().second.last_at)
    output, status = cli("schedules resume clock/second")
    assert.equal(0, status, output)
    assert.truthy(server.wait_for(function()
      return rows().second.last_at ~= last
    end))
    instants("second")
  end)

  it("run by hand", function()
    assert.is_true(maru:admin("/schedules/clock/every%20night/run", "POST").ok)
    assert.truthy(server.wait_for(function()
      return #instants("night") == 1
    end))
    assert.equal("fired", rows()["every night"].last_status)
    local output, status = cli("schedules run clock/none")
    assert.equal(1, status)
    assert.truthy(output:find("there is no schedule none of plugin clock", 1, true), output)
    output, status = cli("schedules pause clock")
    assert.equal(2, status)
    assert.truthy(output:find("PLUGIN/ID", 1, true), output)
  end)
end)

--- A job that outlasts its schedule's interval writes down when it begins and how it ends.
local SLOW = { ["plugin.lua"] = [[
local M = { name = "slow", version = "1.0.0" }
M.routes = {
  ["GET /runs"] = function(app)
    local list = assert(app.store:all("select kind, at, began, ended, how from runs order by began"))
    return 200, { runs = app.json.array(list) }
  end,
}
local function run(app, job)
  local began = app.now()
  local _, _, code = app.sleep(1.6)
  assert(app.store:exec("insert into runs(kind, at, began, ended, how) values ($1, $2, $3, $4, $5)", job.args.kind,
    job.scheduled_at, began, app.now(), code or "done"))
end
M.jobs = { skip = run, queue = run, cancel = run, allow = run }
M.cron = {}
for _, overlap in ipairs({ "skip", "queue", "cancel", "allow" }) do
  M.cron[({ skip = "", queue = " ", cancel = "  ", allow = "   " })[overlap] .. "* * * * * *"] =
    { id = overlap, job = overlap, overlap = overlap, args = { kind = overlap } }
end
return M
]], ["migrations/0001_runs.sql"] = "create table runs (kind text not null, at real not null, began real not null, "
  .. "ended real not null, how text not null);\n" }

describe("a schedule whose job is unfinished", function()
  local maru, runs

  setup(function()
    maru = server.start({ plugins = { slow = SLOW } })
    assert.truthy(server.wait_for(function()
      runs = { skip = {}, queue = {}, cancel = {}, allow = {} }
      for _, run in ipairs(maru:get("/runs").json.runs) do
        table.insert(runs[run.kind], run)
      end
      return #runs.skip >= 3 and #runs.queue >= 3 and #runs.allow >= 4
    end))
  end)

  teardown(function()
    maru:stop()
  end)

  local function overlapping(list)
    local count = 0
    for i = 2, #list do
      count = count + (list[i].began < list[i - 1].ended and 1 or 0)
    end
    return count
  end

  local function dropped(id)
    for _, row in ipairs(maru:admin("/schedules")) do
      if row.id == id then
        return row.dropped.overlap
      end
    end
  end

  it("drops the fire and counts it", function()
    assert.equal(0, overlapping(runs.skip))
    assert.truthy(dropped("skip") >= 2)
    local metrics = maru:get("/metrics").body
    assert.truthy(metrics:find('maru_cron_dropped_total{schedule="slow/skip",reason="overlap"} [1-9]'))
  end)

  it("waits", function()
    assert.equal(0, overlapping(runs.queue))
    assert.truthy(dropped("queue") >= 1) -- of those that waited, the latest
  end)

  it("runs both", function()
    assert.truthy(overlapping(runs.allow) > 0)
    assert.equal(0, dropped("allow"))
  end)

  it("has the earlier job cancelled", function()
    assert.equal(0, overlapping(runs.cancel))
    for _, one in ipairs(runs.cancel) do
      assert.equal("cancelled", one.how)
    end
    local list = maru:admin("/jobs?state=cancelled&kind=slow.cancel").jobs
    assert.truthy(#list >= 1)
  end)
end)

describe("a schedule's deadline", function()
  it("also ends the wait of its job in the queue", function()
    local maru = server.start({ plugins = { late = { ["plugin.lua"] = [[
local M = { name = "late", version = "1.0.0" }
M.jobs = { work = { queue = "narrow", function() end } }
M.cron = { ["* * * * * *"] = { job = "work", deadline = "1s", overlap = "allow" } }
return M
]] } } })
    assert.truthy(server.wait_for(function()
      return not maru:admin("/queues/narrow/pause", "POST").detail
    end))
    assert.truthy(server.wait_for(function()
      return #maru:admin("/jobs?state=expired").jobs >= 2
    end))
    maru:stop()
  end)
end)
