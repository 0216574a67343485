--- The queue in PostgreSQL: what a server's lanes have room for is claimed with its row; all else waits for a claim.
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")

local PLUGIN = [[
local M = { name = "work", version = "1.0.0" }
local function run(app, job)
  app.cache:set("ran:" .. job.args.n, "yes", "10m")
end
M.jobs = {
  plain = { run },
  single = { concurrency = 1, run },
  paced = { rate = "1000/s", run },
  keyed = { key = "n", key_concurrency = 1, run },
}
M.queues = { held = {} }
M.routes = {
  ["POST /push"] = { body = { kind = "string", n = "string", queue = "string?", delay = "string?",
      unique = "string?" }, function(app, req)
    local id, message = app.jobs:push(req.body.kind, { n = req.body.n },
      { queue = req.body.queue, delay = req.body.delay, unique = req.body.unique })
    return id and 202 or 503, { id = id, message = message }
  end },
  ["GET /ran/{n}"] = { function(app, req)
    return 200, { ran = app.cache:get("ran:" .. req.params.n) ~= nil }
  end },
}
return M
]]

-- What came to be in maru.ready, however soon it left again.
local WATCH = "CREATE TABLE public.waited(id bigint); CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS"
  .. " $$ BEGIN INSERT INTO public.waited VALUES(new.id); RETURN new; END $$; CREATE TRIGGER note AFTER INSERT ON"
  .. " maru.ready FOR EACH ROW EXECUTE FUNCTION public.note()"

