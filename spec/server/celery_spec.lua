--- Python's Celery and maru on one Redis: tasks of one run in the other, and either may die.
local cjson = require("cjson")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local PYTHON = "/usr/bin/python3"
local node = "maru@" .. server.shell("hostname"):match("%S+")

local plugin = [[
local M = { name = "lua", version = "1.0.0" }
local function job(name, handler, more)
  local t = { celery = "lua." .. name, queue = "lua", retries = 0, backoff = "50ms", handler }
  for key, value in pairs(more or {}) do t[key] = value end
  return t
end
M.jobs = {
  add = job("add", function(app, job) return job.args[1] + job.args[2] end),
  sum = job("sum", function(app, job)
    local sum = 0
    for _, n in ipairs(job.args[1]) do sum = sum + n end
    return sum
  end),
  both = job("both", function(app, job) return { positional = job.args[1], named = job.args.x } end),
  fail = job("fail", function(app, job) error("boom " .. tostring(job.args[1])) end),
  flaky = job("flaky", function(app, job)
    if job.attempt < 3 then error("attempt " .. job.attempt) end
    return job.attempt
  end, { retries = 3 }),
  later = job("later", function(app, job)
    if job.attempt == 1 then error(app.retry("2s", "not yet")) end
    return "now"
  end, { retries = 1 }),
  -- what comes after a failure is told which task failed
  blame = job("blame", function(app, job) app.cache:set("blamed:" .. job.args[1], true) return job.args[1] end),
  slow = job("slow", function(app, job) assert(app.sleep(job.args[1])) return "slept" end),
}
M.routes = {
  ["POST /push"] = function(app, req)
    local id, message, code = app.jobs:push(req:json().job, req:json().args, req:json().options)
    return 200, { id = id or nil, message = message, code = code }
  end,
  ["POST /python"] = function(app, req)
    local q = req:json()
    local id, message, code = app.jobs:push_celery(q.task, q.args, q.kwargs, q.options)
    return 200, { id = id or nil, message = message, code = code }
  end,
  ["GET /job"] = function(app, req)
    local id = req.query.id
    return 200, { job = app.jobs:get(tonumber(id) or id) or nil }
  end,
  ["POST /wait"] = function(app, req)
    local jobs, message, code = app.jobs:wait(req:json().ids, "20s")
    return 200, { jobs = jobs or nil, message = message, code = code }
  end,
  ["GET /blamed"] = function(app, req)
    return 200, { blamed = app.cache:get("blamed:" .. req.query.id) or false }
  end,
}
return M
]]

