--- Python's Celery and maru on one Redis: tasks of one run in the other, and either may die.
local cjson = require("cjson")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local PYTHON = "/usr/bin/python3"

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
}
return M
]]

describe("maru beside Celery", function()
  local db, maru, worker

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

  --- Runs Python code that sets `answer`; what that is.
  local function ask(code)
    local out, status = python("ask.py '" .. code:gsub("'", "'\\''") .. "'")
    assert(status == 0, out)
    return cjson.decode(out:match("([^\n]*)\n?$"))
  end

  local function kill_worker()
    if worker then
      server.shell("kill -9 " .. worker)
      server.wait_for(function()
        return not server.alive(worker)
      end, 10)
      db:call("PING") -- a message that Redis hands to a connection of the dead is lost: that hole is kombu's
      worker = nil
    end
  end

  local function start_worker()
    kill_worker()
    local out = server.shell(("cd spec/support/celery && PYTHONDONTWRITEBYTECODE=1 VISIBILITY=3 BROKER=%s exec %s -m "
      .. "celery -A tapp worker -P solo -Q celery -n py@here >%s/worker 2>&1 & echo $!"):format(db.url, PYTHON, db.dir))
    worker = tonumber(out:match("%d+"))
  end

  local function job_of(id)
    return maru:get("/job?id=" .. id).json.job
  end

  local function ends(id, seconds)
    return server.wait_for(function()
      local job = job_of(id)
      return job and (job.state == "done" or job.state == "dead" or job.state == "cancelled") and job
    end, seconds or 20)
  end

  setup(function()
    db = redis.start()
    maru = start_maru()
  end)

  teardown(function()
    kill_worker()
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
    assert.same("0", db:call("ZCARD", "unacked_index"))
  end)

  it("is a link of chains, a member and a body of chords", function()
    start_worker()
    local got = ask([[answer = [
      outcome(chain(sig('lua.add', 1, 2), sig('py.add', 10), sig('lua.add', 100))()),
      outcome(group(sig('lua.add', 1, 2), sig('py.add', 3, 4))()),
      outcome(chord([sig('lua.add', 1, 2), sig('py.add', 3, 4)], sig('py.sum'))()),
      outcome(chord([sig('lua.add', 1, 2), sig('py.add', 3, 4)], sig('lua.sum'))()),
      outcome(chain(sig('lua.add', 1, 2), group(sig('py.add', 1), sig('lua.add', 2)), sig('lua.sum'))()),
      outcome(AsyncResult(chord([sig('lua.fail', 'part'), sig('py.add', 3, 4)], sig('py.sum'))().id, app=app)),
      outcome(chain(sig('lua.fail', 'link'), sig('py.add', 1))())]
first = send('lua.add', [1, 2], link=sig('py.add', 1))
outcome(first)
answer.append(outcome(first.children[0])) ]])
    assert.same({ 113, { 3, 7 }, 10, 10, 9 }, { got[1], got[2], got[3], got[4], got[5] })
    assert.matches("^ChordError: Dependency .* raised RuntimeError", got[6])
    assert.matches("^RuntimeError: .*boom link", got[7])
    assert.same(4, got[8])
  end)

  it("answers celery inspect and celery control revoke", function()
    local pong, status = python("-m celery -A tapp inspect ping --json -d maru@$(hostname)")
    assert.same(0, status)
    assert.matches('"ok": "pong"', pong)
    local slow = ask("answer = [send('lua.slow', [30]).id, send('lua.add', [1, 1], countdown=60).id]")
    assert(server.wait_for(function()
      local active = python("-m celery -A tapp inspect active --json")
      return active:find(slow[1], 1, true) and active:find('"lua.slow"', 1, true)
    end, 20))
    local scheduled = python("-m celery -A tapp inspect scheduled --json")
    assert.matches(slow[2], scheduled, 1, true)
    local stats = cjson.decode((python("-m celery -A tapp inspect stats --json -d maru@$(hostname)"):match("(%b{})")))
    local _, own = next(stats)
    assert.same(64, own.pool["max-concurrency"] % 64 == 0 and 64)
    assert.is_true(own.total["lua.add"] > 0)
    assert.matches('"lua.add"', python("-m celery -A tapp inspect registered --json"))
    local got = ask(("app.control.revoke(%q); app.control.revoke(%q)\nanswer = [outcome(AsyncResult(%q, app=app)), "
      .. "outcome(AsyncResult(%q, app=app))]"):format(slow[1], slow[2], slow[1], slow[2]))
    assert.matches("^TaskRevokedError", got[1])
    assert.matches("^TaskRevokedError", got[2])
    assert.matches(slow[1], python("-m celery -A tapp inspect revoked --json"), 1, true)
  end)

  it("tells monitors of itself and of its tasks", function()
    local types = ask([=[
seen = {}
def note(event):
    if event["hostname"].startswith("maru@"):
        seen[event["type"]] = event
    if "task-succeeded" in seen and "worker-heartbeat" in seen:
        receiver.should_stop = True
with app.connection() as connection:
    receiver = app.events.Receiver(connection, handlers={"*": note})
    gen = receiver.itercapture(limit=None, timeout=10, wakeup=False)
    next(gen)
    send("lua.add", [20, 22])
    for _ in gen:
        if receiver.should_stop:
            break
answer = {name: [event.get("uuid") is not None, event["timestamp"]] for name, event in seen.items()} ]=])
    for _, name in ipairs({ "task-received", "task-started", "task-succeeded" }) do
      assert.is_true(types[name][1], name)
      assert.is_true(math.abs(types[name][2] - socket.gettime()) < 60)
    end
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
    start_worker()
    local ids = {}
    for i, call in ipairs({ { task = "py.add", args = { 20, 22 } }, { task = "py.add", kwargs = { x = 1, y = 2 } },
      { task = "py.add", args = { 5 }, kwargs = { y = 6 }, options = { countdown = "1s" } },
      { task = "py.fail", args = { "from Lua" } } }) do
      ids[i] = assert(maru:post("/python", call).json.id)
    end
    local function ended(id)
      return assert(ends(id, 30), server.read_file(db.dir .. "/worker"))
    end
    assert.same({ 42, 3, 11 }, { ended(ids[1]).result, ended(ids[2]).result, ended(ids[3]).result })
    local failed = ended(ids[4])
    assert.same({ "dead", "ValueError: from Lua" }, { failed.state, failed.error })
    assert.same(42, ask(("answer = outcome(AsyncResult(%q, app=app))"):format(ids[1])))
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
    end, 10), db:call("LRANGE", "maru:quarantine", "0", "-1"))
    local reasons = db:call("LRANGE", "maru:quarantine", "0", "-1")
    for _, reason in ipairs({ "lack task", "lack id", "no content-type", "args, kwargs, embed",
      "delivery_info.exchange", "lack delivery_tag", "the body: line 1", "not an ISO 8601 time", "not JSON" }) do
      assert.matches(reason, reasons, 1, true)
    end
    assert.same(5, ask("answer = outcome(send('lua.add', [2, 3]))"))
    assert.same("0", db:call("HLEN", "unacked"))
  end)

  it("gives the tasks of a Python worker that was killed to the next one", function()
    start_worker()
    local file = db.dir .. "/slow"
    local id = ask(("answer = send('py.slow', [%q, 2]).id"):format(file))
    assert(server.wait_for(function()
      return server.read_file(file)
    end, 20), "the worker did not begin")
    kill_worker()
    assert(server.wait_for(function()
      return tonumber(db:call("LLEN", "celery")) == 1
    end, 20), "the message did not come back")
    start_worker()
    assert.same("slept", ask(("answer = outcome(AsyncResult(%q, app=app))"):format(id)))
    kill_worker()
  end)

  it("runs again elsewhere what it had when it was killed", function()
    local id = maru:post("/push", { job = "slow", args = { 2 } }).json.id
    assert(server.wait_for(function()
      return job_of(id).state == "running"
    end, 10))
    local process = maru:server_pid()
    maru:signal("KILL", maru.pid)
    maru:signal("KILL", process)
    maru:stop()
    maru = start_maru()
    local job = assert(ends(id))
    assert.same({ "done", "slept", 1 }, { job.state, job.result, job.crashes })
    assert.same("0", db:call("HLEN", "unacked"))
  end)

  it("loses nothing when Redis stops and comes back in the middle", function()
    local ids = ask("answer = [send('lua.slow', [0.5]).id for _ in range(20)] + "
      .. "[send('lua.add', [i, i], countdown=2).id for i in range(20)]")
    db:kill()
    assert.is_nil(maru:post("/push", { job = "add", args = { 1, 1 } }).json.id)
    db:again()
    local got = ask(("answer = [outcome(AsyncResult(i, app=app)) for i in %s]"):format(cjson.encode(ids)))
    for i = 1, 20 do
      assert.same("slept", got[i])
      assert.same(2 * (i - 1), got[20 + i])
    end
    assert.same(9, assert(ends(maru:post("/push", { job = "add", args = { 4, 5 } }).json.id)).result)
  end)
end)
