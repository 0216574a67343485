--- What runs of workflows do on every driver of the queue, through the real program; on several nodes where
--- the record is shared. What concerns one server alone is in spec/server/workflow_spec.lua.
local cjson = require("cjson")
local contract = require("spec.support.contract")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

-- Members of the chord, and how often a node is killed in the middle of it and of a graph.
local MEMBERS = tonumber(os.getenv("WORKFLOW_MEMBERS") or "60")
local ROUNDS = tonumber(os.getenv("WORKFLOW_ROUNDS") or "1")

-- Each begin of a handler leaves a line with its time in its node's own database.
local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "flow", version = "1.0.0" }

local function note(app, run, n, step)
  app.store:exec("insert into flow_log(run, n, step, at) values ($1, $2, $3, $4)", run, n, step, app.now())
end

local function step(name, following)
  return { function(app, run)
    note(app, run.id, run.n, name)
    local trail = run.state.trail or {}
    trail[#trail + 1] = name
    run.state.trail = trail
    app.sleep(0.05)
    return following
  end, next = type(following) == "table" and following or { following }, retries = 1000 }
end

local function branch(name)
  return { function(app, run)
    note(app, run.id, run.n, name)
    run.state[name] = (run.state[name] or 0) + 1
    app.sleep(0.05)
    return "e"
  end, next = { "e" }, retries = 1000 }
end

local e = step("e", "loop")
e.join = { "c", "d" }

M.jobs = {
  square = { function(app, job)
    note(app, job.id, 0, "square")
    app.sleep(job.args.s or 0.05)
    return job.args.n * job.args.n
  end, retries = 1000, backoff = "10ms" },
  sum = { function(app, job)
    note(app, job.id, 0, "sum")
    local total = 0
    for _, n in ipairs(job.previous) do
      total = total + n
    end
    app.sleep(0.05)
    return total
  end, retries = 1000, backoff = "10ms" },
  add = function(_, job) return (job.previous or 0) + job.args.n end,
  bad = { function(app, job)
    if app.cache:get("mended") then return job.args.n end
    error("no good")
  end, retries = 0 },
  heard = function(app, job) app.cache:set("heard", job.previous.error) end,
}

M.workflows = {
  walk = { start = "a", steps = {
    a = step("a", "b"),
    b = step("b", { "c", "d" }),
    c = branch("c"), d = branch("d"), e = e,
    loop = { function(app, run)
      note(app, run.id, run.n, "loop")
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
  fix = { start = "try", steps = {
    try = { function(_, run)
      run.state.kept = true
      error("step is broken")
    end, retries = 0, on_error = "mend" },
    mend = function(_, run)
      run.state.why = run.error
    end,
  } },
  many = { start = "cut", steps = {
    cut = { function(_, run)
      run.state.cuts = (run.state.cuts or 0) + 1
      local items = {}
      for i = 1, run.input.n do items[i] = { n = i } end
      return run:each("page", items)
    end, next = { "page" } },
    page = { each = true, retries = 0, on_error = "sum", function(_, run)
      if run.item.n == run.input.bad then error("no good") end
      return { square = run.item.n * run.item.n, index = run.index }
    end, next = { "sum" } },
    sum = { function(_, run)
      local total, right = 0, true
      for i, page in ipairs(run.results.page) do
        total = total + (page and page.square or 0)
        right = right and (not page or page.index == i)
      end
      run.state.sum, run.state.right, run.state.n = total, right, #run.results.page
      run.state.failed = run.errors.page and run.errors.page[1].index
      return run.state.cuts < (run.input.rounds or 1) and "cut" or nil
    end, next = { "cut" } },
  } },
  slow = { start = "first", steps = {
    first = function(app)
      assert(app.sleep(30))
      return "second"
    end,
    second = function() end,
  } },
}

local function id_of(req)
  return tonumber(req.params.id)
end

M.routes = {
  ["POST /start/{name}"] = function(app, req)
    local body = req:json()
    local id, message, code = app.workflows:start(req.params.name, body.input, body.key and { key = body.key })
    return 200, { id = id, message = message, code = code }
  end,
  ["POST /together"] = function(app)
    local id, message, code
    app.store:tx(function(tx)
      id, message, code = tx.workflows:start("fix")
      return true
    end)
    return 200, { id = id, message = message, code = code }
  end,
  ["POST /chord"] = function(app, req)
    local list, body = {}, req:json()
    for n = 1, body.members do
      list[n] = { "square", { n = n, s = body.s } }
    end
    return 200, { id = app.workflows:chord(list, "sum") }
  end,
  ["POST /group"] = function(app, req)
    return 200, { id = app.workflows:group({ { "add", { n = 1 } }, { "bad", { n = 2 } }, { "bad", { n = 3 } } },
      { key = req:json().key }) }
  end,
  ["POST /held"] = function(app, req)
    return 200, { id = app.workflows:group({ { "add", { n = 1 }, { delay = "1h" } } }, { key = req:json().key }) }
  end,
  ["POST /chain"] = function(app)
    return 200, { id = app.workflows:chain({ { "add", { n = 1 } }, { "add", { n = 2 } }, { "add", { n = 3 } } }) }
  end,
  ["POST /later"] = function(app)
    return 200, { id = app.workflows:chain({ { "add", { n = 1 }, { delay = "1h" } }, { "add", { n = 2 } } }) }
  end,
  ["POST /broken"] = function(app)
    return 200, { id = app.workflows:chord({ { "add", { n = 1 } }, "bad" }, "sum", { on_error = "heard" }) }
  end,
  ["POST /mend"] = function(app) app.cache:set("mended", true) return 200, {} end,
  ["GET /heard"] = function(app) return 200, { heard = app.cache:get("heard") } end,
  ["POST /signal/{id}"] = function(app, req)
    local woke, message, code = app.workflows:signal(id_of(req), req:json().name or "approval", req:json().data)
    return 200, { woke = woke, message = message, code = code }
  end,
  ["POST /cancel/{id}"] = function(app, req)
    local ok, message, code = app.workflows:cancel(id_of(req))
    return 200, { ok = ok, message = message, code = code }
  end,
  ["GET /run/{id}"] = function(app, req)
    return 200, app.workflows:get(id_of(req)) or { state = "none" }
  end,
}
return M
]==],
  ["migrations/0001_log.sql"] = "create table flow_log(id integer primary key, run integer, n integer, step text,"
    .. " at real);",
}

local DRIVERS = {
  {
    name = "sqlite",
    settings = { "jobs.driver=sqlite" },
    differs = { nodes = "one server alone has this record", ["restart of its server"] = "there is no other server",
      ["undeclared runs"] = "the one server's own plugins are known when it starts",
      ["other servers"] = "one server alone has this record" },
  },
  {
    name = "postgres",
    open = function()
      local database = postgres.start()
      return {
        settings = { "jobs.driver=postgres", "jobs.url=" .. database.url, "jobs.lease=2s" },
        --- The end of a queued job by a server of an older maru, which knows no workflows.
        finish = function(id, result)
          database:sql((([[begin; delete from maru.ready where id = ID;
            insert into maru.claimed(id, flow, node, fence, at, suspect)
              select id, flow, 0, 77, maru.now(), false from maru.job where id = ID;
            select maru.finish('{ID}', '{77}', '{0}', '{1}', '{0}', '{0}', '{60000000000}', '{NULL}', '{RESULT}');
            commit]])
            :gsub("ID", ("%d"):format(id)):gsub("RESULT", result)))
        end,
        restart = function()
          database:restart("immediate", 0.5)
        end,
        close = function()
          database:drop()
        end,
      }
    end,
    differs = { ["undeclared runs"] = "its queries choose by name" },
  },
  {
    name = "redis",
    open = function()
      local db = redis.start()
      return {
        settings = { "jobs.driver=redis", "jobs.url=" .. db.url, "jobs.lease=2s" },
        --- More waits and ends than one look reads, of a run whose graph was removed with its plugin.
        leave_undeclared = function()
          db:call("EVAL", [[local P = 'maru:'
            redis.call('HSET', P .. 'wf:900000000', 'plugin', 'gone', 'name', 'gone', 'shape', 0, 'state', 1)
            for i = 1, 2500 do
              redis.call('HSET', P .. 'job:' .. 900000000 + i, 'extra', '{"workflow":900000000,"step":' .. i .. '}')
              redis.call('ZADD', P .. 'wf:stray', 1, 900000000 + i)
              redis.call('ZADD', P .. 'wf:due', 1, '900000000:' .. i)
            end]], 0)
        end,
        restart = function()
          db:kill()
          socket.sleep(0.5)
          db:again()
        end,
        close = function()
          db:stop()
        end,
      }
    end,
    differs = { ["other servers"] = "no maru that keeps jobs in Redis was without workflows" },
  },
}

local function post(node, path, body)
  local answer = node:post(path, body or {})
  assert.equal(200, answer.status, answer.body or answer.error)
  return answer.json
end

local function run_of(node, id)
  local answer = node:get("/run/" .. ("%d"):format(id))
  return answer.status == 200 and answer.json or {}
end

local function wait_state(node, id, state)
  local run
  local ok = server.wait_for(function()
    run = run_of(node, id)
    return run.state == state
  end)
  assert.truthy(ok, ("run %d is %s, not %s: %s"):format(id, tostring(run.state), state, tostring(run.error)))
  return run
end

--- A time as the admin says it, in seconds since 1970.
local function seconds_of(text)
  local y, mo, d, h, mi, s = text:match("^(%d+)%-(%d+)%-(%d+)T(%d+):(%d+):([%d.]+)Z$")
  local a = math.floor((14 - mo) / 12)
  local year, month = y + 4800 - a, mo + 12 * a - 3
  local days = d + math.floor((153 * month + 2) / 5) + 365 * year + math.floor(year / 4) - math.floor(year / 100)
    + math.floor(year / 400) - 32045 - 2440588
  return days * 86400 + h * 3600 + mi * 60 + s
end

--- All begins that the nodes noted: { run, n, step, at }.
local function log_of(nodes)
  local log = {}
  for _, node in ipairs(nodes) do
    local text = server.shell(("sqlite3 -cmd '.timeout 5000' %s/state/maru.db 'select run, n, step, at from flow_log'")
      :format(node.dir))
    for run, n, step, at in text:gmatch("(%d+)|(%d+)|(%a+)|([%d.]+)") do
      log[#log + 1] = { run = tonumber(run), n = tonumber(n), step = step, at = tonumber(at) }
    end
  end
  table.sort(log, function(a, b)
    return a.at < b.at
  end)
  return log
end

for _, driver in ipairs(DRIVERS) do
  describe("runs of workflows kept by " .. driver.name, function()
    local stage, case = contract.stage(driver, { plugins = { flow = PLUGIN } })
    local backend, node

    lazy_setup(function()
      node = stage:node()
      backend = stage.backend
    end)

    it("checkpoint a graph's state after every step, with branches, a join and a loop", function()
      local id = post(node, "/start/walk", {}).id
      local run = wait_state(node, id, "done")
      assert.same({ trail = { "a", "b", "e" }, c = 1, d = 1, rounds = 4 }, run.data)
      local names = {}
      for i, step in ipairs(run.steps) do
        assert.equal(i, step.n)
        assert.equal("done", step.state)
        names[i] = step.name
      end
      table.sort(names)
      assert.same({ "a", "b", "c", "d", "e", "loop", "loop", "loop", "loop" }, names)
    end)

    it("hand results on in a chain, and gather them in a chord", function()
      assert.equal(6, wait_state(node, post(node, "/chain").id, "done").result)
      local run = wait_state(node, post(node, "/chord", { members = 20, s = 0 }).id, "done")
      assert.equal(20 * 21 * 41 / 6, run.result)
      assert.equal(21, #run.steps)
      assert.equal("body", run.steps[21].role)
    end)

    it("fail with the member that failed, and tell the job that is to hear of it", function()
      local run = wait_state(node, post(node, "/broken").id, "failed")
      assert.matches("^member 2, flow%.bad: plugins/flow/plugin%.lua:%d+: no good$", run.error)
      assert.truthy(server.wait_for(function()
        return node:get("/heard").json.heard == run.error
      end))
    end)

    it("stay as they are when a dead job of theirs is retried and another run has their key", function()
      local id = post(node, "/group", { key = "held" }).id
      local run = wait_state(node, id, "failed")
      server.wait_for(function()
        run = run_of(node, id)
        return run.active == 0
      end)
      local holder = post(node, "/held", { key = "held" }).id
      local job = ("/jobs/%d"):format(run.steps[2].job)
      assert.is_nil(node:admin(job .. "/retry", "POST", {}).status)
      assert.truthy(server.wait_for(function()
        return node:admin(job).state == "dead"
      end))
      run = run_of(node, id)
      assert.same({ "failed", 0, "failed" }, { run.state, run.active, run.steps[2].state })
      assert.is_true(post(node, "/cancel/" .. ("%d"):format(holder)).ok)
    end)

    it("go on where they failed when the dead job is retried", function()
      local id = post(node, "/group", { key = "g" }).id
      local run = wait_state(node, id, "failed")
      server.wait_for(function()
        run = run_of(node, id)
        return run.active == 0
      end)
      post(node, "/mend")
      for i = 2, 3 do
        assert.equal("failed", run.steps[i].state)
        assert.is_nil(node:admin("/jobs/" .. ("%d"):format(run.steps[i].job) .. "/retry", "POST", {}).status)
      end
      run = wait_state(node, id, "done")
      assert.same({ 1, 2, 3 }, run.result)
      assert.equal(cjson.null, run.error or cjson.null)
    end)

    it("begin with a transaction where its database has them, or are refused with the way round", function()
      local answer = node:post("/together", {}).json
      if driver.name == "sqlite" then
        assert.equal("step is broken", wait_state(node, answer.id, "done").data.why.message:match("step is broken"))
      else
        assert.equal("invalid", answer.code)
        assert.matches("push a job in it that starts the run", answer.message)
      end
    end)

    it("go on with what on_error names", function()
      local run = wait_state(node, post(node, "/start/fix", {}).id, "done")
      assert.equal("try", run.data.why.step)
      assert.matches("step is broken", run.data.why.message)
      assert.is_nil(run.data.kept)
    end)

    it("have a job for each item of a list, again and again, without any, and with one that fails", function()
      local id = post(node, "/start/many", { input = { n = 12, rounds = 2, bad = 5 } }).id
      local run = wait_state(node, id, "done")
      assert.same({ cuts = 2, sum = 650 - 25, right = true, n = 12, failed = 5 }, run.data)
      assert.equal(1, run.bundles[2].failed)
      assert.equal(11, run.bundles[2].done)
      run = wait_state(node, post(node, "/start/many", { input = { n = 0 } }).id, "done")
      assert.same({ cuts = 1, sum = 0, right = true, n = 0 }, run.data)
    end)

    it("wait for a signal, and keep one that comes before", function()
      local id = post(node, "/start/ask", { input = { of = "me" }, key = "one" }).id
      assert.equal("duplicate", post(node, "/start/ask", { input = {}, key = "one" }).code)
      local run = wait_state(node, id, "waiting")
      assert.equal("approval", run.steps[1].waits_for)
      assert.equal(2, run.version)
      assert.is_false(post(node, "/signal/" .. id, { name = "other", data = { n = 1 } }).woke)
      assert.equal("other", run_of(node, id).signals[1].name)
      assert.is_true(post(node, "/signal/" .. id, { data = { yes = true, text = "단어 \"x\"" } }).woke)
      run = wait_state(node, id, "done")
      assert.same({ asked = "me", answer = { yes = true, text = "단어 \"x\"" }, by = "flow" }, run.data)
      assert.equal("closed", post(node, "/signal/" .. id).code)
      assert.equal("not_found", post(node, "/signal/999999").code)
      assert.truthy(post(node, "/start/ask", { input = { of = "me", timeout = "1h" }, key = "one" }).id)
    end)

    it("take the other way when nobody answers in time", function()
      local id = post(node, "/start/ask", { input = { of = "me", timeout = "200ms" } }).id
      assert.same({ asked = "me", late = "approval" }, wait_state(node, id, "done").data)
    end)

    it("are cancelled with the jobs that they have, running or queued", function()
      for _, path in ipairs({ "/start/slow", "/later" }) do
        local id = post(node, path, {}).id
        if path == "/start/slow" then
          server.wait_for(function()
            return run_of(node, id).steps[1].state == "running"
          end)
        end
        assert.is_true(post(node, "/cancel/" .. id).ok)
        local run = wait_state(node, id, "cancelled")
        assert.equal("closed", post(node, "/cancel/" .. id).code)
        assert.truthy(server.wait_for(function()
          run = run_of(node, id)
          return run.active == 0
        end), path)
        for _, step in ipairs(run.steps) do
          assert.equal("cancelled", step.state)
        end
      end
    end)

    it("fail when a queued job of theirs is cancelled", function()
      local id = post(node, "/later", {}).id
      local job = run_of(node, id).steps[1].job
      assert.is_nil(node:admin("/jobs/" .. ("%d"):format(job) .. "/cancel", "POST", {}).status)
      assert.matches("its job was cancelled", wait_state(node, id, "failed").error)
    end)

    it("are seen and told by the operator", function()
      local id = post(node, "/start/ask", { input = { of = "me" } }).id
      wait_state(node, id, "waiting")
      local listed = node:admin("/workflows?state=waiting&name=ask&limit=1").workflows
      assert.equal(id, listed[1].id)
      assert.equal("ask", listed[1].at)
      assert.equal(1, #listed)
      local output, status = node:command_output("workflows show " .. id)
      assert.equal(0, status, output)
      assert.matches("approval", output)
      output, status = node:command_output("workflows signal " .. id .. " approval '{\"yes\":1}'")
      assert.equal(0, status, output)
      assert.same({ ok = true, woke = true }, cjson.decode(output))
      assert.same({ yes = 1 }, wait_state(node, id, "done").data.answer)
      local before = node:admin("/workflows?limit=1&after=" .. id).workflows[1]
      assert.is_true(before.id < id)
      output, status = node:command_output("workflows cancel " .. id)
      assert.equal(1, status)
      assert.matches("is done already", output)
      assert.matches("maru_workflows_done_total %d", node:get("/metrics").body)
      assert.matches("workflow%.signal", cjson.encode(node:admin("/audit")))
    end)

    case("go on though many stand before them that no node declares any more", "undeclared runs", function()
      backend.leave_undeclared()
      local id = post(node, "/start/ask", { input = { of = "me", timeout = "200ms" } }).id
      assert.same({ asked = "me", late = "approval" }, wait_state(node, id, "done").data)
      id = post(node, "/later", {}).id
      local job = run_of(node, id).steps[1].job
      assert.is_nil(node:admin(("/jobs/%d/cancel"):format(job), "POST", {}).status)
      assert.matches("its job was cancelled", wait_state(node, id, "failed").error)
    end)

    case("go on behind a step that a server ended which knows none of them", "other servers", function()
      local id = post(node, "/later", {}).id
      backend.finish(run_of(node, id).steps[1].job, "41")
      assert.equal(43, wait_state(node, id, "done").result)
    end)

    case("are told by any node, and wait on whichever is there", "nodes", function()
      local other = stage:node()
      finally(function()
        other:stop()
      end)
      local id = post(node, "/start/ask", { input = { of = "both" } }).id
      wait_state(other, id, "waiting")
      assert.is_true(post(other, "/signal/" .. id, { data = 7 }).woke)
      assert.equal(7, wait_state(node, id, "done").data.answer)
      id = post(node, "/start/slow", {}).id
      server.wait_for(function()
        return run_of(other, id).steps[1].state == "running"
      end)
      assert.is_true(post(other, "/cancel/" .. id).ok)
      assert.truthy(server.wait_for(function()
        return run_of(node, id).active == 0
      end))
      -- A signal that comes to one which does not know the workflow.
      local stranger = server.start({ set = backend.settings })
      id = post(node, "/start/ask", { input = { of = "both" } }).id
      wait_state(node, id, "waiting")
      local told = stranger:admin(("/workflows/%d/signal"):format(id), "POST", { name = "approval", data = 8 })
      stranger:stop()
      assert.is_true(told.woke)
      assert.equal(8, wait_state(node, id, "done").data.answer)
      -- A wait whose node is gone when it is over.
      id = post(other, "/start/ask", { input = { of = "me", timeout = "1500ms" } }).id
      wait_state(node, id, "waiting")
      other:kill()
      assert.same({ asked = "me", late = "approval" }, wait_state(node, id, "done").data)
    end)

    --- Starts six walks and a chord through these nodes, lets `disturb` happen in the middle, and compares what was
    --- done (all begins) with what is recorded.
    local function check_steps(nodes, disturb)
      local ids = {}
      for i = 1, 6 do
        ids[i] = post(nodes[i % #nodes + 1], "/start/walk", {}).id
      end
      local chord = post(nodes[#nodes], "/chord", { members = MEMBERS }).id
      socket.sleep(0.1 + 0.5 * math.random())
      disturb()

      local run, begins = wait_state(node, chord, "done"), {}
      local function check(step, key)
        assert.equal("done", step.state, step.name)
        assert.is_truthy(begins[key], step.name .. " is recorded as done, and nothing was done")
        -- Times in answers have milliseconds.
        assert.is_true(begins[key][#begins[key]] <= seconds_of(step.ended_at) + 0.002,
          step.name .. " began again after its end was recorded")
      end
      local runs = {}
      for i, id in ipairs(ids) do
        runs[i] = wait_state(node, id, "done")
      end
      local order, last = { a = 1, b = 2, c = 3, d = 3, e = 4, loop = 5 }, {}
      for _, entry in ipairs(log_of(nodes)) do
        local key = entry.n == 0 and entry.run or entry.run .. "." .. entry.n
        begins[key] = begins[key] or {}
        table.insert(begins[key], entry.at)
        if entry.n > 0 then
          assert.is_true(order[entry.step] >= (last[entry.run] or 0), entry.step .. " began again after a later step")
          last[entry.run] = order[entry.step]
        end
      end
      assert.equal(MEMBERS * (MEMBERS + 1) * (2 * MEMBERS + 1) / 6, run.result)
      assert.equal(MEMBERS + 1, #run.steps)
      local bodies = 0
      for _, step in ipairs(run.steps) do
        check(step, step.job)
        bodies = bodies + (step.role == "body" and 1 or 0)
      end
      assert.equal(1, bodies)
      for i, walk in ipairs(runs) do
        assert.same({ trail = { "a", "b", "e" }, c = 1, d = 1, rounds = 4 }, walk.data)
        assert.equal(9, #walk.steps)
        for _, step in ipairs(walk.steps) do
          check(step, ids[i] .. "." .. step.n)
        end
      end
    end

    case("end each step once though one of two nodes is killed in the middle", "nodes", function()
      for _ = 1, ROUNDS do
        local other = stage:node()
        local ok, message = pcall(check_steps, { node, other }, function()
          other:kill()
        end)
        other:stop()
        assert.is_true(ok, message)
      end
    end)

    case("end each step once though the record's server crashes in the middle", "restart of its server", function()
      check_steps({ node }, backend.restart)
    end)

    case("are forgotten by any node when they are old, and what waits stays", "nodes", function()
      local done, waiting = post(node, "/chain").id, post(node, "/start/ask", { input = { of = "me" } }).id
      wait_state(node, done, "done")
      wait_state(node, waiting, "waiting")
      local other = stage:node({ set = { "workflows.ttl=1s" } })
      finally(function()
        other:stop()
      end)
      socket.sleep(1.1)
      post(other, "/chain") -- old runs are looked for at the first commit, then once a minute
      assert.truthy(server.wait_for(function()
        return run_of(node, done).state == "none"
      end))
      assert.equal("waiting", run_of(node, waiting).state)
    end)
  end)
end
