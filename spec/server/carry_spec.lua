--- What a transaction of PostgreSQL brings along (storage/carry.h), with every driver of the queue: each job, event and
--- run once, whoever is busy, dies or comes late in between. spec/contract/store_spec.lua has it for a plugin's author.
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local PLUGIN = [==[
local M = { name = "s", version = "1.0.0", limits = { task = "60s" } }
M.jobs = {
  note = function(app, job)
    assert(app.store:exec("insert into seen(id, mark) values ($1, $2) on conflict do nothing", job.id,
      job.args.mark or ""))
  end,
  churn = { concurrency = 6, retries = 20, function(app)
    local id = assert(app.store:tx(function(tx) return tx.jobs:push("note", {}) end))
    local since = app.now()
    while app.now() - since < 0.01 do end -- the answer to the next one's commit waits for this lane
    assert(app.store:exec("insert into said(id) values ($1)", id))
  end },
}
M.workflows = { walk = { start = "first", steps = {
  first = { function(app, run)
    assert(app.store:exec("insert into seen(id, mark) values ($1, $2) on conflict do nothing",
      -run.id, run.input.mark .. " run"))
    return run:wait("go", { next = "last" })
  end },
  last = { function() end },
} } }
M.routes = {
  ["GET /s/churn"] = function(app)
    local list = {}
    for n = 1, 40 do list[n] = { n = n } end
    return 200, assert(app.jobs:push_many("churn", list))
  end,
  ["GET /s/churned"] = function(app)
    return 200, app.store:one("select (select count(*) from said) as said, (select count(*) from seen) as seen,"
      .. " (select count(*) from said join seen using (id)) as same")
  end,
  ["GET /s/bring/{mark}"] = function(app, req)
    local mark = req.params.mark
    local job, run = app.store:tx(function(tx)
      local job = assert(tx.jobs:push("note", { mark = mark }))
      assert(tx.events:emit("s.heard", { mark = mark }))
      return job, assert(tx.workflows:start("walk", { mark = mark }, { key = mark }))
    end)
    return 200, { job = job, run = run }
  end,
  ["GET /s/brought/{mark}"] = function(app, req)
    local mark, events = req.params.mark, 0
    for _, event in ipairs(app.events:read("s.heard", { limit = 1000 }) or {}) do
      events = events + (event.data.mark == mark and 1 or 0)
    end
    local jobs = app.store:all("select id from seen where mark = $1", mark)
    local runs = app.store:all("select -id as id from seen where mark = $1", mark .. " run")
    return 200, { jobs = #jobs, job = jobs[1] and jobs[1].id, events = events, runs = #runs,
      run = runs[1] and runs[1].id }
  end,
}
return M
]==]
local PLUGINS = { s = { ["plugin.lua"] = PLUGIN,
  ["migrations/0001_seen.sql"] = "create table seen(id bigint, mark text, primary key (id, mark));"
    .. " create table said(id bigint);" } }

local QUEUES = {
  sqlite = function() return {} end,
  postgres = function(database) return { "jobs.driver=postgres", "jobs.url=" .. database.url } end,
  redis = function()
    local queue = redis.start()
    return { "jobs.driver=redis", "jobs.url=" .. queue.url }, queue
  end,
}

local cluster -- of all of them, a database for each
lazy_setup(function() cluster = postgres.start() end)
lazy_teardown(function() cluster:drop() end)
local function own_database(name)
  cluster:sql("create database " .. name)
  return setmetatable({ url = cluster.url:gsub("/postgres$", "/" .. name) }, { __index = cluster })
end

