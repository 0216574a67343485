--- What every driver of the queue has to do, through the real program.
---
--- A driver is a line of DRIVERS (spec/support/contract.lua); `differs` is what it does not do.
local cjson = require("cjson")
local contract = require("spec.support.contract")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "c", version = "1.0.0" }
local function span(app, job)
  local from = app.now()
  assert(app.sleep(job.args.s or 0.05))
  return { from = from, to = app.now(), tag = job.args.tag }
end
local function together(app, jobs)
  local out = {}
  for i, job in ipairs(jobs) do
    local args, first = job.args, job.attempt == 1
    out[i] = { n = args.n, size = #jobs, attempt = job.attempt }
    if args.fail and first then
      out[i] = app.fail(500, "weather", "it rained on " .. args.n)
    elseif args.later and first then
      out[i] = app.retry("1ms", "not now")
    elseif args.never then
      out[i] = app.discard("no such thing as " .. args.n)
    elseif args.raise and (first or args.raise == "always") then
      error("cannot bear " .. args.n)
    elseif args.lacks then
      out[i] = nil
    elseif args.wrong then
      out.total = #jobs
    end
  end
  return out
end
local function wait_for(app, key)
  repeat assert(app.sleep(0.01)) until app.cache:get(key)
end
M.jobs = {
  together = { batch = 4, wait = "50s", retries = 1, backoff = "10ms", together },
  soon = { batch = 1000, wait = "20ms", together },
  at_once = { batch = 3, together },
  mute = { batch = 2, wait = "50s", function() end },
  refusing = { batch = 2, wait = "50s", retries = 0, function() return nil, "closed today", "closed" end },
  endless = { batch = 2, wait = "50s", retries = 0, timeout = "150ms", function(app) assert(app.sleep(60)) end },
  talk = { batch = 3, wait = "50s", timeout = "60s", function(app, jobs)
    local told, out = { app.jobs:progress(0.5, "all"), app.jobs:progress(0.7, "one", jobs[#jobs].id),
      select(3, app.jobs:progress(0.7, "none", 1)) }, {}
    wait_for(app, jobs[1].args.key)
    for i in ipairs(jobs) do out[i] = told end
    return out
  end },
  apart = { batch = 2, wait = "50ms", timeout = "60s", key = "owner", key_concurrency = 1, function(app, jobs)
    local out = {}
    for i, job in ipairs(jobs) do out[i] = { from = app.now(), size = #jobs, owner = job.args.owner } end
    assert(app.sleep(0.05))
    for i in ipairs(jobs) do out[i].to = app.now() end
    return out
  end },
  echo = function(_, job) return { args = job.args, attempt = job.attempt, at = job.scheduled_at } end,
  nothing = function() end,
  brief = function(app) app.sleep(0.005) end,
  last = function(_, job) return job.args end,
  note = function(_, job) return job.args end,
  flaky = { retries = 3, backoff = "50ms", function(_, job)
    if job.attempt < job.args.good then error("not yet " .. job.attempt) end
    return { attempt = job.attempt }
  end },
  hopeless = { retries = 1, backoff = "20ms", function() error("never works") end },
  stubborn = { retries = 22, backoff = { first = "1ms", factor = 1 }, function() error("not at all") end },
  refused = { retries = 5, function(app) error(app.discard("no such thing")) end },
  late = { retries = 0, timeout = "150ms", function(app) assert(app.sleep(60)) end },
  span = { timeout = "60s", span },
  stale = { expires = "100ms", function() end },
  single = { timeout = "60s", concurrency = 1, span },
  keyed = { timeout = "60s", key = "owner", key_concurrency = 1, span },
  paced = { timeout = "60s", rate = "4/s", span },
  second = { expires = "200ms", retries = 1, backoff = "500ms", function(_, job)
    if job.attempt == 1 then error("once") end
    return job.attempt
  end },
  metered = { key = "owner", key_rate = "4/s", span },
  rare = { rate = "1/h", function() end },
  rare_key = { key = "owner", key_rate = "1/h", function() end },
}
M.queues = {
  vacant = {},
  shop = { key_concurrency = 1 },
  slow = { rate = "1/h" },
  slow_key = { key_rate = "1/h" },
}
M.routes = {
  ["POST /push"] = function(app, req)
    local body = req:json()
    local id, message, code = app.jobs:push(body.kind, body.args or {}, body.options)
    return 200, { id = id or nil, message = message, code = code }
  end,
  ["POST /tell"] = function(app, req) return 200, { ok = app.cache:set(req:json().key, "1", "1m") } end,
  ["POST /each"] = function(app, req)
    local body = req:json()
    local ids, message, code = app.jobs:push_many(body.kind, body.list, body.options)
    return 200, { ids = ids and app.json.array(ids), message = message, code = code }
  end,
  ["POST /race"] = function(app, req)
    local body = req:json()
    local left, got = 3 * body.n, {}
    for i = 1, 3 * body.n do
      app.spawn(function()
        local options = { delay = body.delay, unique = body.unique }
        options.unique.key = body.name .. i % body.n
        local id, message, code = app.jobs:push("echo", { n = i }, options)
        got[#got + 1] = { key = i % body.n, id = id or nil, message = message, code = code }
        left = left - 1
      end)
    end
    while left > 0 do assert(app.sleep(0.005)) end
    return 200, { got = app.json.array(got) }
  end,
  ["POST /many"] = function(app, req)
    local body = req:json()
    local list = {}
    for i = 1, body.n do list[i] = { i = i } end
    local ids, message, code = app.jobs:push_many(body.kind, list, body.options)
    return 200, { ids = ids and app.json.array(ids), message = message, code = code }
  end,
  ["POST /together"] = function(app, req)
    local body = req:json()
    local ok, message = app.store:tx(function(tx)
      tx:exec("insert into notes(text) values($1)", body.text)
      assert(tx.jobs:push("note", { text = body.text }))
      if body.fail then return nil, "rolled back" end
      return true
    end)
    return 200, { ok = ok or false, message = message }
  end,
  ["POST /batch"] = function(app, req)
    local body = req:json()
    local list = body.list or {}
    for i = 1, body.n or 0 do list[i] = { body.kind, { i = i } } end
    local id, message, code = app.jobs:batch(list, { done = body.done, description = body.description })
    return 200, { id = id or nil, message = message, code = code }
  end,
  ["GET /batches/{id}"] = function(app, req)
    return 200, { batch = app.jobs:batch_get(tonumber(req.params.id)) or nil }
  end,
  ["POST /wait"] = function(app, req)
    local body = req:json()
    local got, message, code = app.jobs:wait(body.ids, body.timeout)
    return 200, { got = got or nil, message = message, code = code }
  end,
  ["GET /jobs/{id}"] = function(app, req) return 200, { job = app.jobs:get(tonumber(req.params.id)) or nil } end,
  ["POST /dead"] = function(app, req)
    local body = req:json()
    return 200, { ids = app.json.array(assert(app.jobs:dead(body.kind, body.after))) }
  end,
}
return M
]==],
  ["migrations/0001_notes.sql"] = "create table notes(text text);",
}

local ONE_NODE = "one server alone has this record"
local DRIVERS = {
  {
    name = "sqlite",
    settings = { "jobs.driver=sqlite" },
    differs = { nodes = ONE_NODE, ["shared batches"] = ONE_NODE, ["nodes and modes"] = ONE_NODE, owner = ONE_NODE,
      limits = ONE_NODE, rates = ONE_NODE, ["keys over nodes"] = ONE_NODE, SQL = ONE_NODE,
      ["broken connections"] = "there are none",
      ["restart of its server"] = "there is no other server" },
  },
  {
    name = "postgres",
    open = function()
      local database = postgres.start()
      return {
        settings = { "jobs.driver=postgres", "jobs.url=" .. database.url, "jobs.lease=2s" },
        stop = function(how)
          database:stop(how)
        end,
        launch = function()
          database:launch()
        end,
        push = function(kind, args)
          return tonumber(database:sql(("begin; select maru.push('%s', '%s'); commit"):format(kind, args)))
        end,
        --- The process that has claimed the job.
        owner = function(id)
          return tonumber(database:sql(("select n.name from maru.claimed c join maru.node n on n.id = c.node"
            .. " where c.id = %d"):format(id)):match("%-(%d+)$"))
        end,
        --- A notification as a function of a migration could send it.
        forge_cancel = function(id)
          database:sql(("select pg_notify('maru', format('c %%s %%s', node, id)) from maru.claimed where id = %d")
            :format(id))
        end,
        --- The server's process that takes pushes stands still until what it returns is called.
        freeze = function()
          local pid = database:sql("select pid from pg_stat_activity where application_name like 'maru write%'")
          server.shell("kill -STOP " .. pid)
          return function()
            server.shell("kill -CONT " .. pid)
          end
        end,
        close = function()
          database:drop()
        end,
      }
    end,
    differs = { ["broken connections"] = "spec/server/jobs_outage_spec.lua" },
  },
  {
    name = "redis",
    open = function()
      local db = redis.start()
      return {
        settings = { "jobs.driver=redis", "jobs.url=" .. db.url, "jobs.lease=2s" },
        stop = function()
          db:kill()
        end,
        launch = function()
          db:again()
        end,
        --- Cuts the servers' connections, at some moment soon. @return integer pid that is gone when it has
        shake = function()
          return tonumber((server.shell(("sh -c 'sleep 0.0%d; redis-cli -p %d CLIENT KILL TYPE normal' "
            .. ">/dev/null 2>&1 & echo $!"):format(math.random(0, 5), db.port)):match("%d+")))
        end,
        --- How many jobs run under this limit, as the record counts them.
        held = function(limit)
          return tonumber(db:call("SCARD", "maru:held:" .. limit))
        end,
        owner = function(id)
          return tonumber(db:call("HGET", ("maru:job:%d"):format(id), "node"):match("%-(%d+)$"))
        end,
        close = function()
          db:stop()
        end,
      }
    end,
    differs = {
      attempts = "a job has its last error only",
      SQL = "any client of Celery pushes: spec/server/celery_spec.lua",
    },
  },
}

local function push(node, kind, args, options)
  local answer = node:post("/push", { kind = kind, args = args, options = options })
  assert.equal(200, answer.status, answer.body)
  return answer.json.id, answer.json.message, answer.json.code
end

local function get(node, id)
  local answer = node:get("/jobs/" .. ("%d"):format(id))
  return answer.json and answer.json.job
end

local function wait_state(node, id, state)
  local seen
  server.wait_for(function()
    seen = get(node, id)
    return seen and seen.state == state
  end)
  assert.is_truthy(seen, "job " .. id .. " is nowhere")
  assert.equal(state, seen.state, seen.error)
  return seen
end

local function wait_states(node, ids, state)
  local jobs = {}
  for i, id in ipairs(ids) do
    jobs[i] = wait_state(node, id, state)
  end
  return jobs
end

local function cancel(node, id)
  assert.is_nil(node:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
end

--- Runs until it is cancelled, and keeps others from running meanwhile. @return integer id
local function gate(node, kind, options)
  local id = push(node, kind, { s = 55 }, options)
  wait_state(node, id, "running")
  return id
end

--- The most spans that were open at one time.
local function overlap(jobs)
  local most = 0
  for _, a in ipairs(jobs) do
    local open = 0
    for _, b in ipairs(jobs) do
      if b.result.from <= a.result.from and a.result.from < b.result.to then
        open = open + 1
      end
    end
    most = math.max(most, open)
  end
  return most
end

for _, driver in ipairs(DRIVERS) do
  describe("jobs kept by " .. driver.name, function()
    local stage, case = contract.stage(driver, { plugins = { c = PLUGIN } })
    local backend, node

    lazy_setup(function()
      node = stage:node()
      backend = stage.backend
    end)

    it("run with their arguments and keep the result", function()
      local args = { text = "단어 \"x\" \\ \n \0 🎉", list = { 1, 2, 3 }, deep = { a = { b = false } }, n = 1.5 }
      local id = push(node, "echo", args)
      local job = wait_state(node, id, "done")
      assert.same(args, job.result.args)
      assert.equal(1, job.result.attempt)
      assert.equal("c.echo", job.kind)
      local counted = (driver.name == "postgres" and 'maru_jobs_claimed_at_push_total{driver="%s"} (%%d+)'
        or 'maru_jobs_claim_seconds_count{driver="%s"} (%%d+)'):format(driver.name)
      local claims = node:get("/metrics").body:match(counted)
      assert.equal(driver.name ~= "sqlite", (tonumber(claims) or 0) > 0)
    end)

    it("get neighbouring ids from one push of many, which run once each", function()
      local ids = node:post("/many", { kind = "nothing", n = 500 }).json.ids
      assert.equal(500, #ids)
      for i = 2, 500 do
        assert.equal(ids[i - 1] + 1, ids[i])
      end
      wait_state(node, ids[500], "done")
      for _, i in ipairs({ 1, 250, 499 }) do
        assert.equal(1, wait_state(node, ids[i], "done").attempt)
      end
    end)

    it("of higher priority go first", function()
      local first, ids = gate(node, "single"), {}
      for i, priority in ipairs({ "low", "normal", "high" }) do
        ids[i] = push(node, "single", { s = 0.01 }, { priority = priority })
      end
      cancel(node, first)
      local jobs = wait_states(node, ids, "done")
      assert.is_true(jobs[3].result.from < jobs[2].result.from)
      assert.is_true(jobs[2].result.from < jobs[1].result.from)
    end)

    it("do not start before their time", function()
      local before = socket.gettime()
      local id = push(node, "span", { s = 0 }, { delay = "400ms" })
      assert.equal("delayed", get(node, id).state)
      assert.is_true(wait_state(node, id, "done").result.from >= before + 0.39)
    end)

    it("are tried again until they succeed, with what was wrong before", function()
      local id = push(node, "flaky", { good = 3 })
      local job = wait_state(node, id, "done")
      assert.equal(3, job.result.attempt)
      assert.equal(3, job.attempt)
    end)

    it("are dead after their attempts, and whole again when requeued", function()
      local id = push(node, "hopeless", { keep = "me" })
      local job = wait_state(node, id, "dead")
      assert.equal(2, job.attempt)
      assert.matches("never works", job.error)
      assert.same({ keep = "me" }, job.args)
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(id) .. "/retry", "POST", {}).status)
      server.wait_for(function()
        local now = get(node, id)
        return now and now.state ~= "dead"
      end)
      assert.equal(2, wait_state(node, id, "dead").attempt)
    end)

    it("are named to their plugin when they are dead, by kind", function()
      local function dead(kind, after)
        return node:post("/dead", { kind = kind, after = after }).json.ids
      end
      local before = dead("refused")
      local ids = { push(node, "refused"), push(node, "refused"), push(node, "late") }
      wait_states(node, ids, "dead")
      assert.same({ ids[1], ids[2] }, dead("refused", math.max(before[#before] or 0, ids[1] - 1)))
      assert.same({ ids[2] }, dead("refused", ids[1]))
      assert.same({}, dead("refused", ids[2]))
      assert.equal(#before + 2, #dead("refused"))
      assert.same({}, dead("nothing"))
      assert.equal(500, node:post("/dead", { kind = "nobody" }).status)
    end)

    case("keep what was wrong in each attempt, and where", "attempts", function()
      local id = push(node, "hopeless")
      local job = wait_state(node, id, "dead")
      assert.equal(2, #job.attempts)
      for i, attempt in ipairs(job.attempts) do
        assert.equal(i, attempt.attempt)
        assert.matches("never works", attempt.error)
        assert.matches("plugin.lua:%d+", attempt.traceback)
        assert.matches("^job", attempt.lane)
        assert.is_true(attempt.started_at <= attempt.ended_at)
      end
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(id) .. "/retry", "POST", {}).status)
      assert.equal("dead", node:post("/wait", { ids = id, timeout = "20s" }).json.got.state)
      assert.equal(4, #node:admin("/jobs/" .. ("%d"):format(id)).attempts)

      local stubborn = push(node, "stubborn")
      local attempts = wait_state(node, stubborn, "dead").attempts
      assert.equal(20, #attempts)
      assert.equal(4, attempts[1].attempt)
      assert.equal(23, attempts[20].attempt)
      assert.same({}, get(node, (wait_state(node, push(node, "echo"), "done").id)).attempts)
    end)

    it("are dead at once when their handler gives up", function()
      local job = wait_state(node, push(node, "refused"), "dead")
      assert.equal(1, job.attempt)
      assert.matches("no such thing", job.error)
    end)

    it("fail at their timeout", function()
      assert.matches("time", wait_state(node, push(node, "late"), "dead").error)
    end)

    it("with a unique key exist once until they end", function()
      local id = gate(node, "span", { unique = "u1" })
      local second, _, code = push(node, "span", { s = 0.3 }, { unique = "u1" })
      assert.is_nil(second)
      assert.equal("duplicate", code)
      assert.is_number(push(node, "echo", {}, { unique = "u1" }), "another kind's key is another")
      cancel(node, id)
      wait_state(node, id, "cancelled")
      assert.is_number(push(node, "span", { s = 0 }, { unique = "u1" }))
    end)

    it("have keys that are text", function()
      for _, options in ipairs({ { unique = "a\0b" }, { key = "a\0b" } }) do
        local id, message, code = push(node, "echo", {}, options)
        assert.is_nil(id)
        assert.equal("invalid", code)
        assert.matches("UTF%-8", message)
      end
      local korean = { unique = "사과", key = "배", delay = "1h" }
      assert.is_number(push(node, "echo", {}, korean))
      assert.equal("duplicate", (select(3, push(node, "echo", {}, korean))))
    end)

    it("give a key of scope queued back when they start", function()
      local unique = { key = "queued", scope = "queued" }
      local first = gate(node, "single")
      local id = push(node, "single", { s = 55 }, { unique = unique })
      local second, _, code = push(node, "single", {}, { unique = unique })
      assert.is_nil(second)
      assert.equal("duplicate", code)
      cancel(node, first)
      wait_state(node, id, "running")
      local third = push(node, "single", { s = 0 }, { unique = unique })
      assert.is_number(third)
      cancel(node, id)
      wait_state(node, third, "done")
    end)

    it("hold a key for a time, whatever becomes of them", function()
      local function try(unique)
        return push(node, "echo", {}, { unique = unique })
      end
      wait_state(node, try({ key = "hour", period = "1h" }), "done")
      for _, unique in ipairs({ "hour", { key = "hour", period = "1ms" }, { key = "hour", replace = true } }) do
        local id, _, code = try(unique)
        assert.is_nil(id)
        assert.equal("duplicate", code)
      end
      wait_state(node, try({ key = "short", period = "200ms" }), "done")
      assert.is_truthy(server.wait_for(function()
        return try("short")
      end))
    end)

    it("that wait are replaced, those that run are not", function()
      local unique = { key = "replaced", replace = true }
      local id = push(node, "echo", { n = 1 }, { unique = unique, delay = "1h" })
      assert.equal(id, push(node, "echo", { n = 2 }, { unique = unique, delay = "2h", queue = "elsewhere" }))
      assert.equal("elsewhere", get(node, id).queue)
      assert.equal(id, push(node, "echo", { n = 3 }, { unique = unique }))
      assert.equal(3, wait_state(node, id, "done").result.args.n)
      local running = push(node, "span", { s = 50 }, { unique = unique })
      wait_state(node, running, "running")
      local second, _, code = push(node, "span", { s = 0 }, { unique = unique })
      assert.is_nil(second)
      assert.equal("duplicate", code)
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(running) .. "/cancel", "POST", {}).status)
      wait_state(node, running, "cancelled")
      assert.is_number(push(node, "span", { s = 0 }, { unique = unique }))
    end)

    it("of one kind run at most as many at once as it says", function()
      local ids = {}
      for i = 1, 4 do
        ids[i] = push(node, "single", { s = 0.1 })
      end
      assert.equal(1, overlap(wait_states(node, ids, "done")))
    end)

    it("say why they wait", function()
      local function why(id)
        return (node:admin("/jobs/" .. ("%d"):format(id)).why or {})[1] or {}
      end
      local later = why(push(node, "echo", {}, { delay = "1h" }))
      assert.equal("not_due", later.code)
      assert.matches("^%d+%-%d+%-%d+T", later["until"])
      local first = gate(node, "single")
      local full = why(push(node, "single", { s = 0 }))
      assert.same({ code = "kind_full", running = 1, limit = 1 }, full)
      cancel(node, first)
    end)

    it("say whose rate is used up, and do not ask for them on and on", function()
      local waiting = {}
      local function used_up(code, kind, args, options)
        wait_state(node, push(node, kind, args, options), "done")
        local id = push(node, kind, args, options)
        local reason = node:admin("/jobs/" .. ("%d"):format(id)).why[1]
        assert.equal(code, reason.code)
        assert.matches("^%d+%-%d+%-%d+T", reason["until"])
        waiting[#waiting + 1] = id
      end
      used_up("kind_rate", "rare")
      used_up("key_rate", "rare_key", { owner = "a" })
      used_up("queue_rate", "echo", {}, { queue = "slow" })
      used_up("queue_key_rate", "echo", {}, { queue = "slow_key", key = "a" })
      wait_state(node, push(node, "rare_key", { owner = "b" }), "done")
      local function claims()
        local count = ('maru_jobs_claim_seconds_count{driver="%s"} (%%d+)'):format(driver.name)
        return tonumber(node:get("/metrics").body:match(count)) or 0
      end
      local before = claims()
      socket.sleep(1)
      assert.is_true(claims() - before < 50, "it spins")
      for _, id in ipairs(waiting) do
        assert.equal("ready", get(node, id).state)
        assert.is_nil(node:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
      end
    end)

    it("that did not start in time never run", function()
      local first = gate(node, "span", { queue = "narrow" })
      assert.is_nil(node:admin("/queues/narrow/pause", "POST", {}).status)
      local id = push(node, "stale", {}, { queue = "narrow" })
      socket.sleep(0.3)
      assert.is_nil(node:admin("/queues/narrow/resume", "POST", {}).status)
      wait_state(node, id, "expired")
      cancel(node, first)
    end)

    it("that started in time do not expire before another attempt", function()
      assert.equal(2, wait_state(node, push(node, "second"), "done").result)
    end)

    it("of one key run one at a time, beside those of other keys", function()
      local mine, all = {}, {}
      for i = 1, 4 do
        mine[i] = push(node, "keyed", { s = 0.25, owner = "a" })
        all[#all + 1] = mine[i]
      end
      all[#all + 1] = push(node, "keyed", { s = 0.25, owner = "b" })
      assert.equal(1, overlap(wait_states(node, mine, "done")))
      assert.is_true(overlap(wait_states(node, all, "done")) > 1)
    end)

    it("are cancelled while they wait", function()
      local id = push(node, "echo", {}, { delay = "1h" })
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
      assert.equal("cancelled", wait_state(node, id, "cancelled").state)
      assert.equal(404, node:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
    end)

    it("are cancelled while they run", function()
      local id = push(node, "span", { s = 50 })
      wait_state(node, id, "running")
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
      wait_state(node, id, "cancelled")
    end)

    local function each(kind, list, options)
      local answer = node:post("/each", { kind = kind, list = list, options = options })
      assert.is_table(answer.json and answer.json.ids, answer.body)
      return answer.json.ids
    end

    --- No result, or the null that Celery's clients get for one.
    local function nothing(result)
      return result == nil or result == cjson.null
    end

    it("of a kind that takes several come in one call, each with an end of its own", function()
      local ids = each("together", { { n = 1 }, { n = 2, fail = true }, { n = 3, never = true },
        { n = 4, later = true } })
      assert.same({ n = 1, size = 4, attempt = 1 }, wait_state(node, ids[1], "done").result)
      assert.same({ n = 2, size = 1, attempt = 2 }, wait_state(node, ids[2], "done").result)
      assert.same({ n = 4, size = 1, attempt = 2 }, wait_state(node, ids[4], "done").result)
      local dead = wait_state(node, ids[3], "dead")
      assert.equal("no such thing as 3", dead.error)
      assert.equal(1, dead.attempt)
      if not driver.differs.attempts then
        assert.equal("it rained on 2", get(node, ids[2]).attempts[1].error)
      end
      local metrics = node:get("/metrics").body
      assert.equal(3, tonumber(metrics:match('maru_jobs_batches_total{kind="c.together"} (%d+)')))
      assert.equal(6, tonumber(metrics:match('maru_jobs_batched_total{kind="c.together"} (%d+)')))
    end)

    it("of one call all fail when it raises, and in their last attempt each stands for itself", function()
      local ids = each("together", { { n = 1 }, { n = 2, raise = "always" }, { n = 3, raise = "once" }, { n = 4 } })
      for _, i in ipairs({ 1, 3, 4 }) do
        local job = wait_state(node, ids[i], "done")
        assert.same({ n = i, size = 1, attempt = 2 }, job.result)
      end
      local dead = wait_state(node, ids[2], "dead")
      assert.matches("cannot bear 2", dead.error)
      assert.equal(2, dead.attempt)
    end)

    it("of one call that says nothing of some of them are done, and dead when it speaks of others", function()
      local ids = each("together", { { n = 1 }, { n = 2, lacks = true }, { n = 3 }, { n = 4 } })
      assert.is_true(nothing(wait_state(node, ids[2], "done").result))
      assert.equal(3, wait_state(node, ids[3], "done").result.n)
      for _, id in ipairs(each("mute", { { n = 1 }, { n = 2 } })) do
        assert.is_true(nothing(wait_state(node, id, "done").result))
      end
      for _, id in ipairs(each("together", { { n = 1 }, { n = 2, wrong = true }, { n = 3 }, { n = 4 } })) do
        local dead = wait_state(node, id, "dead")
        assert.matches("a result for no job of it: %[total%]", dead.error)
        assert.equal(1, dead.attempt)
      end
      for _, id in ipairs(each("refusing", { { n = 1 }, { n = 2 } })) do
        assert.equal("closed today", wait_state(node, id, "dead").error)
      end
    end)

    it("of a kind that takes several wait no longer for others than it says", function()
      local ids = each("soon", { { n = 1 }, { n = 2 }, { n = 3 } })
      for i, job in ipairs(wait_states(node, ids, "done")) do
        assert.equal(i, job.result.n)
        assert.is_true(job.result.size <= 3)
      end
      assert.equal(1, wait_state(node, push(node, "at_once", { n = 7 }), "done").result.size)
      for _, job in ipairs(wait_states(node, node:post("/many", { kind = "at_once", n = 50 }).json.ids, "done")) do
        assert.is_true(job.result.size <= 3)
      end
    end)

    it("of one call are cancelled one by one, and all of them end it", function()
      local list = { { key = "talk" }, {}, {} }
      local ids = each("talk", list)
      wait_states(node, ids, "running")
      cancel(node, ids[3])
      wait_state(node, ids[3], "cancelled")
      assert.equal("running", get(node, ids[1]).state)
      node:post("/tell", { key = "talk" })
      for i = 1, 2 do
        assert.same({ true, true, "not_found" }, wait_state(node, ids[i], "done").result)
      end
      list[1].key = "nobody tells"
      ids = each("talk", list)
      wait_states(node, ids, "running")
      for _, id in ipairs(ids) do
        cancel(node, id)
      end
      wait_states(node, ids, "cancelled")
    end)

    it("of one call fail at its timeout", function()
      for _, id in ipairs(each("endless", { { n = 1 }, { n = 2 } })) do
        assert.matches("time", wait_state(node, id, "dead").error)
      end
    end)

    it("of a kind that takes several keep to the limits of each", function()
      local list = {}
      for i = 1, 6 do
        list[i] = { owner = i <= 3 and "a" or "b" }
      end
      local of = { a = {}, b = {} }
      for _, job in ipairs(wait_states(node, each("apart", list), "done")) do
        table.insert(of[job.result.owner], job)
      end
      assert.equal(1, overlap(of.a))
      assert.equal(1, overlap(of.b))
    end)

    case("are not cancelled by a notification that nobody of the host's sent", "SQL", function()
      local id, other = push(node, "span", { s = 50 }), push(node, "span", { s = 50 })
      wait_state(node, id, "running")
      wait_state(node, other, "running")
      backend.forge_cancel(id)
      for _, one in ipairs({ other, id }) do -- what is sent later arrives later
        assert.equal("running", get(node, id).state)
        assert.is_nil(node:admin("/jobs/" .. ("%d"):format(one) .. "/cancel", "POST", {}).status)
        wait_state(node, one, "cancelled")
      end
    end)

    it("of a paused queue wait until it is resumed", function()
      wait_state(node, push(node, "echo", {}, { queue = "side" }), "done")
      assert.is_nil(node:admin("/queues/side/pause", "POST", {}).status)
      local id = push(node, "echo", {}, { queue = "side" })
      wait_state(node, push(node, "echo"), "done")
      assert.equal("ready", get(node, id).state)
      assert.equal("paused", node:admin("/jobs/" .. ("%d"):format(id)).why[1].code)
      assert.is_nil(node:admin("/queues/side/resume", "POST", {}).status)
      wait_state(node, id, "done")
    end)

    it("of a queue that was paused before anything was pushed to it wait, too", function()
      assert.is_nil(node:admin("/queues/vacant/pause", "POST", {}).status)
      local id = push(node, "echo", {}, { queue = "vacant" })
      wait_state(node, push(node, "echo"), "done")
      assert.equal("ready", get(node, id).state)
      assert.is_nil(node:admin("/queues/vacant/resume", "POST", {}).status)
      wait_state(node, id, "done")
    end)

    local function batch(at, id)
      return at:get("/batches/" .. ("%d"):format(id)).json.batch
    end

    local function wait_batch(at, id)
      local seen
      server.wait_for(function()
        seen = batch(at, id)
        return seen and seen.finished_at ~= nil and seen.finished_at ~= require("cjson").null
      end)
      assert.equal(0, seen.pending)
      return seen
    end

    --- How many jobs have followed this batch.
    local function followed(at, id)
      local n = 0
      for _, job in ipairs(at:admin("/jobs?kind=c.last&limit=500").jobs) do
        n = n + (get(at, job.id).result.batch.id == id and 1 or 0)
      end
      return n
    end

    it("of a batch are counted together, and one more follows the last of them", function()
      local later = { delay = "1h", queue = "crowd" }
      local text = "}\", \"$batch\" 단어"
      local answer = node:post("/batch", { description = "three\nkinds",
        list = { { "echo", { n = 1 } }, { "nothing" }, { "flaky", { good = 2 } }, { "hopeless" }, { "refused" },
          { "echo", {}, later } },
        done = { "last", { text = text, deep = { batch = 1 } } } })
      local id = answer.json.id
      assert.is_number(id, answer.body)
      server.wait_for(function()
        return batch(node, id).pending == 1
      end)
      local seen = batch(node, id)
      assert.same({ 6, 3, 2, 1 }, { seen.total, seen.succeeded, seen.failed, seen.pending })
      assert.equal("three\nkinds", seen.description)
      local dead = node:admin("/jobs?state=dead&kind=c.refused&limit=1").jobs[1].id
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(dead) .. "/retry", "POST", {}).status)
      assert.equal(1, wait_state(node, dead, "dead").attempt)
      local waiting = node:admin("/jobs?state=delayed&queue=crowd").jobs[1].id
      assert.equal(1, batch(node, id).pending, "an end was counted twice")
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(waiting) .. "/cancel", "POST", {}).status)
      seen = wait_batch(node, id)
      assert.same({ 6, 3, 3 }, { seen.total, seen.succeeded, seen.failed })
      local job = wait_state(node, seen.done_job, "done")
      assert.equal("c.last", job.kind)
      local counts = { id = id, total = 6, succeeded = 3, failed = 3 }
      assert.same({ text = text, deep = { batch = 1 }, batch = counts }, job.result)
      local plain = node:post("/batch", { kind = "nothing", n = 3 }).json.id
      assert.same({ 3, 0 }, { wait_batch(node, plain).succeeded, wait_batch(node, plain).failed })
      assert.is_nil(node:get("/batches/999999999").json.batch)
    end)

    it("that follow a batch have the key of their kind, and its place is free when they end", function()
      local done = { "keyed", { owner = "crowd", s = 30 } }
      local job = wait_batch(node, node:post("/batch", { kind = "nothing", n = 2, done = done }).json.id).done_job
      wait_state(node, job, "running")
      assert.equal("crowd", node:admin(("/jobs/%d"):format(job)).key)
      assert.is_nil(node:admin(("/jobs/%d/cancel"):format(job), "POST", {}).status)
      wait_state(node, job, "cancelled")
      if backend.held then
        assert.equal(0, backend.held("K:c.keyed\ncrowd"))
      end
    end)

    case("of a batch are counted once, whichever nodes end them and die", "shared batches", function()
      local n = tonumber(os.getenv("BATCH_MEMBERS")) or 1500
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local id = other:post("/batch", { kind = "brief", n = n, done = { "last", {} } }).json.id
      server.wait_for(function()
        return batch(node, id).succeeded > n / 5
      end)
      other:kill()
      assert.is_true(other:restart())
      local seen = wait_batch(node, id)
      assert.same({ n, n, 0 }, { seen.total, seen.succeeded, seen.failed })
      wait_state(node, seen.done_job, "done")
      assert.equal(1, followed(other, id))
    end)

    it("pushed in a transaction are there with its rows, or neither is", function()
      assert.is_true(node:post("/together", { text = "kept" }).json.ok)
      assert.is_false(node:post("/together", { text = "lost", fail = true }).json.ok)
      assert.is_true(node:post("/together", { text = "too" }).json.ok)
      local notes = server.wait_for(function()
        local list = node:admin("/jobs?kind=c.note&state=done").jobs
        return #list >= 2 and list
      end)
      assert.is_truthy(notes, "what was committed did not run")
      local texts = {}
      for i, job in ipairs(notes) do
        texts[i] = get(node, job.id).result.text
      end
      table.sort(texts)
      assert.same({ "kept", "too" }, texts)
    end)

    case("pushed in a transaction run once, whatever dies between its commit and theirs", "restart of its server",
      function()
        local function times(text)
          local n = 0
          for _, job in ipairs(node:admin("/jobs?kind=c.note&state=done&limit=500").jobs) do
            n = n + (get(node, job.id).result.text == text and 1 or 0)
          end
          return n
        end
        local function sql(text)
          return (server.shell(("sqlite3 -cmd '.timeout 5000' %s/state/maru.db %q"):format(node.dir, text)))
        end
        backend.stop("immediate")
        for i = 1, 3 do
          assert.is_true(node:post("/together", { text = "kept " .. i }).json.ok)
        end
        node:kill()
        local rows = sql("select count(*) from maru_job_outbox")
        sql("create table again as select * from maru_job_outbox")
        backend.launch()
        assert.is_true(node:restart())
        server.wait_for(function()
          return times("kept 1") + times("kept 2") + times("kept 3") == 3
        end)
        -- A server that died after its rows had arrived, and before it deleted them.
        node:kill()
        sql("insert or ignore into maru_job_outbox select * from again; drop table again")
        assert.is_true(node:restart())
        assert.is_true(node:post("/together", { text = "last" }).json.ok)
        server.wait_for(function()
          return times("last") == 1
        end)
        assert.matches("^3%s", rows)
        assert.matches("^0%s", sql("select count(*) from maru_job_outbox"))
        for _, text in ipairs({ "kept 1", "kept 2", "kept 3", "last" }) do
          assert.equal(1, times(text), text)
        end
      end)

    it("are listed by state, and page by page", function()
      local ids = node:post("/many", { kind = "echo", n = 5, options = { delay = "1h", queue = "later" } }).json.ids
      local seen, after = {}, ""
      repeat
        local answer = node:admin("/jobs?state=delayed&queue=later&limit=2" .. after)
        for _, job in ipairs(answer.jobs) do
          assert.is_nil(seen[job.id])
          seen[job.id] = true
        end
        after = type(answer.next) == "string" and "&after=" .. answer.next or nil
      until not after
      for _, id in ipairs(ids) do
        assert.is_true(seen[id])
      end
    end)

    it("are waited for until all have ended, or the time is over", function()
      local function wait(ids, timeout)
        return node:post("/wait", { ids = ids, timeout = timeout }).json
      end
      local id = push(node, "flaky", { good = 3 })
      local one = wait(id, "20s").got
      assert.equal("done", one.state)
      assert.equal(3, one.result.attempt)
      local ids = { push(node, "span", { s = 0.2, tag = "slow" }), id, push(node, "hopeless"), push(node, "nothing") }
      local states = {}
      for i, job in ipairs(wait(ids, "20s").got) do
        states[i] = job.state
      end
      assert.same({ "done", "done", "dead", "done" }, states)
      local later = push(node, "echo", {}, { delay = "1h" })
      assert.equal("timeout", wait({ id, later }, "300ms").code)
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(later) .. "/cancel", "POST", {}).status)
      assert.equal("cancelled", wait(later, "20s").got.state)
    end)

    case("that another node ends are waited for, too", "nodes", function()
      local id = push(node, "span", { s = 50 })
      wait_state(node, id, "running")
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local later = push(node, "echo", { n = 7 }, { delay = "500ms" })
      assert.equal(7, other:post("/wait", { ids = later, timeout = "20s" }).json.got.result.args.n)
      assert.equal("timeout", other:post("/wait", { ids = id, timeout = "200ms" }).json.code)
      assert.is_nil(other:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
      assert.equal("cancelled", other:post("/wait", { ids = id, timeout = "20s" }).json.got.state)
    end)

    it("are changed many at once, those that match and no others", function()
      local function bulk(action, filter, dry)
        return node:admin("/jobs/bulk", "POST", { action = action, filter = filter, dry = dry })
      end
      local later = { delay = "1h", queue = "many" }
      local ids = node:post("/many", { kind = "echo", n = 700, options = later }).json.ids
      local other = push(node, "nothing", {}, later)
      local filter = { queue = "many", kind = "c.echo" }
      assert.same({ matched = 700, changed = 0 }, bulk("cancel", filter, true))
      assert.same({ matched = 700, changed = 700 }, bulk("cancel", filter))
      for _, i in ipairs({ 1, 350, 700 }) do
        assert.equal("cancelled", get(node, ids[i]).state)
      end
      assert.equal("delayed", get(node, other).state)
      assert.same({ matched = 1, changed = 1 }, bulk("retry", { queue = "many", state = "delayed" }))
      wait_state(node, other, "done")

      local dead = push(node, "refused", { name = "zebra" })
      wait_states(node, { dead, push(node, "refused", { name = "lion" }) }, "dead")
      assert.same({ matched = 1, changed = 1 }, bulk("retry", { state = "dead", q = "zebra" }))
      assert.equal(1, wait_state(node, dead, "dead").attempt)
      assert.same({ matched = 0, changed = 0 }, bulk("retry", { state = "dead", kind = "c.nobody" }))
      assert.same({ matched = 1, changed = 1 }, bulk("discard", { state = "dead", q = "zebra" }))
      assert.is_nil(get(node, dead))
      assert.equal(1, bulk("discard", { state = "dead", q = "lion" }, true).matched)
    end)

    it("that ran when the process was killed run again, others are not lost", function()
      local running = push(node, "span", { s = 1.5, tag = "long" })
      wait_state(node, running, "running")
      local waiting = push(node, "echo", { n = 1 }, { delay = "1s" })
      node:kill()
      assert.is_true(node:restart())
      local again = wait_state(node, running, "done")
      assert.equal("long", again.result.tag)
      if not driver.differs.attempts then
        assert.equal(1, #again.attempts)
        assert.matches("the process died while this ran: ", again.attempts[1].error)
      end
      wait_state(node, waiting, "done")
    end)

    it("of one call that was running when the process was killed run again, each by itself", function()
      local ids = each("talk", { { key = "again" }, { key = "again" }, { key = "again" } })
      wait_states(node, ids, "running")
      node:kill()
      assert.is_true(node:restart())
      node:post("/tell", { key = "again" })
      for _, job in ipairs(wait_states(node, ids, "done")) do
        if driver.differs.attempts then
          assert.equal(1, job.crashes)
        else
          assert.equal(1, #job.attempts)
          assert.matches("the process died while this ran: ", job.attempts[1].error)
        end
      end
    end)

    case("that run on a node which dies go to another within the lease", "nodes", function()
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local ids, taken = {}, 0
      local victim = other:server_pid()
      assert.is_truthy(server.wait_for(function()
        local id = push(other, "span", { s = 1.2 })
        ids[#ids + 1] = id
        return server.wait_for(function()
          return backend.owner(id) == victim
        end, 0.2)
      end))
      other:kill()
      for _, job in ipairs(wait_states(node, ids, "done")) do
        local lost = not driver.differs.attempts and job.attempts[1]
        if lost then
          assert.equal(1, lost.attempt)
          assert.matches("the lease of its node ran out", lost.error)
          assert.matches("%-" .. other.killed .. "$", lost.node)
          taken = taken + 1
        end
      end
      assert.is_true(driver.differs.attempts ~= nil or taken > 0, "no takeover is in a log")
    end)

    case("of a node that stood still past its lease end once, elsewhere", "owner", function()
      local other = stage:node()
      finally(function()
        other:signal("CONT", other:server_pid())
        other:stop()
      end)
      local id = push(other, "single", { s = 1 })
      wait_state(node, id, "running")
      local frozen = backend.owner(id) == other:server_pid() and other or node
      local awake = frozen == other and node or other
      frozen:signal("STOP", frozen:server_pid())
      local job = wait_state(awake, id, "done")
      frozen:signal("CONT", frozen:server_pid())
      local stale = server.wait_for(function()
        return (frozen:get("/metrics").body or ""):match("maru_jobs_stale_total [1-9]")
      end)
      assert.is_truthy(stale, "the late end was not refused")
      assert.equal(job.finished_at, get(awake, id).finished_at)
    end)

    case("hold their limits and cancels over all nodes", "limits", function()
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local ids = {}
      for i = 1, 6 do
        ids[i] = push(i % 2 == 0 and node or other, "single", { s = 0.1 })
      end
      assert.equal(1, overlap(wait_states(node, ids, "done")))
      wait_state(node, push(node, "span", { s = 0 }, { queue = "booth" }), "done")
      assert.is_nil(node:admin("/queues/booth/limits", "POST", { concurrency = 2 }).status)
      local mine, booth = {}, {}
      for i = 1, 6 do
        local at = i % 2 == 0 and node or other
        mine[i] = push(at, "keyed", { s = 0.1, owner = "one" })
        booth[i] = push(at, "span", { s = 0.1 }, { queue = "booth" })
      end
      push(other, "span", { s = 0 }, { queue = "booth", delay = "1h" })
      assert.equal(1, overlap(wait_states(other, mine, "done")))
      assert.equal(2, overlap(wait_states(other, booth, "done")))
      assert.is_nil(node:admin("/queues/booth/limits", "POST", { concurrency = require("cjson").null }).status)
      for _, asked in ipairs({ node, other }) do
        local id = push(node, "span", { s = 50 })
        wait_state(other, id, "running")
        assert.is_nil(asked:admin("/jobs/" .. ("%d"):format(id) .. "/cancel", "POST", {}).status)
        wait_state(other, id, "cancelled")
      end
    end)

    case("start no faster than their rate over all nodes", "rates", function()
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local ids, first, last = {}, math.huge, 0
      for i = 1, 10 do
        ids[i] = push(i % 2 == 0 and node or other, "paced", { s = 0 })
      end
      for _, job in ipairs(wait_states(node, ids, "done")) do
        first, last = math.min(first, job.result.from), math.max(last, job.result.from)
      end
      -- Four at once and six in 1.5 s; each node by itself would do with a sixth of that.
      assert.is_true(last - first > 0.8, "ten of 4/s took " .. last - first .. " s")
    end)

    case("neither get lost nor come twice nor count a crash when connections break", "broken connections", function()
      local ids, shaker = {}, nil
      for i = 1, 20 do
        backend.shake()
        local answer = node:post("/many", { kind = "nothing", n = i % 4 == 0 and 1000 or 30 }).json
        assert.is_truthy(answer.ids, answer.message)
        for _, id in ipairs(answer.ids) do
          assert.is_nil(ids[id])
          ids[id], ids[#ids + 1] = true, id
        end
      end
      local kept = { delay = "1h", queue = "kept" }
      for _ = 1, 10 do
        backend.shake()
        local answer = node:post("/many", { kind = "nothing", n = 250, options = kept }).json
        assert.is_truthy(answer.ids, answer.message)
      end
      for i = 1, #ids, 40 do
        shaker = backend.shake()
        wait_state(node, ids[i], "done")
      end
      server.wait_for(function()
        return not server.alive(shaker)
      end)
      wait_states(node, { ids[#ids] }, "done")
      local gone = { action = "cancel", filter = { queue = "kept" } }
      assert.is_truthy(server.wait_for(function()
        return #(node:admin("/jobs?queue=kept").jobs or {}) > 0
      end))
      local changed = node:admin("/jobs/bulk", "POST", gone)
      assert.equal(2500, changed.changed, changed.detail)
      for _, state in ipairs({ "ready", "running", "dead" }) do
        assert.same({}, node:admin("/jobs?kind=c.nothing&state=" .. state).jobs, state)
      end
      for _, job in ipairs(node:admin("/jobs?kind=c.nothing&state=done&limit=500").jobs) do
        assert.equal(0, job.crashes)
      end
    end)

    case("hold the limits and rates of keys over all nodes", "keys over nodes", function()
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local function starts(n, kind, args, options)
        local ids, from = {}, {}
        for i = 1, n do
          ids[i] = push(i % 2 == 0 and node or other, kind, args, options)
        end
        for i, job in ipairs(wait_states(node, ids, "done")) do
          from[i] = job.result.from
        end
        table.sort(from)
        return from, ids
      end
      local before = socket.gettime()
      local from = starts(6, "metered", { s = 0, owner = "a" })
      assert.is_true(from[6] >= before + 2 * 0.25, "six starts of four a second")
      local _, ids = starts(6, "span", { s = 0.1 }, { queue = "shop", key = "k" })
      assert.equal(1, overlap(wait_states(node, ids, "done")))
      _, ids = starts(4, "span", { s = 0.3 }, { queue = "shop" })
      assert.is_true(overlap(wait_states(node, ids, "done")) > 1)
    end)

    case("have their unique keys once over all nodes that push at the same time", "nodes and modes", function()
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local function race(body)
        local bytes, clients, got = require("cjson").encode(body), {}, {}
        for i, at in ipairs({ node, other }) do
          clients[i] = assert(socket.connect("127.0.0.1", tonumber(at.url:match(":(%d+)$"))))
          clients[i]:settimeout(30)
          clients[i]:send(("POST /race HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            .. "Content-Length: %d\r\n\r\n%s"):format(#bytes, bytes))
        end
        for _, client in ipairs(clients) do
          local answer = assert(client:receive("*a"))
          client:close()
          for _, one in ipairs(require("cjson").decode(answer:match("\r\n\r\n(.*)$")).got) do
            assert.is_true(one.id ~= nil or one.code == "duplicate", one.message)
            got[one.key] = got[one.key] or {}
            table.insert(got[one.key], one.id)
          end
        end
        return got
      end
      for key, ids in pairs(race({ name = "period", n = 30, unique = { period = "1h" } })) do
        assert.equal(1, #ids, "key " .. key)
      end
      local kept = {}
      for key, ids in pairs(race({ name = "replace", n = 30, unique = { replace = true }, delay = "1h" })) do
        assert.equal(6, #ids, "key " .. key)
        for _, id in ipairs(ids) do
          assert.equal(ids[1], id)
        end
        kept[#kept + 1] = ids[1]
      end
      for _, id in ipairs(kept) do
        assert.equal("delayed", get(other, id).state)
      end
      for _, ids in pairs(race({ name = "both", n = 30, unique = { replace = true, scope = "queued" } })) do
        assert.equal(6, #ids)
        wait_states(node, ids, "done")
      end
    end)

    case("of a queue paused on one node wait on all, even on a later one", "nodes", function()
      wait_state(node, push(node, "echo", {}, { queue = "aisle" }), "done")
      assert.is_nil(node:admin("/queues/aisle/pause", "POST", {}).status)
      local other = stage:node()
      finally(function()
        node:admin("/queues/aisle/resume", "POST", {})
        other:stop()
      end)
      local id = push(other, "echo", {}, { queue = "aisle" })
      wait_state(other, push(other, "echo"), "done")
      assert.equal("ready", get(node, id).state)
      local seen = server.wait_for(function()
        for _, queue in ipairs(other:admin("/queues")) do
          if queue.queue == "aisle" then
            return queue.paused
          end
        end
      end)
      assert.is_true(seen)
      assert.is_nil(other:admin("/queues/aisle/resume", "POST", {}).status)
      wait_state(node, id, "done")
    end)

    case("survive the restart of their server, fast and by force", "restart of its server", function()
      for _, how in ipairs({ "fast", "immediate" }) do
        local running = push(node, "span", { s = 1 })
        wait_state(node, running, "running")
        local many = node:post("/many", { kind = "echo", n = 200, options = { delay = "1s" } }).json.ids
        backend.stop(how)
        local _, message = push(node, "echo")
        assert.is_truthy(message, "a push while the database is away")
        assert.equal(503, node:get("/readyz").status)
        local queue = node:admin("/drivers")[1]
        assert.same({ "queue", "down", true }, { queue.kind, queue.state, queue.required })
        local metric = 'maru_driver_up{kind="queue",driver="' .. queue.driver .. '"} 0'
        assert.is_truthy(node:get("/metrics").body:find(metric, 1, true))
        assert.is_truthy(queue.error)
        backend.launch()
        wait_state(node, running, "done")
        wait_states(node, many, "done")
        assert.is_truthy(server.wait_for(function()
          return node:get("/readyz").status == 200
        end))
      end
    end)

    case("are refused in time by a server that stands still", "SQL", function()
      push(node, "echo")
      local thaw = backend.freeze()
      local id, message, code = push(node, "echo", {}, { unique = "frozen" })
      thaw()
      assert.is_nil(id)
      assert.equal("io", code)
      assert.is_truthy(message)
      assert.is_truthy(server.wait_for(function()
        return push(node, "echo")
      end))
    end)

    case("can be pushed by any client of the database", "SQL", function()
      local id = backend.push("c.echo", '{"a": [1, 2]}')
      assert.same({ a = { 1, 2 } }, wait_state(node, id, "done").result.args)
      assert.is_truthy(server.wait_for(function()
        local metrics = node:get("/metrics").body
        return metrics:match("maru_jobs_postgres_dead_tuples %d")
          and metrics:match("maru_jobs_postgres_oldest_xact_seconds %d")
      end))
      local path = "/jobs/" .. ("%d"):format(backend.push("x.nobody", "{}"))
      assert.is_truthy(server.wait_for(function() -- a node that has just come says what it has with its first beat
        return node:admin(path).why[1].code == "held"
      end))
      assert.equal("ready", node:admin(path).state)
    end)
  end)
end
