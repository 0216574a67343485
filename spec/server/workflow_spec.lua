--- Workflows in the real program: killed at every step, waiting over restarts, reloaded in the middle.
--- What every driver of the queue has to show is in spec/contract/workflows_spec.lua.
local server = require("spec.support.server")
local socket = require("socket")

-- Kills of the server process in each crash test.
local ROUNDS = tonumber(os.getenv("WORKFLOW_ROUNDS") or "6")
local ITEMS = tonumber(os.getenv("WORKFLOW_ITEMS") or "150")
local MEMBERS = tonumber(os.getenv("WORKFLOW_MEMBERS") or "200")

-- Each run of a step leaves a line: in "begun" when its handler starts, and with the count it saw in the
-- checkpointed state. What a step adds to the state proves that it was checkpointed once.
local PLUGIN = [==[
local M = { name = "flow", version = "1.0.0" }

local function note(app, what, run, extra)
  app.store:exec("insert into flow_log(run, step, what) values ($1, $2, $3)", run, what, extra or "")
end

local function step(name, following, slow)
  return function(app, run)
    note(app, name, run.id, tostring(run.n))
    local trail = run.state.trail or {}
    trail[#trail + 1] = name
    run.state.trail = trail
    if slow then
      app.sleep(slow)
    end
    return type(following) == "function" and following(app, run) or following
  end
end

M.jobs = {
  square = { function(app, job)
    app.sleep(0.02)
    return job.args.n * job.args.n
  end, retries = 1000, backoff = "10ms" },
  sum = { function(app, job)
    note(app, "sum", job.args.of or 0, tostring(#job.previous))
    local total = 0
    for _, n in ipairs(job.previous) do
      total = total + n
    end
    return total
  end, retries = 1000, backoff = "10ms" },
  add = function(_, job)
    return (job.previous or 0) + job.args.n
  end,
}

M.workflows = {
  walk = { start = "a", steps = {
    a = { step("a", "b", 0.05), next = { "b" }, retries = 1000 },
    b = { step("b", { "c", "d" }, 0.05), next = { "c", "d" }, retries = 1000 },
    c = { function(app, run)
      note(app, "c", run.id, tostring(run.n))
      run.state.c = (run.state.c or 0) + 1
      app.sleep(0.05)
      return "e"
    end, next = { "e" }, retries = 1000 },
    d = { function(app, run)
      note(app, "d", run.id, tostring(run.n))
      run.state.d = (run.state.d or 0) + 1
      app.sleep(0.02)
      return "e"
    end, next = { "e" }, retries = 1000 },
    e = { step("e", "loop", 0.05), join = { "c", "d" }, next = { "loop" }, retries = 1000 },
    loop = { function(app, run)
      note(app, "loop", run.id, tostring(run.n))
      run.state.rounds = (run.state.rounds or 0) + 1
      app.sleep(0.03)
      return run.state.rounds < 4 and "loop" or nil
    end, next = { "loop" }, retries = 1000 },
  } },
  ask = { start = "ask", version = 2, steps = {
    ask = { function(_, run)
      run.state.asked = run.input.of
      local timeout = run.input.timeout
      return run:wait("approval", { next = "answered", timeout = timeout, otherwise = timeout and "late" })
    end, next = { "answered", "late" } },
    answered = { function(_, run)
      run.state.answer, run.state.by = run.signal.data, run.signal.by
    end, next = {} },
    late = { function(_, run)
      run.state.late = run.timed_out
    end, next = {} },
  } },
  many = { start = "list", steps = {
    list = { function(_, run)
      return { "cut", "beside" }
    end, next = { "cut", "beside" } },
    cut = { function(_, run)
      run.state.cuts = (run.state.cuts or 0) + 1
      local items = {}
      for i = 1, run.input.n do
        items[i] = { n = i, first = run.state.cuts }
      end
      return run:each("page", items)
    end, next = { "page" } },
    page = { each = true, retries = 1000, backoff = "10ms", on_error = "sum", function(app, run)
      if run.input.slow then
        app.sleep(0.02)
      end
      if run.item.n == run.input.bad then
        error(app.discard("page " .. run.index .. " is no good"))
      end
      return { square = run.item.n * run.item.n, index = run.index, of = run.total }
    end, next = { "sum" } },
    beside = { function() return "sum" end, next = { "sum" } },
    sum = { function(_, run)
      local total, right = 0, true
      for i, page in ipairs(run.results.page) do
        total = total + (page and page.square or 0)
        right = right and (not page or page.index == i and page.of == run.input.n)
      end
      run.state.sum, run.state.right, run.state.n = total, right, #run.results.page
      run.state.errors = run.errors.page
      return run.state.cuts < (run.input.rounds or 1) and { "cut", "beside" } or nil
    end, join = { "page", "beside" }, next = { "cut", "beside" }, retries = 1000 },
  } },
  strict = { start = "cut", max_steps = 50, steps = {
    cut = { function(_, run)
      local items = {}
      for i = 1, run.input.n do items[i] = i end
      return run:each("page", items)
    end },
    page = { each = true, retries = 0, function(app, run)
      if run.item == 3 then
        error("three")
      end
      app.sleep(30)
      return run.state
    end },
  } },
  round = { start = "again", max_steps = 2000, steps = {
    again = { function(_, run)
      run.state.n = (run.state.n or 0) + 1
      return run.state.n < 1050 and "again" or "ask"
    end, next = { "again", "ask" } },
    ask = { function(_, run) return run:wait("approval", { next = "over" }) end, next = { "over" } },
    over = function() end,
  } },
  slow = { start = "first", steps = {
    first = function(app)
      while not app.cache:get("go") do
        assert(app.sleep(0.02))
      end
      return "second"
    end,
    second = function(_, run)
      run.state.by = "old"
    end,
  } },
}

local function id_of(req)
  return tonumber(req.params.id)
end

M.routes = {
  ["POST /go"] = function(app) return 200, { app.cache:set("go", true) } end,
  ["POST /start/{name}"] = function(app, req)
    local body = req:json()
    local id, message, code = app.workflows:start(req.params.name, body.input, body.key and { key = body.key })
    return 200, { id = id, message = message, code = code }
  end,
  ["POST /together/{n}"] = function(app, req)
    local body, id, message, code = req:json(), nil, nil, nil
    local ok, why = app.store:tx(function(tx)
      tx:exec("insert into flow_log(run, step, what) values (0, 'order', $1)", req.params.n)
      id, message, code = tx.workflows:start("walk", {}, { key = body.key })
      if body.fail then
        return nil, "rolled back"
      end
      return true
    end)
    return 200, { ok = ok, why = why, id = id, message = message, code = code }
  end,
  ["POST /chord"] = function(app, req)
    local list = {}
    for n = 1, req:json().members do
      list[n] = { "square", { n = n } }
    end
    return 200, { id = app.workflows:chord(list, { "sum", { of = 7 } }) }
  end,
  ["POST /chain"] = function(app)
    return 200, { id = app.workflows:chain({ { "add", { n = 1 } }, { "add", { n = 2 } }, { "add", { n = 3 } } }) }
  end,
  ["POST /signal/{id}"] = function(app, req)
    local woke, message, code = app.workflows:signal(id_of(req), "approval", req:json())
    return 200, { woke = woke, message = message, code = code }
  end,
  ["GET /run/{id}"] = function(app, req)
    return 200, app.workflows:get(id_of(req)) or { state = "none" }
  end,
  ["GET /list"] = function(app)
    return 200, app.json.array(app.workflows:list())
  end,
  ["GET /log/{id}"] = function(app, req)
    return 200, app.json.array(app.store:all("select step, what from flow_log where run = $1 order by id", id_of(req)))
  end,
}
return M
]==]

local MIGRATION = "create table flow_log(id integer primary key, run integer, step text, what text);\n"

local maru

local function start_server(set)
  maru = server.start({ plugins = { flow = { ["plugin.lua"] = PLUGIN, ["migrations/0001_log.sql"] = MIGRATION } },
    set = set })
end

local function post(path, body)
  local answer = maru:post(path, body or {})
  assert.equal(200, answer.status, answer.body or answer.error)
  return answer.json
end

local function run_of(id)
  local answer = maru:get("/run/" .. id)
  return answer.status == 200 and answer.json or {}
end

local function wait_state(id, state)
  local run
  local ok = server.wait_for(function()
    run = run_of(id)
    return run.state == state
  end)
  assert.truthy(ok, ("run %d is %s, not %s: %s"):format(id, tostring(run.state), state, tostring(run.error)))
  return run
end

--- Kills the server process; the supervisor starts the next one, and requests reach that.
local function kill_server()
  local pid = maru:server_pid()
  maru:signal("KILL", pid)
  assert.truthy(server.wait_for(function()
    local now = maru:server_pid()
    return now and now ~= pid and maru:get("/list").status == 200
  end), "no server after the kill")
end

--- Steps by name: how often their ends were checkpointed.
local function ended(run)
  local counts = {}
  for _, step in ipairs(run.steps) do
    assert.equal("done", step.state, step.name)
    counts[step.name] = (counts[step.name] or 0) + 1
  end
  return counts
end

describe("a workflow", function()
  before_each(function()
    start_server()
  end)
  after_each(function()
    maru:stop()
  end)

  it("that is killed in the middle of its steps goes on at the step, and ends each once", function()
    for round = 1, ROUNDS do
      local id = post("/start/walk", { input = { round = round } }).id
      -- Later from round to round, so that the kills meet every step and what lies between them.
      socket.sleep(0.03 + 0.35 * (round - 1) / ROUNDS)
      kill_server()
      local run = wait_state(id, "done")
      assert.same({ "a", "b", "e" }, run.data.trail)
      assert.equal(1, run.data.c)
      assert.equal(1, run.data.d)
      assert.equal(4, run.data.rounds)
      assert.same({ a = 1, b = 1, c = 1, d = 1, e = 1, loop = 4 }, ended(run))
      -- A step began again only while it had not ended: never after a later one had begun.
      local order, last = { a = 1, b = 2, c = 3, d = 3, e = 4, loop = 5 }, 0
      for _, entry in ipairs(maru:get("/log/" .. id).json) do
        assert.is_true(order[entry.step] >= last, entry.step .. " began again after a later step")
        last = order[entry.step]
      end
    end
  end)

  it("that is a chord of many runs its body once with all results, however often it is killed", function()
    local id = post("/chord", { members = MEMBERS }).id
    for _ = 1, ROUNDS do
      socket.sleep(0.04)
      kill_server()
    end
    -- Members that were running at two kills are quarantined, which fails the run; retried they complete it.
    local run
    assert.truthy(server.wait_for(function()
      run = run_of(id)
      for _, step in ipairs(run.state == "failed" and run.steps or {}) do
        if step.state == "failed" then
          maru:admin("/jobs/" .. step.job .. "/retry", "POST")
        end
      end
      return run.state == "done"
    end, 60), tostring(run.error))
    assert.equal(MEMBERS * (MEMBERS + 1) * (2 * MEMBERS + 1) / 6, run.result)
    for _, entry in ipairs(maru:get("/log/7").json) do
      assert.equal(tostring(MEMBERS), entry.what)
    end
    local bodies = 0
    for _, step in ipairs(run.steps) do
      assert.equal("done", step.state)
      bodies = bodies + (step.role == "body" and 1 or 0)
    end
    assert.equal(1, bodies)
    assert.equal(MEMBERS + 1, #run.steps)
  end)

  it("has a job for each item of a list, and what came of all in order", function()
    local id = post("/start/many", { input = { n = ITEMS, slow = true } }).id
    for _ = 1, 2 do
      socket.sleep(0.1)
      kill_server()
    end
    local run = wait_state(id, "done")
    assert.same({ cuts = 1, sum = ITEMS * (ITEMS + 1) * (2 * ITEMS + 1) / 6, right = true, n = ITEMS }, run.data)
    assert.equal(ITEMS + 4, run.steps_total)
    local bundle = run.bundles[1]
    assert.equal(1, #run.bundles)
    assert.same({ "page", ITEMS, ITEMS, 0, 0 },
      { bundle.step, bundle.total, bundle.done, bundle.ready, bundle.failed })
    assert.is_true(#run.steps <= 4 + 20)
    local output = maru:command_output("workflows show " .. id)
    assert.matches("page%s+" .. ITEMS .. "%s+0%s+0%s+0%s+0%s+" .. ITEMS, output)
  end)

  it("begins with the transaction that started it, or not at all", function()
    local gone = post("/together/1", { fail = true })
    assert.equal("rolled back", gone.why)
    assert.truthy(gone.id)
    local kept = post("/together/2", { key = "two" })
    assert.is_true(kept.ok)
    -- Where the table is elsewhere the run is brought over behind the commit; until then its key is not known.
    assert.is_truthy(server.wait_for(function()
      return run_of(kept.id).state
    end))
    assert.equal("duplicate", post("/together/3", { key = "two" }).code)
    kill_server()
    local run = wait_state(kept.id, "done")
    assert.same({ a = 1, b = 1, c = 1, d = 1, e = 1, loop = 4 }, ended(run))
    assert.equal(1, #maru:admin("/workflows").workflows)
    local log = {}
    for _, line in ipairs(maru:get("/log/0").json) do
      log[#log + 1] = line.what
    end
    assert.same({ "2", "3" }, log)
    local metrics = maru:get("/metrics").body
    assert.matches("maru_workflows_running 0\n", metrics)
    assert.matches("maru_workflows_waiting 0\n", metrics)
  end)

  it("goes around with items again, without any, and with some that fail", function()
    local id = post("/start/many", { input = { n = 5, rounds = 3, bad = 2 } }).id
    local run = wait_state(id, "done")
    assert.same({ cuts = 3, sum = 51, right = true, n = 5, errors = { { index = 2, message = "page 2 is no good" } } },
      run.data)
    assert.equal(3, #run.bundles)
    assert.equal(1, run.bundles[3].failed)
    run = wait_state(post("/start/many", { input = { n = 0 } }).id, "done")
    assert.same({ cuts = 1, sum = 0, right = true, n = 0 }, run.data)
  end)

  it("fails by an item without on_error, and ends the others", function()
    local id = post("/start/strict", { input = { n = 20 } }).id
    local run = wait_state(id, "failed")
    assert.matches("^step 'page', item 3 of 20: .*three", run.error)
    assert.truthy(server.wait_for(function()
      run = run_of(id)
      return run.active == 0
    end))
    assert.equal(19, run.bundles[1].cancelled)
    run = wait_state(post("/start/strict", { input = { n = 60 } }).id, "failed")
    assert.equal("more than 50 steps (max_steps) with 60 items of 'page'", run.error)
  end)

  it("shows where it stands after more steps than are listed", function()
    local id = post("/start/round", { input = {} }).id
    local run = wait_state(id, "waiting")
    local shown = maru:admin("/workflows/" .. id)
    assert.equal(1051, shown.steps_total)
    assert.equal(1001, #shown.steps)
    assert.equal("approval", shown.steps[1001].waits_for)
    assert.equal(1050, run.data.n)
    assert.match("\n1001 of 1051 steps", (maru:command_output("workflows show " .. id)))
  end)

  it("waits for a signal over restarts, and keeps one that comes before the wait", function()
    local id = post("/start/ask", { input = { of = "me" }, key = "one" }).id
    assert.equal("duplicate", post("/start/ask", { input = {}, key = "one" }).code)
    local run = wait_state(id, "waiting")
    assert.equal("approval", run.steps[1].waits_for)
    assert.equal(2, run.version)
    kill_server()
    assert.equal("waiting", run_of(id).state)
    assert.is_true(maru:restart())
    assert.equal("waiting", run_of(id).state)
    assert.is_true(post("/signal/" .. id, { yes = true }).woke)
    run = wait_state(id, "done")
    assert.same({ asked = "me", answer = { yes = true }, by = "flow" }, run.data)
    assert.equal("closed", post("/signal/" .. id, {}).code)
    assert.equal("not_found", post("/signal/999", {}).code)
    assert.truthy(post("/start/ask", { input = { of = "me" }, key = "one" }).id)
  end)

  it("goes on in the new generation after a reload, and fails with the reason where its step is gone", function()
    local function reload(from, to)
      server.write_file(maru:plugin_path("flow"), (PLUGIN:gsub(from, to, 1)))
      local output, status = maru:command_output("reload flow")
      assert.equal(0, status, output)
    end
    local id = post("/start/slow", {}).id
    reload('by = "old"', 'by = "new"')
    post("/go", {})
    assert.same({ by = "new" }, wait_state(id, "done").data)
    id = post("/start/ask", { input = { of = "me" } }).id
    wait_state(id, "waiting")
    local text = PLUGIN:gsub('next = "answered"', 'next = "renamed"'):gsub("answered = {", "renamed = {")
      :gsub('{ "answered", "late" }', '{ "renamed", "late" }')
    server.write_file(maru:plugin_path("flow"), text)
    assert.equal(0, select(2, maru:command_output("reload flow")))
    assert.is_true(post("/signal/" .. id, { yes = true }).woke)
    assert.equal("there is no step 'answered' in version 2 of the workflow", wait_state(id, "failed").error)
  end)
end)

describe("workflows.ttl", function()
  it("lets finished runs go, and what still waits stays", function()
    start_server({ "workflows.ttl=1s" })
    finally(function()
      maru:stop()
    end)
    local done, waiting = post("/chain").id, post("/start/ask", { input = { of = "me" } }).id
    wait_state(done, "done")
    wait_state(waiting, "waiting")
    socket.sleep(1.1)
    assert.is_true(maru:restart()) -- old runs are looked for at the first commit, then once a minute
    post("/chain")
    assert.truthy(server.wait_for(function()
      return run_of(done).state == "none"
    end))
    assert.equal("waiting", run_of(waiting).state)
  end)
end)