describe("maru beside Celery", function()
  local db, maru, worker, client

  local function start_maru(more)
    local set = { "jobs.driver=redis", "jobs.url=" .. db.url, "jobs.lease=2s", "celery.queues=lua",
      "celery.visibility_timeout=3s" }
    for _, text in ipairs(more or {}) do
      set[#set + 1] = text
    end
    return server.start({ plugins = { lua = { ["plugin.lua"] = plugin } }, set = set })
  end

  local function python(command)
    return server.shell(("cd spec/support/celery && PYTHONDONTWRITEBYTECODE=1 VISIBILITY=3 BROKER=%s %s %s"):format(
      db.url, PYTHON, command))
  end

  --- A Python client that stays: to import Celery takes longer than to ask it.
  local function start_client()
    server.shell(("mkfifo %s/ask %s/answer"):format(db.dir, db.dir))
    -- the shell that waits at the pipes holds no other's output
    server.shell(("{ cd spec/support/celery && PYTHONDONTWRITEBYTECODE=1 VISIBILITY=3 BROKER=%s exec %s ask.py - "
      .. "<%s/ask >%s/answer 2>%s/client; } >/dev/null 2>&1 &"):format(db.url, PYTHON, db.dir, db.dir, db.dir))
    client = { to = assert(io.open(db.dir .. "/ask", "w")) }
    client.from = assert(io.open(db.dir .. "/answer", "r"))
  end

  --- Runs Python code that sets `answer`; what that is.
  local function ask(code)
    client.to:write(cjson.encode(code), "\n")
    client.to:flush()
    local line = assert(client.from:read("*l"), server.read_file(db.dir .. "/client"))
    local reply = cjson.decode(line)
    assert(not reply.error, reply.error)
    return reply.answer
  end

  local function kill_worker()
    if worker then
      server.shell("kill -9 " .. worker)
      server.wait_for(function()
        return not server.alive(worker)
      end)
      db:call("PING") -- a message that Redis hands to a connection of the dead is lost: that hole is kombu's
      worker = nil
    end
  end

  --- A Python worker, the one there is or a new one.
  local function need_worker()
    if worker then
      return
    end
    local out = server.shell(("cd spec/support/celery && PYTHONDONTWRITEBYTECODE=1 VISIBILITY=3 BROKER=%s exec %s -m "
      .. "celery -A tapp worker -P solo -Q celery -n py@here --without-mingle --without-gossip -E "
      .. ">%s/worker 2>&1 & echo $!"):format(db.url, PYTHON, db.dir))
    worker = tonumber(out:match("%d+"))
  end

  --- A message of maru's tasks that somebody took and did not give up.
  local function unacked()
    return db:call("HVALS", "unacked"):match('"lua%.%w+"')
  end

  local function job_of(id)
    return maru:get("/job?id=" .. id).json.job
  end

  local function ends(id)
    return server.wait_for(function()
      local job = job_of(id)
      return job and (job.state == "done" or job.state == "dead" or job.state == "cancelled") and job
    end)
  end

  setup(function()
    db = redis.start()
    start_client()
    need_worker()
    maru = start_maru()
  end)

  teardown(function()
    kill_worker()
    if client then
      client.to:close() -- its input ends, and it with it
      client.from:close()
    end
    if maru then
      maru:stop()
    end
    db:stop()
  end)

  it("runs what Python sends, with positional and named arguments", function()
    local got = ask([[answer = [outcome(send('lua.add', [2, 3])), outcome(send('lua.both', [1], {'x': 'y'})),
      outcome(send('lua.fail', ['x'])), outcome(send('lua.nowhere')), outcome(send('lua.flaky'))] ]])
    assert.same(5, got[1])
    assert.same({ positional = 1, named = "y" }, got[2])
    assert.matches("^RuntimeError: .*boom x", got[3])
    assert.matches("^NotRegistered: ", got[4])
    assert.same(3, got[5])
  end)

  it("heeds countdown, eta, priority and expires", function()
    local got = ask([[
start = later(0)
late = [send('lua.add', [1, 1], countdown=1), send('lua.add', [2, 2], eta=later(1), priority=9)]
gone = send('lua.add', [3, 3], countdown=1, expires=0.5)
values = [outcome(r) for r in late]
passed = (later(0) - start).total_seconds()
answer = [values, passed >= 1, outcome(gone), outcome(send('lua.add', [4, 4], priority=5))] ]])
    assert.same({ 2, 4 }, got[1])
    assert.is_true(got[2])
    assert.matches("^TaskRevokedError: expired", got[3])
    assert.same(8, got[4])
    assert.is_nil(unacked())
  end)

  it("is a link of chains, a member and a body of chords", function()
    need_worker()
    local got = ask([[answer = [
      outcome(chain(sig('lua.add', 1, 2), sig('py.add', 10), sig('lua.add', 100))()),
      outcome(group(sig('lua.add', 1, 2), sig('py.add', 3, 4))()),
      outcome(chord([sig('lua.add', 1, 2), sig('py.add', 3, 4)], sig('py.sum'))()),
      outcome(chord([sig('lua.add', 1, 2), sig('py.add', 3, 4)], sig('lua.sum'))()),
      outcome(chain(sig('lua.add', 1, 2), group(sig('py.add', 1), sig('lua.add', 2)), sig('lua.sum'))()),
      outcome(of(chord([sig('lua.fail', 'part'), sig('py.add', 3, 4)], sig('py.sum'))().id)),
      outcome(chain(sig('lua.fail', 'link'), sig('py.add', 1))())]
first = send('lua.add', [1, 2], link=sig('py.add', 1))
outcome(first)
answer.append(outcome(first.children[0])) ]])
    assert.same({ 113, { 3, 7 }, 10, 10, 9 }, { got[1], got[2], got[3], got[4], got[5] })
    assert.matches("^ChordError: Dependency .* raised RuntimeError", got[6])
    assert.matches("^RuntimeError: .*boom link", got[7])
    assert.same(4, got[8])
  end)

  it("answers celery inspect on the command line", function()
    local pong, status = python("-m celery -A tapp inspect ping --json -d " .. node)
    assert.same(0, status)
    assert.matches('"ok": "pong"', pong)
  end)

  it("tells monitors what a worker of Celery's own tells, in the same words", function()
    local got = ask(([=[
at = %q
slow = [send("lua.slow", [60]).id for _ in range(3)]
held = {name: send(name, args, countdown=60).id for name, args in (("lua.add", [1, 2]), ("py.add", [1, 2]))}
# what Flower asks when it opens the page of a worker, and the fields its pages have no default for
both = {}
for method in ("active", "stats", "active_queues", "registered", "scheduled", "reserved", "revoked", "conf"):
    def full():
        got = ask_all(method, at, "py@here")
        if method in ("reserved", "revoked") or got[at] and (got["py@here"] or method == "active"):
            return got
    both[method] = until(full)
lacks = {}
for method, reply in both.items():
    ours, theirs = reply[at], reply["py@here"]
    if method in ("stats", "conf"):
        lacks[method] = missing(ours, theirs)
    elif theirs and isinstance(theirs[0], dict):
        lacks[method] = missing(ours[0], theirs[0])
lacks["active"] = missing(both["active"][at][0], both["scheduled"]["py@here"][0]["request"])
safe = ask_all("active", at, safe=True)[at]
answer = {"lacks": lacks, "both": {name: reply[at] for name, reply in both.items()}, "safe": safe, "held": held}
app.control.revoke(list(held.values()))
app.control.revoke(slow, terminate=True) ]=]):format(node))
    -- Python's pool and its own settings are nothing that maru has
    for name, list in pairs(got.lacks) do
      for _, field in ipairs(list) do
        assert.is_truthy(name == "conf" or field:find("^total%.") or field:find("^rusage%.") or field:find("^pool%.")
          or field:find("^broker%.transport_options"), name .. " lacks " .. field)
      end
    end
    local stats = got.both.stats
    assert.same(0, stats.pool["max-concurrency"] % 128)
    assert.same({ "redis", "127.0.0.1" }, { stats.broker.transport, stats.broker.hostname })
    assert.is_true(stats.total["lua.add"] > 0 and stats.rusage.utime > 0 and stats.uptime >= 0)
    assert.same("lua.slow", got.both.active[1].name)
    assert.same("[60]", got.safe[1].args)
    assert.same(got.held["lua.add"], got.both.scheduled[1].request.id)
    assert.matches("lua.add lua.", table.concat(got.both.registered, " "), 1, true)
    assert.same("json", got.both.conf.task_serializer)
  end)

  it("obeys remote control, and says so when it cannot", function()
    local got = ask(([=[
at = %q
def order(method, **arguments):
    return ask_all(method, at, **arguments)[at]
lines = [order("rate_limit", task_name="lua.both", rate_limit="10/m"),
    [t for t in order("registered") if "both" in t][0],
    order("rate_limit", task_name="lua.both", rate_limit="0"), order("rate_limit", task_name="x", rate_limit="1/s"),
    order("rate_limit", task_name="lua.both", rate_limit="soon")]
limits = [order("time_limit", task_name="lua.slow", soft=0.2, hard=5), outcome(send("lua.slow", [10])),
    order("time_limit", task_name="lua.slow", soft=30), order("time_limit", task_name="lua.slow")]
send("lua.both", [1], queue="more")
queues = [order("add_consumer", queue="more"), outcome(send("lua.both", [2], queue="more"))["positional"],
    [q["name"] for q in order("active_queues")], order("cancel_consumer", queue="more"),
    [q["name"] for q in order("active_queues")], order("add_consumer", queue="a b")]
events = [order(name) for name in ("disable_events", "disable_events", "enable_events", "enable_events", "heartbeat")]
cannot = {name: order(name) for name in ("shutdown", "pool_grow", "pool_shrink", "pool_restart", "autoscale",
    "memdump", "no_such_thing")}
other = [order("clock")["clock"] > 0, order("hello", from_node="x@y", revoked={}), order("report")["ok"],
    app.control.ping(timeout=10, limit=1, pattern="maru@*", matcher="glob")]
answer = [lines, limits, queues, events, cannot, other] ]=]):format(node))
    assert.same({ { ok = "new rate limit set successfully" }, "lua.both [rate_limit=10/m]",
      { ok = "rate limit disabled successfully" }, { error = "unknown task" } }, { unpack(got[1], 1, 4) })
    assert.matches("Invalid rate limit", got[1][5].error)
    assert.same({ ok = "time limits set successfully" }, got[2][1])
    assert.matches("time limit", got[2][2])
    assert.matches("seconds", got[2][4].error)
    assert.same({ { ok = "add consumer more" }, 2, { "lua", "more" }, { ok = "no longer consuming from more" },
      { "lua" } }, { unpack(got[3], 1, 5) })
    assert.matches("queue is a name", got[3][6].error)
    assert.same({ "task events disabled", "task events already disabled", "task events enabled",
      "task events already enabled" }, { got[4][1].ok, got[4][2].ok, got[4][3].ok, got[4][4].ok })
    assert.same(cjson.null, got[4][5])
    for name, reply in pairs(got[5]) do
      assert.matches(name == "no_such_thing" and "does not know" or "is not supported: ", reply.error, 1, true)
    end
    assert.is_true(got[6][1] and got[6][2].clock > 0)
    assert.matches("maru:", got[6][3])
    assert.same({ ok = "pong" }, got[6][4][1][node])
    assert.same("PONG", db:call("PING"))
  end)

  it("revokes: what waits never runs, what runs ends if it shall be terminated", function()
    local got = ask(([=[
at = %q
runs, waits, queued = send("lua.slow", [30]), send("lua.add", [1, 1], countdown=60), None
until(lambda: [t for t in ask_all("active", at)[at] if t["id"] == runs.id])
one = ask_all("revoke", at, task_id=[runs.id, waits.id])[at]
waited = outcome(waits)
goes_on = ask_all("query_task", at, ids=[runs.id])[at]
two = ask_all("revoke", at, task_id=runs.id, terminate=1, signal="SIGTERM")[at] # as Flower says it
answer = [one, waited, goes_on[runs.id][0], two, outcome(runs), runs.state,
    ask_all("terminate", at, signal="KILL", task_id=["nobody"])[at], ask_all("revoked", at)[at],
    [runs.id, waits.id]] ]=]):format(node))
    assert.same({ ok = ("tasks %s, %s flagged as revoked"):format(got[9][1], got[9][2]) }, got[1])
    assert.same({ "TaskRevokedError: revoked", "active" }, { got[2], got[3] })
    assert.same({ ok = "terminate: " .. got[9][1] }, got[4])
    assert.same({ "TaskRevokedError: terminated", "REVOKED" }, { got[5], got[6] })
    assert.same({ ok = "terminate: tasks unknown" }, got[7])
    local revoked = table.concat(got[8], " ")
    assert.matches(got[9][1], revoked, 1, true)
    assert.matches(got[9][2], revoked, 1, true)
  end)

  it("tells monitors of its tasks, in order, as a worker of Celery's own does", function()
    local got = ask(([=[
at, seen, fields = %q, {}, {}
def note(event):
    fields.setdefault(event["hostname"] == at, {})[event["type"]] = set(event)
    if "uuid" in event:
        seen.setdefault(event["uuid"], []).append([event["type"][5:], event["timestamp"]])
with app.connection() as connection:
    receiver = app.events.Receiver(connection, handlers={"*": note})
    gen = receiver.itercapture(limit=None, timeout=10, wakeup=False)
    next(gen)
    tasks = {name: send("lua." + name, args, **options).id for name, args, options in (("add", [20, 22], {}),
        ("fail", ["x"], {}), ("flaky", [], {}), ("slow", [30], {}), ("sum", [[1]], {"countdown": 60}),
        ("nothing", [], {}))}
    send("py.add", [1, 2]), send("py.fail", ["x"])
    ends = {"add": "succeeded", "fail": "failed", "flaky": "succeeded", "slow": "revoked", "sum": "revoked",
        "nothing": "failed"}
    def has(uuid, what):
        return [1 for name, _ in seen.get(uuid, []) if name == what]
    asked, both = False, ("task-received", "task-started", "task-succeeded", "task-failed", "worker-heartbeat")
    end = time.monotonic() + 20
    for _ in gen:
        if not asked and has(tasks["slow"], "started") and has(tasks["sum"], "received"):
            asked = True
            app.control.revoke([tasks["slow"], tasks["sum"]], terminate=True)
        if time.monotonic() > end or all(has(tasks[name], what) for name, what in ends.items()) and all(
                name in fields.get(ours, {}) for ours in (True, False) for name in both):
            break
orders = {name: [what for what, _ in seen[uuid] if what != "sent"] for name, uuid in tasks.items()}
rising = all(list(ats) == sorted(ats) for ats in ([at for what, at in events if what != "sent"]
    for events in (seen[uuid] for uuid in tasks.values())))
lacks = [[name, field] for name in both
    for field in fields[False].get(name, {"all"}) - fields[True].get(name, set()) - {"utcoffset"}]
answer = {"orders": orders, "rising": rising, "lacks": lacks, "now": later(0).timestamp(),
    "at": seen[tasks["add"]][-1][1]} ]=]):format(node))
    assert.same({ add = { "received", "started", "succeeded" }, fail = { "received", "started", "failed" },
      flaky = { "received", "started", "retried", "received", "started", "retried", "received", "started",
        "succeeded" },
      slow = { "received", "started", "revoked" }, sum = { "received", "revoked" },
      nothing = { "received", "failed" } }, got.orders)
    assert.is_true(got.rising)
    assert.same({}, got.lacks)
    assert.is_true(math.abs(got.at - got.now) < 60)
  end)

  it("keeps its own jobs there: results, retries, unique keys, dead letters", function()
    local id = maru:post("/push", { job = "add", args = { 4, 5 } }).json.id
    local job = assert(ends(id))
    assert.same({ "done", 9, "lua.add" }, { job.state, job.result, job.kind })
    local first = maru:post("/push", { job = "slow", args = { 1 }, options = { unique = "k" } }).json
    assert.same("duplicate", maru:post("/push", { job = "slow", args = { 1 }, options = { unique = "k" } }).json.code)
    assert.same("done", assert(ends(first.id)).state)
    local dead = assert(ends(maru:post("/push", { job = "fail", args = { 7 } }).json.id))
    assert.same("dead", dead.state)
    assert.matches("boom 7", dead.error)
    assert.same("1", db:call("ZCARD", "maru:dead") ~= "0" and "1")
  end)

  it("runs a task of a Python worker and reads its result", function()
    need_worker()
    local ids = {}
    for i, call in ipairs({ { task = "py.add", args = { 20, 22 } }, { task = "py.add", kwargs = { x = 1, y = 2 } },
      { task = "py.add", args = { 5 }, kwargs = { y = 6 }, options = { countdown = "1s" } },
      { task = "py.fail", args = { "from Lua" } } }) do
      ids[i] = assert(maru:post("/python", call).json.id)
    end
    local function ended(id)
      return assert(ends(id), server.read_file(db.dir .. "/worker"))
    end
    assert.same({ 42, 3, 11 }, { ended(ids[1]).result, ended(ids[2]).result, ended(ids[3]).result })
    local failed = ended(ids[4])
    assert.same({ "dead", "ValueError: from Lua" }, { failed.state, failed.error })
    assert.same(42, ask(("answer = outcome(of(%q))"):format(ids[1])))
    local all = maru:post("/wait", { ids = ids }).json
    assert.same({ "done", "done", "done", "dead" }, { all.jobs[1].state, all.jobs[2].state, all.jobs[3].state,
      all.jobs[4].state })
    assert.same({ 42, "ValueError: from Lua" }, { all.jobs[1].result, all.jobs[4].error })
    assert.same({}, maru:post("/wait", { ids = "nobody's" }).json)
  end)

  it("sends a Python task as its options say, and says which ones are wrong", function()
    need_worker()
    local function push(options, task)
      local answer = maru:post("/python", { task = task or "py.asked", options = options })
      return answer.json and answer.json.id, answer
    end
    local asked = push({ retries = 2, priority = 4, time_limit = "90s", soft_time_limit = 30, expires = 60 })
    local iso = push({ eta = ask("answer = later(0.5).isoformat()"), expires = ask("answer = later(60).isoformat()"),
      priority = "low" })
    local stale = push({ expires = "0.1s", countdown = "1s" })
    local far = push({ countdown = 60 })
    ask(("app.control.revoke(%q); answer = 1"):format(far))
    local jobs = maru:post("/wait", { ids = { asked, iso, stale } }).json.jobs
    local got = jobs[1].result
    assert.same({ 2, 4, { 90, 30 }, "celery", asked }, { got.retries, got.priority, got.limits, got.queue, got.id })
    assert.is_truthy(got.expires)
    assert.same({ 6, cjson.null }, { jobs[2].result.priority, jobs[2].result.limits[1] })
    assert.same({ "expired", "TaskRevokedError: expired" }, { jobs[3].state, jobs[3].error })
    for text, options in pairs({
      ["options.priority must be a whole number from 0 to 9"] = { priority = 10 },
      ["options.priority must be 0 to 9, high, normal or low"] = { priority = "urgent" },
      ["options.countdown or options.eta, not both"] = { countdown = 1, eta = 2e9 },
      ["seconds since 1970 or an ISO 8601 time"] = { eta = "tomorrow" },
      ["expires must be"] = { expires = -1 },
      ["max_retries is the task's own, in Python"] = { max_retries = 3 },
      ["options.retries must be a whole number"] = { retries = 1.5 },
      ["options.queue must be"] = { queue = "two words" },
      ["time_limit must be"] = { time_limit = 0 },
      ["unknown option countdwn"] = { countdwn = 1 },
    }) do
      local _, answer = push(options)
      assert.same(500, answer.status)
      assert.matches(text, maru:logs(), 1, true)
    end
    assert.matches("app.jobs:push_celery(task, [args], [kwargs], [options])", maru:logs(), 1, true)
    assert.same(3, ask(("answer = len([1 for k in (%q, %q, %q) if of(k).state])"):format(asked, iso, far)))
  end)

  it("tells Python of failures, retries and what is ignored, as Celery does", function()
    need_worker()
    local got = ask([=[
failed, ignored, retried = send("lua.fail", ["x"]), send("lua.add", [1, 2], ignore_result=True), send("lua.later")
during = until(lambda: retried.state == "RETRY" and [retried.info.__class__.__name__, str(retried.info),
    retried.traceback])
outcome(failed)
answer = [failed.state, failed.result.__class__.__name__, failed.traceback, failed.date_done is not None, during,
    outcome(retried), retried.state, ignored.state, app.backend.get(app.backend.get_key_for_task(ignored.id))] ]=])
    assert.same({ "FAILURE", "RuntimeError" }, { got[1], got[2] })
    assert.matches("^plugins/lua/plugin.lua:%d+: boom x\nstack traceback:\n\tplugins/lua/plugin.lua:", (got[3]:gsub(
      "[^%s]-plugins/", "plugins/")))
    assert.is_true(got[4])
    assert.same({ "RuntimeError", "not yet" }, { got[5][1], got[5][2] })
    assert.same({ "now", "SUCCESS", "PENDING", cjson.null }, { got[6], got[7], got[8], got[9] })
  end)

  it("calls errbacks both ways, and fails the rest of a chain and the body of a chord", function()
    need_worker()
    local got = ask([=[
blame = sig("lua.blame")
lua = send("lua.fail", ["1"], link_error=[sig("py.blame"), blame])
py = send("py.fail", ["2"], link_error=blame)
line = chain(sig("lua.add", 1, 2), sig("lua.fail"), sig("py.add", 1), sig("lua.add", 1))()
body = sig("lua.sum", options={"link_error": [blame, sig("py.blame")]})
round = chord([sig("lua.add", 1, 2), sig("lua.fail", "part"), sig("py.add", 3, 4)], body)()
other = chord([sig("lua.add", 1, 2), sig("py.fail", "part")], sig("lua.sum"))()
nested = chord([chain(sig("lua.add", 1, 2), sig("lua.fail")), sig("py.add", 3, 4)], sig("py.sum"))()
many = group(sig("lua.add", 1, 2), sig("lua.fail", "g"))()
answer = {"lua": outcome(lua), "py": outcome(py), "line": [outcome(line), line.parent.parent.parent.get(timeout=20)],
    "round": outcome(of(round.id)), "other": outcome(of(other.id)), "nested": outcome(of(nested.id)),
    "many": [outcome(r) for r in many.results],
    "blamed": until(lambda: app.backend.client.get("blamed:" + lua.id)) is not None and
        until(lambda: app.backend.client.get("blamed:" + round.id)) is not None,
    "ids": [lua.id, py.id, round.id]} ]=])
    assert.matches("^RuntimeError: .*boom 1", got.lua)
    assert.same("ValueError: 2", got.py)
    assert.matches("^RuntimeError: .*boom", got.line[1])
    assert.same(3, got.line[2])
    for _, name in ipairs({ "round", "other", "nested" }) do
      assert.matches("^ChordError: Dependency .* raised .*Error", got[name])
    end
    assert.same(3, got.many[1])
    assert.matches("^RuntimeError: .*boom g", got.many[2])
    assert.is_true(got.blamed)
    for _, id in ipairs(got.ids) do
      assert(server.wait_for(function()
        return maru:get("/blamed?id=" .. id).json.blamed
      end), "lua.blame was not told of " .. id)
    end
  end)

  it("puts malformed messages aside, each with its reason, and goes on", function()
    local good = '{"body":"%s","content-type":"application/json","headers":{%s},"properties":{%s}}'
    local body = "W1syLCAzXSwge30sIHt9XQ=="
    local tag = 0
    local function properties(without)
      tag = tag + 1
      local parts = { body_encoding = '"body_encoding":"base64"', delivery_tag = '"delivery_tag":"bad' .. tag .. '"',
        delivery_info = '"delivery_info":{"exchange":"","routing_key":"lua"}' }
      parts[without or ""] = nil
      local list = {}
      for _, text in pairs(parts) do
        list[#list + 1] = text
      end
      return table.concat(list, ",")
    end
    local head = '"task":"lua.add","id":"bad"'
    local before = tonumber(db:call("LLEN", "maru:quarantine"))
    for _, text in ipairs({
      good:format(body, '"id":"bad"', properties()), good:format(body, '"task":"lua.add"', properties()),
      (good:format(body, head, properties()):gsub('"content%-type":"application/json",', "")),
      good:format("W1tdLHt9XQ==", head, properties()), good:format(body, head, properties("delivery_info")),
      good:format(body, head, properties("delivery_tag")), good:format(body, head, properties("body_encoding")),
      good:format(body, head .. ',"eta":"soon"', properties()), "no JSON at all",
    }) do
      db:call("LPUSH", "lua", text)
    end
    assert(server.wait_for(function()
      return tonumber(db:call("LLEN", "maru:quarantine")) == before + 9
    end), db:call("LRANGE", "maru:quarantine", "0", "-1"))
    local reasons = db:call("LRANGE", "maru:quarantine", "0", "-1")
    for _, reason in ipairs({ "lack task", "lack id", "no content-type", "args, kwargs, embed",
      "delivery_info.exchange", "lack delivery_tag", "the body: line 1", "not an ISO 8601 time", "not JSON" }) do
      assert.matches(reason, reasons, 1, true)
    end
    assert.same(5, ask("answer = outcome(send('lua.add', [2, 3]))"))
    assert.is_nil(unacked())
  end)

  it("gives the tasks of a Python worker that was killed to the next one", function()
    need_worker()
    local file = db.dir .. "/slow"
    local id = ask(("answer = send('py.slow', [%q, 2], priority=7).id"):format(file))
    assert(server.wait_for(function()
      return server.read_file(file)
    end), "the worker did not begin")
    kill_worker()
    assert(server.wait_for(function()
      return tonumber(db:call("LLEN", "celery\6\0226")) == 1
    end), "the message did not come back, or not to the list of its priority")
    assert.matches('"redelivered": true', db:call("LRANGE", "celery\6\0226", "0", "0"), 1, true)
    need_worker()
    assert.same("slept", ask(("answer = outcome(of(%q))"):format(id)))
    kill_worker()
  end)

  it("runs again elsewhere what it had when it was killed", function()
    local id = maru:post("/push", { job = "slow", args = { 2 } }).json.id
    assert(server.wait_for(function()
      return job_of(id).state == "running"
    end))
    local process = maru:server_pid()
    maru:signal("KILL", maru.pid)
    maru:signal("KILL", process)
    maru:stop()
    maru = start_maru()
    local job = assert(ends(id))
    assert.same({ "done", "slept", 1 }, { job.state, job.result, job.crashes })
    assert.is_nil(unacked())
  end)

  it("loses nothing when Redis stops and comes back in the middle", function()
    local ids = ask("answer = [send('lua.slow', [0.5]).id for _ in range(20)] + "
      .. "[send('lua.add', [i, i], countdown=2).id for i in range(20)]")
    db:kill()
    assert.is_nil(maru:post("/push", { job = "add", args = { 1, 1 } }).json.id)
    db:again()
    local got = ask(("answer = [outcome(of(i)) for i in %s]"):format(cjson.encode(ids)))
    for i = 1, 20 do
      assert.same("slept", got[i])
      assert.same(2 * (i - 1), got[20 + i])
    end
    assert.same(9, assert(ends(maru:post("/push", { job = "add", args = { 4, 5 } }).json.id)).result)
  end)
end)