describe("a push to PostgreSQL", function()
  local database, maru

  setup(function()
    database = postgres.start()
    maru = server.start({ plugins = { work = { ["plugin.lua"] = PLUGIN } },
      set = { "jobs.driver=postgres", "jobs.url=" .. database.url } })
    database:sql(WATCH)
  end)

  teardown(function()
    maru:stop()
    database:drop()
  end)

  local function push(kind, n, more)
    local body = { kind = kind, n = n }
    for name, value in pairs(more or {}) do
      body[name] = value
    end
    local answer = maru:post("/push", body)
    assert.equal(202, answer.status, answer.body)
    return string.format("%.0f", answer.json.id)
  end

  local function ran(n)
    return maru:get("/ran/" .. n).json.ran
  end

  local function waited(id)
    return database:sql("SELECT count(*) FROM public.waited WHERE id = " .. id) == "1"
  end

  local function rests()
    return database:sql("SELECT (SELECT count(*) FROM maru.job) + (SELECT count(*) FROM maru.claimed)"
      .. " + (SELECT count(*) FROM maru.ready)") == "0"
  end

  it("begins at once when there is room, and leaves nothing", function()
    local ids = {}
    for i = 1, 20 do
      ids[i] = push("plain", "plain" .. i)
    end
    for i, id in ipairs(ids) do
      assert.is_true(server.wait_for(function() return ran("plain" .. i) end))
      assert.is_false(waited(id))
    end
    assert.is_true(server.wait_for(rests))
    assert.equal("20", database:sql("SELECT count(*) FROM maru.past"))
    assert.equal("20", maru:get("/metrics").body:match('maru_jobs_claimed_at_push_total{driver="postgres"} (%d+)'))
  end)

  it("waits for a claim where something bounds it", function()
    for _, kind in ipairs({ "single", "paced", "keyed" }) do
      local id = push(kind, kind)
      assert.is_true(server.wait_for(function() return ran(kind) end), kind)
      assert.is_true(waited(id), kind)
    end
    assert.is_true(server.wait_for(rests))
  end)

  it("waits for a claim with a unique key, for another push may become its work", function()
    local id = push("plain", "unique", { unique = "u" })
    assert.is_true(server.wait_for(function() return ran("unique") end))
    assert.is_true(waited(id))
    assert.is_true(server.wait_for(rests))
  end)

  it("waits until its time", function()
    local id = push("plain", "later", { delay = "300ms" })
    assert.is_true(waited(id))
    assert.is_true(server.wait_for(function() return ran("later") end))
  end)

  it("waits in a queue that is paused", function()
    maru:admin("/queues/held/pause", "POST", {}) -- nothing was ever pushed there
    local id = push("plain", "held", { queue = "held" })
    assert.is_true(waited(id))
    assert.is_false(ran("held"))
    assert.equal("1", database:sql("SELECT count(*) FROM maru.ready"))
    maru:admin("/queues/held/resume", "POST", {})
    assert.is_true(server.wait_for(function() return ran("held") end))
    assert.is_true(server.wait_for(rests))
  end)

  it("is no other's for ever when nobody heard that it was committed", function()
    local before = tonumber(database:sql("SELECT count(*) FROM maru.past"))
    -- A commit waits for a standby that is not there, longer than a push is patient.
    database:sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    database:sql("SELECT pg_reload_conf()")
    server.shell(("psql -X -d '%s' -c 'CREATE TABLE public.held()' >/dev/null 2>&1 &"):format(database.url))
    assert.is_true(server.wait_for(function()
      return database:sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") ~= "0"
    end))
    local answer = maru:post("/push", { kind = "plain", n = "lost" })
    database:sql("ALTER SYSTEM RESET synchronous_standby_names")
    database:sql("SELECT pg_reload_conf()")
    assert.equal(503, answer.status)
    assert.matches("it may be done", answer.json.message)
    assert.is_true(server.wait_for(function() return ran("lost") end))
    assert.is_true(server.wait_for(rests))
    assert.equal(before + 1, tonumber(database:sql("SELECT count(*) FROM maru.past")))
  end)

  -- As a server does, for a node of its own that nobody runs.
  local function put_here(node, ids, heres)
    local flow = database:sql("SELECT maru.flow('work.nobody', 'nobody')")
    local function all(value, type)
      return ("array_fill(%s::%s, ARRAY[%d])"):format(value, type, #ids)
    end
    return database:sql(("SELECT flow = %s, fence < 0 FROM maru.put_here(%s, '{%s}', '{%s}', %s, %s, %s, %s, %s, %s,"
      .. " %s, %s, %s, %s)"):format(flow, node, table.concat(heres, ","), table.concat(ids, ","), all(flow, "int"),
        all(1, "smallint"), all(4, "smallint"), all(0, "bigint"), all(0, "int"), all(0, "bigint"), all("NULL", "text"),
        all("NULL", "text"), all("'{}'", "text"), all("NULL", "text")))
  end

  it("goes behind what is due before it, and to no node that is gone", function()
    local node = database:sql("INSERT INTO maru.node(home, name, lanes, capacity, started_at, beat_at, expires_at)"
      .. " VALUES('x', 'x', 1, 1, 0, 0, 4e18::bigint) RETURNING id"):match("%d+")
    assert.equal("t|t", put_here(node, { 1, 2 }, { 1, 0 }))
    assert.equal("1", database:sql("SELECT id FROM maru.claimed WHERE node = " .. node))
    assert.equal("2", database:sql("SELECT id FROM maru.ready"))
    assert.equal("", put_here(node, { 3 }, { 1 }))
    assert.equal("2|3", database:sql("SELECT string_agg(id::text, '|' ORDER BY id) FROM maru.ready"))
    database:sql("DELETE FROM maru.ready WHERE id IN (2, 3); DELETE FROM maru.job WHERE id IN (2, 3)")
    assert.equal("", put_here(node + 1000, { 4 }, { 1 }))
    assert.equal("4", database:sql("SELECT id FROM maru.ready"))
    -- What a node had that is gone comes back, in front, however it came by it.
    database:sql("UPDATE maru.node SET expires_at = 1 WHERE id = " .. node)
    assert.is_true(server.wait_for(function()
      database:sql("SELECT maru.reap()")
      return database:sql("SELECT string_agg(id::text, '|' ORDER BY run_at, id) FROM maru.ready") == "1|4"
    end))
    database:sql("DELETE FROM maru.ready WHERE id IN (1, 4); DELETE FROM maru.job WHERE id IN (1, 4)")
  end)

  -- Rows come and go: what was analyzed last may have been empty tables, and plans made of that read all of them.
  it("is ended, and claimed, by as many looks as there are jobs, whatever statistics say", function()
    local function fill(from, to)
      database:sql(("INSERT INTO maru.job(id, flow, prio, max_attempts, created_at, run_at, args)"
        .. " SELECT i, maru.flow('work.nobody', 'nobody'), 1, 4, 1, 1, '{}' FROM generate_series(%d, %d) i"):format(
          from, to))
    end
    local node = database:sql("INSERT INTO maru.node(home, name, lanes, capacity, started_at, beat_at, expires_at)"
      .. " VALUES('y', 'y', 1, 1, 0, 0, 4e18::bigint) RETURNING id"):match("%d+")
    local function claimed(from, to)
      database:sql(("INSERT INTO maru.claimed(id, flow, node, fence, at, suspect) SELECT i, 1, %s, 7, 1, false"
        .. " FROM generate_series(%d, %d) i"):format(node, from, to))
    end
    fill(1, 200)
    claimed(1, 200)
    database:sql("DELETE FROM maru.claimed WHERE node = " .. node .. "; DELETE FROM maru.job WHERE id <= 200")
    for _, name in ipairs({ "job", "claimed", "ready" }) do
      database:sql("VACUUM (TRUNCATE off, ANALYZE) maru." .. name)
    end
    fill(1, 9000)
    claimed(1, 4000)
    local function looks(call)
      local out = database:sql("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
        .. " SET plan_cache_mode = force_generic_plan; SELECT count(*) FROM " .. call .. "; SELECT sum(idx_tup_fetch)"
        .. " FROM pg_stat_xact_user_tables WHERE schemaname = 'maru' AND relname IN ('job', 'claimed')")
      return out:match("(%d+)%s+(%d+)%s*$")
    end
    local function all(value, type)
      return ("array_fill(%s::%s, ARRAY[50])"):format(value, type)
    end
    local ended, read = looks("maru.finish_plain(ARRAY(SELECT generate_series(1, 50)::bigint), " .. all(7, "bigint")
      .. ", " .. all(1, "smallint") .. ", " .. all(1, "bigint") .. ")")
    assert.equal("50", ended)
    assert.is_true(tonumber(read) < 500, read)
    ended, read = looks("maru.finish(ARRAY(SELECT generate_series(51, 100)::bigint), " .. all(7, "bigint") .. ", "
      .. all(2, "smallint") .. ", " .. all(1, "smallint") .. ", " .. all(0, "bigint") .. ", " .. all(1, "bigint")
      .. ", " .. all(1, "bigint") .. ", " .. all("'x'", "text") .. ", " .. all("NULL", "text") .. ")")
    assert.equal("50", ended)
    assert.is_true(tonumber(read) < 1000, read)
    local kind = database:sql("SELECT kind FROM maru.flow WHERE id = maru.flow('work.nobody', 'nobody')")
    ended, read = looks(("maru.claim(%s, ARRAY[%s], 50)"):format(node, kind))
    assert.equal("51", ended) -- the last row says when there may be more
    assert.is_true(tonumber(read) < 500, read)
    database:sql("DELETE FROM maru.claimed WHERE node = " .. node .. "; DELETE FROM maru.ready WHERE id <= 9000;"
      .. " DELETE FROM maru.job WHERE id <= 9000")
  end)
end)
