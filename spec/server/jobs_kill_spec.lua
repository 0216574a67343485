--- kill -9 of the real program, at random and at named calls (in the middle of a transaction, before and
--- after its sync, within a checkpoint), beside what it has acknowledged. KILL_ROUNDS of them, from KILL_SEED.
--- Then at the boundaries of workflows and batches: before and after the commit of a step's end, a signal, the end
--- of a wait, a batch's last member. KILL_BOUNDARIES times each.
local cjson = require("cjson")
local disk = require("spec.support.disk")
local keepalive = require("spec.support.keepalive")
local server = require("spec.support.server")
local servers = require("spec.support.servers")
local socket = require("socket")

local ROUNDS = tonumber(os.getenv("KILL_ROUNDS") or 10)
local SEED = tonumber(os.getenv("KILL_SEED") or os.time() % 100000)
local BOUNDARIES = tonumber(os.getenv("KILL_BOUNDARIES") or 1)
local CLIENTS, KEYS, LIVES = 8, 4, 3

local LEDGER = {
  ["plugin.lua"] = [==[
local M = { name = "ledger", version = "1.0.0" }
local function enter(app, job)
  assert(app.store:exec("insert into runs(kind, n) values ($1, $2)", job.kind, job.args.n))
end
M.jobs = {
  one = { enter },
  keyed = { enter },
  ordered = { enter },
  flaky = { backoff = "10ms", function(app, job)
    if job.attempt == 1 then error("not yet") end
    enter(app, job)
  end },
  slow = { function(app, job) app.sleep(0.05) enter(app, job) return { n = job.args.n } end },
  member = { function(app, job) enter(app, job) return { n = job.args.n } end },
  counted = { function(app, job)
    local b = job.args.batch
    assert(app.store:exec("insert into ends(n, job, total, good) values ($1, $2, $3, $4)",
      job.args.n, job.id, b.total, b.succeeded))
  end },
  joined = { function(app, job)
    local good = 0
    for i, result in ipairs(job.previous) do
      good = good + (result.n == job.args.n + i - 1 and 1 or 0)
    end
    assert(app.store:exec("insert into ends(n, job, total, good) values ($1, $2, $3, $4)",
      job.args.n, job.id, #job.previous, good))
  end },
}
local function step(app, run, name)
  assert(app.store:exec("insert into runs(kind, n) values ($1, $2)", name, run.input.n))
end
M.workflows = {
  walk = { start = "first", steps = {
    first = { function(app, run)
      step(app, run, "first")
      run.state.mark = "ended at " .. run.input.n
      return "ask"
    end },
    ask = { function(app, run)
      step(app, run, "ask")
      if run.input.late then
        return run:wait("gone" .. run.input.n, { timeout = "200ms", next = "first", otherwise = "last" })
      end
      return run:wait("go", { next = "last" })
    end },
    last = { function(app, run)
      step(app, run, "last")
      run.state.got = run.signal and run.signal.data or run.timed_out
    end },
  } },
}
local function start(app, body)
  local list = {}
  for i = 1, body.count do list[i] = { "member", { n = body.n + i - 1 } } end
  if body.kind == "batch" then
    return app.jobs:batch(list, { done = { "counted", { n = body.n } } })
  elseif body.kind == "chord" then
    return app.workflows:chord(list, { "joined", { n = body.n } })
  end
  return app.workflows:chain(list)
end
M.routes = {
  ["POST /push"] = { body = { kind = "string", n = "integer", count = "integer?", key = "string?", pad = "string?" },
    function(app, req)
      local body, list = req.body, {}
      for i = 1, body.count or 1 do list[i] = { n = body.n + i - 1, pad = body.pad } end
      local ids, message, code
      if body.count then
        ids, message, code = app.jobs:push_many(body.kind, list)
      else
        ids, message, code = app.jobs:push(body.kind, list[1], { unique = body.key })
      end
      if not ids then return code == "duplicate" and 409 or 503, { error = message, code = code } end
      return 202, { ids = type(ids) == "table" and ids or { ids } }
    end },
  ["POST /order"] = { body = { n = "integer" }, function(app, req)
    local id, message = app.store:tx(function(tx)
      assert(tx:exec("insert into orders(n) values ($1)", req.body.n))
      return tx.jobs:push("ordered", { n = req.body.n })
    end)
    if not id then return 503, { error = message } end
    return 202, { ids = { id } }
  end },
  ["POST /start"] = { body = { kind = "string", n = "integer", count = "integer" }, function(app, req)
    local id, message = start(app, req.body)
    if not id then return 503, { error = message } end
    return 202, { started = id }
  end },
  ["POST /walk"] = { body = { n = "integer", late = "boolean?" }, function(app, req)
    return 202, { id = app.workflows:start("walk", req.body, { key = "walk" .. req.body.n }) }
  end },
  ["POST /signal"] = { body = { id = "integer", n = "integer" }, function(app, req)
    local woke, message, code = app.workflows:signal(req.body.id, "go", "signal " .. req.body.n)
    return 200, { woke = woke, message = message, code = code }
  end },
  ["GET /walk"] = { query = { n = "integer" }, function(app, req)
    return 200, app.workflows:list({ key = "walk" .. req.query.n })[1] or {}
  end },
  ["GET /state"] = { query = { id = "integer" }, function(app, req)
    return 200, app.workflows:get(req.query.id)
  end },
  ["GET /runs"] = { query = { n = "integer" }, function(app, req)
    local list = { 0 }
    for i, row in ipairs(app.store:all("select kind, count(*) as times from runs where n = $1 group by kind",
      req.query.n)) do list[row.kind] = row.times end
    list[1] = nil
    return 200, list
  end },
  ["GET /ends"] = { query = { n = "integer" }, function(app, req)
    return 200, app.json.array(app.store:all("select distinct job, total, good from ends where n = $1", req.query.n))
  end },
  ["GET /open"] = function(app) return 200, { runs = #app.workflows:list({ state = "running" }) } end,
  -- The state first: of a job that is done the runs counted after it are all there will be.
  ["GET /done"] = { query = { id = "integer", n = "integer" }, function(app, req)
    local job = app.jobs:get(req.query.id)
    local row = assert(app.store:one("select count(*) as runs from runs where n = $1", req.query.n))
    return 200, { state = job and job.state or "none", runs = row.runs }
  end },
}
return M
]==],
  ["migrations/0001_ledger.sql"] = [[
create table runs (seq integer primary key, kind text not null, n integer not null);
create index runs_n on runs(n);
create table orders (n integer primary key);
create table ends (n integer not null, job integer not null, total integer not null, good integer not null);
]],
}

--- What was pushed and what was said about it.
local Model = {}
Model.__index = Model

local function new_model()
  return setmetatable({ n = 0, pushes = {}, ids = {}, done = {}, keys = {}, revived = {}, acknowledged = 0 }, Model)
end

local KINDS = { "one", "one", "flaky", "slow", "keyed", "many", "order", "batch", "chord", "chain" }
local GROUPED = { batch = true, chord = true, chain = true }

function Model:next_request()
  local kind = KINDS[math.random(#KINDS)]
  local push = { kind = kind, n = self.n + 1, count = kind == "many" and math.random(2, 20) or 1 }
  if GROUPED[kind] then
    push.count = math.random(2, 6)
    self.n = self.n + push.count
    self.pushes[#self.pushes + 1] = push
    return push, "/start", { kind = kind, n = push.n, count = push.count }
  end
  self.n = self.n + push.count
  self.pushes[#self.pushes + 1] = push
  if kind == "order" then
    return push, "/order", { n = push.n }
  elseif kind == "many" then
    return push, "/push", { kind = "one", n = push.n, count = push.count, pad = ("x"):rep(math.random(4000)) }
  end
  push.key = kind == "keyed" and "key" .. math.random(KEYS) or nil
  return push, "/push", { kind = kind, n = push.n, key = push.key, pad = ("x"):rep(math.random(2000)) }
end

function Model:answered(push, status, json)
  if status == 202 then
    push.acknowledged = true
    self.acknowledged = self.acknowledged + push.count
    for i, id in ipairs(json.ids or {}) do
      assert(not self.ids[id], ("id %d was given to %d and %d"):format(id, self.ids[id] or 0, push.n + i - 1))
      self.ids[id] = push.n + i - 1
    end
    push.id = json.ids and json.ids[1]
    if push.key then
      self.keys[push.key] = self.keys[push.key] or {}
      table.insert(self.keys[push.key], push)
    end
  elseif status == 409 then
    push.refused = true
  end
end

--- A push of the last hundred that was acknowledged.
function Model:some()
  local push = self.pushes[#self.pushes - math.random(0, math.min(99, #self.pushes - 1))]
  return push and push.acknowledged and push.id and push.count == 1 and push or nil
end

local function burst(model, clients)
  local sent = {}
  for i, client in ipairs(clients) do
    local push, path, body = model:next_request()
    sent[i] = client:send("POST", path, body) and push or false
  end
  for i, client in ipairs(clients) do
    if sent[i] then
      model:answered(sent[i], client:receive())
    end
  end
  local push, client = model:some(), clients[1]
  if push and client:send("GET", ("/done?id=%d&n=%d"):format(push.id, push.n)) then
    local status, json = client:receive()
    if status == 200 and json.state == "done" then
      model.done[push.n] = json.runs
    end
  end
end

local POINTS = { "sync wal", "sync wal", "write wal", "write wal", "write db", "sync db", "truncate other", "time" }
local REACH = { ["sync wal"] = 150, ["write wal"] = 1500, ["write db"] = 200, ["sync db"] = 2, ["truncate other"] = 3 }

local function random_plan()
  local point = POINTS[math.random(#POINTS)]
  if point == "time" then
    return nil
  end
  return ("%s %d %s"):format(point, math.random(REACH[point]), math.random(2) == 1 and "before" or "after")
end

local function kill_all(maru)
  local child = maru:server_pid()
  maru:signal("KILL")
  if child then
    maru:signal("KILL", child)
  end
  server.wait_for(function()
    return not server.alive(maru.pid) and not (child and server.alive(child))
  end)
end

--- Works until the server of now is dead; a time to live where its plan does not come to it.
local function round(model, maru, clients, counts)
  local pid, plan = maru:server_pid(), random_plan()
  if plan then
    disk.plan(maru, plan)
  end
  local deadline = socket.gettime() + 0.1 + math.random() * 0.4
  repeat
    burst(model, clients)
  until maru:server_pid() ~= pid or socket.gettime() > deadline
  if maru:server_pid() == pid then
    counts.time = counts.time + 1
    maru:signal("KILL", pid)
    server.wait_for(function()
      return maru:server_pid() ~= pid
    end)
  else
    counts.call = counts.call + 1
  end
end

--- A supervisor is patient with a server that dies young, so now and then all of it dies.
local function relaunch(maru, clients)
  kill_all(maru)
  -- The plan's call may come before the first server is ready; then there is nobody to start a second.
  assert(maru:restart() or maru:restart(), maru:logs():sub(-3000))
  for _, client in ipairs(clients) do
    client:close()
    client.port = tonumber(maru.url:match(":(%d+)$"))
  end
end

local function drained(maru)
  for _, queue in ipairs(maru:admin("/queues")) do
    if queue.ready + queue.delayed + queue.running > 0 then
      return false
    end
  end
  return true
end

--- What transactions have brought along is in the queue, too.
local function is_brought(maru)
  return (servers.query(maru.dir, "ledger", "select count(*) from maru_outbox") or "0"):match("%d+") == "0"
end

local function come_to_rest(maru)
  if not server.wait_for(function() return is_brought(maru) and drained(maru) end, 60) then
    local left = {}
    for _, state in ipairs({ "running", "ready", "delayed" }) do
      left[#left + 1] = server.shell("curl -sS --unix-socket " .. maru.dir .. "/state/admin.sock "
        .. "'http://maru/admin/v1/jobs?limit=3&state=" .. state .. "'"):sub(1, 1500)
    end
    error(("KILL_SEED=%d does not come to rest: %s\n%s"):format(SEED, cjson.encode(maru:admin("/queues")),
      table.concat(left, "\n")))
  end
end

--- What was running at too many deaths is set aside, which frees its key, and runs when it is asked to.
local function revive_quarantined(maru, model)
  local count = 0
  for _, job in ipairs(maru:admin("/jobs?state=dead&limit=500").jobs) do
    assert(job.error:find("took the process down", 1, true), cjson.encode(job))
    maru:admin("/jobs/" .. job.id .. "/retry", "POST")
    model.revived[job.args.n] = true
    count = count + 1
  end
  return count
end

local function rows(maru, sql)
  local out = not sql:find("^pragma") and servers.query(maru.dir, "ledger", sql)
    or server.shell(("sqlite3 -readonly -separator ' ' %s/state/maru.db %q"):format(maru.dir, sql))
  local list = {}
  for line in out:gmatch("[^\n]+") do
    list[#list + 1] = line
  end
  return list
end

local function runs_by_number(maru)
  local runs, order = {}, {}
  for _, line in ipairs(rows(maru, "select seq, n from runs order by seq")) do
    local seq, n = line:match("^(%d+) (%d+)$")
    n = tonumber(n)
    runs[n] = (runs[n] or 0) + 1
    order[n] = order[n] or { first = tonumber(seq) }
    order[n].last = tonumber(seq)
  end
  return runs, order
end

local function check_pushes(model, runs)
  local repeated = 0
  for _, push in ipairs(model.pushes) do
    local ran = 0
    for n = push.n, push.n + push.count - 1 do
      ran = ran + (runs[n] and 1 or 0)
      repeated = repeated + (runs[n] and runs[n] - 1 or 0)
    end
    local what = ("%s %d of %d"):format(push.kind, push.n, push.count)
    local broken = false -- a chain ends with a step that is set aside
    for n = push.n, push.n + push.count - 1 do
      broken = broken or push.kind == "chain" and model.revived[n]
    end
    assert(broken or not push.acknowledged or ran == push.count, what .. " was acknowledged and is lost")
    assert(broken or ran == 0 or ran == push.count, what .. ": a part of a push ran")
    assert(not push.refused or ran == 0, what .. " was refused and ran")
  end
  for n, count in pairs(model.done) do
    assert.equal(count, runs[n], ("job %d was reported done and ran again"):format(n))
  end
  return repeated
end

--- A batch, or a chord, whose members ended well has one job after them, and that knows them all.
local function check_ends(maru, model)
  local ends = {}
  for _, line in ipairs(rows(maru, "select distinct n, job, total, good from ends")) do
    local n, job, total, good = line:match("^(%d+) (%d+) (%d+) (%d+)$")
    n = tonumber(n)
    assert(not ends[n], ("%d ended in the jobs %s and %s"):format(n, ends[n] and ends[n].job or "", job))
    ends[n] = { job = job, total = tonumber(total), good = tonumber(good) }
  end
  local count = 0
  for _, push in ipairs(model.pushes) do
    local whole = push.acknowledged and (push.kind == "batch" or push.kind == "chord")
    for n = push.n, push.n + push.count - 1 do
      whole = whole and not model.revived[n]
    end
    if whole then
      count = count + 1
      local what, last = push.kind .. " " .. push.n, ends[push.n]
      assert(last, what .. " has no last job")
      assert.same({ push.count, push.count }, { last.total, last.good }, what)
    end
  end
  return count
end

local function check_chains(model, order)
  for _, push in ipairs(model.pushes) do
    for n = push.n + 1, push.n + push.count - 1 do
      if push.kind == "chain" and push.acknowledged and not model.revived[n - 1] then
        assert(order[n - 1].last < order[n].first, ("chain %d: %d ran after %d had begun"):format(push.n, n - 1, n))
      end
    end
  end
end

--- The job that held a key was over before the next was let in: their runs do not mix.
local function check_keys(model, order)
  for key, pushes in pairs(model.keys) do
    local before
    for _, push in ipairs(pushes) do
      if not model.revived[push.n] then
        assert(not before or order[before].last < order[push.n].first,
          ("%s: %s ran after %d had begun"):format(key, before, push.n))
        before = push.n
      end
    end
  end
end

-- Where the commit of a boundary is cut: nothing of it is written, all of it but for the sync, and the sync as well
-- but nobody has heard of it.
local CUTS = {
  { plan = "write wal 1 before ", committed = false },
  { plan = "sync wal 1 before ", committed = true },
  { plan = "sync wal 1 after ", committed = true },
}

local function walk_of(maru, n, state)
  local walk
  assert(server.wait_for(function()
    walk = maru:get("/walk?n=" .. n).json
    return walk and walk.state == state
  end), ("walk %d is not %s: %s"):format(n, state, cjson.encode(walk or {})))
  return walk
end

--- What a walk did, and what it has in the end.
local function check_walk(maru, n, want, got)
  local walk = walk_of(maru, n, "done")
  assert.same(want, maru:get("/runs?n=" .. n).json)
  local data = maru:get("/state?id=" .. walk.id).json.data
  assert.same({ mark = "ended at " .. n, got = got }, data)
end

-- Each: what is written for the first time by that commit, what leads to it, and what has to hold after it.
local EDGES = {
  ["a step's end"] = {
    text = function(n) return "ended at " .. n end,
    lead = function(maru, n) maru:post("/walk", { n = n }) end,
    check = function(maru, n, committed)
      local id = walk_of(maru, n, "waiting").id
      assert.is_true(maru:post("/signal", { id = id, n = n }).json.woke)
      check_walk(maru, n, { first = committed and 1 or 2, ask = 1, last = 1 }, "signal " .. n)
    end,
  },
  ["a signal"] = {
    text = function(n) return "signal " .. n end,
    lead = function(maru, n)
      maru:post("/walk", { n = n })
      assert.not_equal(200, maru:post("/signal", { id = walk_of(maru, n, "waiting").id, n = n }).status)
    end,
    check = function(maru, n, committed)
      if not committed then
        local id = walk_of(maru, n, "waiting").id
        assert.is_true(maru:post("/signal", { id = id, n = n }).json.woke)
      end
      check_walk(maru, n, { first = 1, ask = 1, last = 1 }, "signal " .. n)
    end,
  },
  ["the end of a wait"] = {
    text = function(n) return '"timed_out":"gone' .. n end,
    lead = function(maru, n) maru:post("/walk", { n = n, late = true }) end,
    check = function(maru, n) check_walk(maru, n, { first = 1, ask = 1, last = 1 }, "gone" .. n) end,
  },
  ["a batch's last member"] = {
    text = function(n) return ('{"n":%d,"batch":'):format(n) end,
    lead = function(maru, n) maru:post("/start", { kind = "batch", n = n, count = 3 }) end,
    check = function(maru, n, committed)
      local ends
      assert(server.wait_for(function()
        ends = maru:get("/ends?n=" .. n).json
        return ends and #ends > 0
      end), "batch " .. n .. " has no last job")
      assert.equal(1, #ends)
      assert.same({ 3, 3 }, { ends[1].total, ends[1].good })
      local again = 0
      for i = n, n + 2 do
        again = again + maru:get("/runs?n=" .. i).json["ledger.member"] - 1
      end
      assert.is_true(committed and again == 0 or not committed and again >= 1, again .. " members ran again")
    end,
  },
}

describe("kill -9 of a server with jobs", function()
  for name, edge in pairs(EDGES) do
    it("goes on from " .. name, function()
      local maru = server.start({ plugins = { ledger = LEDGER }, env = disk.env() })
      finally(function()
        maru:stop()
      end)
      for i = 1, BOUNDARIES * #CUTS do
        local cut, n = CUTS[(i - 1) % #CUTS + 1], i * 100
        disk.plan(maru, cut.plan .. edge.text(n))
        relaunch(maru, {})
        local pid = maru:server_pid()
        edge.lead(maru, n)
        assert(server.wait_for(function()
          return maru:server_pid() ~= pid
        end), "it did not come to " .. cut.plan .. edge.text(n))
        edge.check(maru, n, cut.committed)
      end
    end)
  end

  it("loses nothing that was acknowledged and repeats nothing that was reported", function()
    math.randomseed(SEED)
    local model, clients = new_model(), {}
    local counts = { time = 0, call = 0 }
    local maru = server.start({ plugins = { ledger = LEDGER }, env = disk.env() })
    finally(function()
      maru:stop()
    end)
    for i = 1, CLIENTS do
      clients[i] = keepalive.new(tonumber(maru.url:match(":(%d+)$")))
    end
    for i = 1, ROUNDS do
      round(model, maru, clients, counts)
      if i % LIVES == 0 then
        relaunch(maru, clients)
      end
    end
    os.remove(maru.dir .. "/plan")
    relaunch(maru, clients)
    come_to_rest(maru)
    local quarantined = revive_quarantined(maru, model)
    come_to_rest(maru)
    assert.equal(0, maru:get("/open").json.runs)
    maru:stop(true)
    local seed = "KILL_SEED=" .. SEED
    local runs, order = runs_by_number(maru)
    local repeated = check_pushes(model, runs)
    check_keys(model, order)
    check_chains(model, order)
    local joined = check_ends(maru, model)
    local orders = rows(maru, "select n from orders order by n")
    local ordered = rows(maru, "select distinct n from runs where kind = 'ledger.ordered' order by n")
    assert.same(orders, ordered, seed .. ": orders and their jobs are committed together")
    assert.same({ "ok" }, rows(maru, "pragma integrity_check"))
    assert.is_true(model.acknowledged > ROUNDS * 5, model.acknowledged .. " acknowledged")
    print(("# %d kills at calls, %d at random times; %d jobs acknowledged, %d batches and chords, %d runs repeated, "
      .. "%d set aside, seed %d")
      :format(counts.call, counts.time, model.acknowledged, joined, repeated, quarantined, SEED))
    servers.drop(maru.dir)
    server.shell("rm -rf " .. maru.dir)
  end)
end)