for _, name in ipairs { "sqlite", "postgres", "redis" } do
  describe("what a transaction brings along to a queue in " .. name, function()
    local database, queue, maru, set

    lazy_setup(function()
      database = own_database("queue_in_" .. name)
      set, queue = QUEUES[name](database)
      for _, text in ipairs { "store.driver=postgres", "store.url=" .. database.url, "lanes.web=1", "lanes.job=2" } do
        set[#set + 1] = text
      end
      maru = server.start({ plugins = PLUGINS, set = set })
    end)
    lazy_teardown(function()
      if maru then
        maru:stop()
      end
      if queue then
        queue:stop()
      end
    end)

    local function rows()
      return tonumber(database:sql("select count(*) from maru_s.maru_outbox"))
    end
    local function gone()
      return server.wait_for(function() return rows() == 0 end, 30)
    end
    -- Nobody can claim a row ("update"), or let go of one ("delete"), until it is let.
    local function forbid(what)
      database:sql("create function no() returns trigger language plpgsql as"
        .. " 'begin raise exception ''not now''; end'; create trigger no before " .. what
        .. " on maru_s.maru_outbox for each row execute function no()")
    end
    local function allow()
      database:sql("drop function no() cascade")
    end
    local function bring(mark)
      local answer = maru:get("/s/bring/" .. mark)
      assert.equal(200, answer.status, answer.body)
      return { jobs = 1, job = answer.json.job, events = 1, runs = 1, run = answer.json.run }
    end
    local function brought(mark)
      local seen
      server.wait_for(function()
        local answer = maru:get("/s/brought/" .. mark)
        seen = answer.status == 200 and answer.json or {}
        return seen.jobs == 1 and seen.events == 1 and seen.runs == 1
      end, 30)
      return seen
    end

    it("comes once, also while lanes are too busy to hear of their commits", function()
      assert.equal(200, maru:get("/s/churn").status)
      local seen
      server.wait_for(function()
        local answer = maru:get("/s/churned")
        seen = answer.status == 200 and answer.json or {}
        return seen.same and seen.same >= 40
      end, 60)
      assert.same({ said = 40, seen = 40, same = 40 }, seen)
      assert.is_nil(maru:logs():match("AddressSanitizer[^\n]*"))
      assert.is_nil(maru:logs():match("ended with code[^\n]*"))
      assert.is_truthy(gone())
    end)

    it("waits for no row that nobody takes", function()
      database:sql("insert into maru_s.maru_outbox(id, home, noun, body, at) select 'n' || n, 'nobody', 'unknown', '',"
        .. " now() - interval '1 hour' from generate_series(1, 120) n")
      local one = bring("passes")
      assert.same(one, brought("passes"))
      assert.is_truthy(server.wait_for(function() return rows() == 120 end, 30))
      assert.matches("what its transactions brought along waits: this maru does not know", maru:logs(), 1, true)
      database:sql("delete from maru_s.maru_outbox")
      assert.same(bring("follows").job > one.job, true)
      assert.equal(1, brought("follows").jobs)
    end)

    it("comes once when it is killed before", function()
      forbid("update")
      local one = bring("before")
      maru:kill()
      assert.equal(3, rows())
      allow()
      assert.is_true(maru:restart())
      assert.same(one, brought("before"))
      assert.is_truthy(gone())
    end)

    it("comes when who had claimed it does not come back", function()
      forbid("update")
      local one = bring("lost")
      assert.equal(3, rows())
      database:sql("drop function no() cascade; update maru_s.maru_outbox set taker = 'gone',"
        .. " at = now() - interval '2 hours'")
      assert.same(one, brought("lost"))
      assert.is_truthy(gone())
    end)

    it("comes once when it is killed behind that", function()
      forbid("delete")
      local one = bring("behind")
      assert.same(one, brought("behind"))
      maru:kill()
      assert.equal(3, rows())
      assert.is_true(maru:restart())
      allow()
      assert.is_truthy(gone())
      assert.same(one, brought("behind"))
      local two = bring("afterwards")
      assert.is_true(two.job > one.job and two.run > one.run)
      assert.same(two, brought("afterwards"))
    end)

    if name == "sqlite" then
      it("has no id of the queue that was there before", function()
        forbid("update")
        local one = bring("moved")
        maru:kill()
        allow()
        maru.command = maru.command .. " --set jobs.driver=postgres --set jobs.url=" .. database.url
        assert.is_true(maru:restart())
        local there = brought("moved")
        assert.same({ 1, 1, 1 }, { there.jobs, there.events, there.runs })
        assert.is_true(there.job < one.job, "the id is one of another queue")
      end)
    end
  end)
end

describe("what a transaction brings along of a plugin whose schema is not called as it is", function()
  it("comes", function()
    local database = own_database("names")
    local function named(name)
      return { ["plugin.lua"] = ([[
return { name = "%s", version = "1.0.0",
  jobs = { note = function(app) assert(app.store:exec("insert into seen(n) values (1)")) end },
  routes = { ["GET /%s"] = function(app)
    app.store:tx(function(tx) return tx.jobs:push("note", {}) end)
    for _ = 1, 1500 do
      if app.store:one("select count(*) as n from seen").n > 0 then return 200, "seen" end
      app.sleep(0.02)
    end
    return 200, "never"
  end } }]]):format(name, name), ["migrations/0001_seen.sql"] = "create table seen(n integer);" }
    end
    local east, west = ("a"):rep(58) .. "east", ("a"):rep(58) .. "west"
    local maru = server.start({ plugins = { series = named("series"), [east] = named(east), [west] = named(west) },
      set = { "store.driver=postgres", "store.url=" .. database.url, "lanes.web=1", "lanes.job=1" } })
    finally(function() maru:stop() end)
    assert.same({ "seen", "seen", "seen" },
      { maru:get("/series").body, maru:get("/" .. east).body, maru:get("/" .. west).body })
  end)
end)

describe("what a transaction would have brought along when the server stops", function()
  local STUCK = [==[
local M = { name = "s", version = "1.0.0", limits = { task = "1s" } }
M.jobs = { note = function() end }
M.workflows = { walk = { start = "first", steps = { first = { function() end } } } }
M.routes = { ["GET /s/begin"] = function(app)
  app.spawn(function()
    app.store:tx(function(tx)
      assert(tx.jobs:push("note", {}))
      assert(tx.events:emit("s.heard", {}))
      assert(tx.workflows:start("walk", {}, { key = "one" }))
      app.log:info("brought along")
      tx:all("select pg_sleep(60)")
    end)
    app.log:info("given up")
  end)
  return 200, {}
end }
return M
]==]

  it("is let go of, though PostgreSQL gives no answer", function()
    local database = postgres.start()
    local pid = server.read_file(database.dir .. "/data/postmaster.pid"):match("%d+")
    local function tell(signal)
      server.shell(("kill -%s %s $(pgrep -P %s)"):format(signal, pid, pid))
    end
    local maru = server.start({ plugins = { s = { ["plugin.lua"] = STUCK } },
      set = { "store.driver=postgres", "store.url=" .. database.url, "lanes.web=1", "lanes.job=1" } })
    finally(function()
      tell("CONT")
      maru:stop()
      database:drop()
    end)
    local function logged(text)
      return server.wait_for(function() return maru:logs():find(text, 1, true) end)
    end
    assert.equal(200, maru:get("/s/begin").status)
    assert.is_truthy(logged("brought along"))
    tell("STOP")
    assert.is_truthy(logged("given up"))
    maru:stop(true)
    assert.is_nil(maru.forced)
    assert.is_nil(maru:logs():match("ended with code[^\n]*") or maru:logs():match("was killed[^\n]*"))
  end)
end)
