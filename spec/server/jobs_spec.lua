--- app.jobs in a real server: batches, waiting, progress, attempts, changes; also over kill -9.
local cjson = require("cjson")
local server = require("spec.support.server")

local SHOP = {
  ["plugin.lua"] = [==[
local M = { name = "shop", version = "1.0.0" }
M.jobs = {
  work = { retries = 1, backoff = { first = "10ms", factor = 1, max = "1s", jitter = 0 }, result_ttl = "1h",
    function(app, job)
    if job.args.fail then error("this one never works") end
    if job.args.say then app.log:info(job.args.say, { n = job.args.n, job = job.args.own }) end
    if job.args.sleep then app.sleep(job.args.sleep) end
    return { twice = (job.args.n or 0) * 2 }
  end },
  long = { timeout = "60s", function(app, job)
    assert(app.jobs:progress(0.5, "half of it"))
    assert(app.sleep(50))
  end },
  polite = { timeout = "60s", retries = 0, function(app)
    local ok, message, code = app.sleep(50)
    if not ok then return nil, message, code end
  end },
  careless = { timeout = "60s", retries = 0, function(app) app.sleep(50) return "slept" end },
  finish = function(app, job)
    app.store:exec("insert into finished(batch, total, succeeded, failed, tag) values ($1, $2, $3, $4, $5)",
      job.args.batch.id, job.args.batch.total, job.args.batch.succeeded, job.args.batch.failed, job.args.tag)
  end,
}
M.routes = {
  ["POST /push"] = function(app, req)
    local id, message, code = app.jobs:push(req:json().name, req:json().args, req:json().options)
    if not id then return 409, { error = message, code = code } end
    return 201, { id = id }
  end,
  ["POST /batch"] = function(app, req)
    local list = {}
    for i = 1, req:json().count do
      list[i] = { "work", { n = i, fail = i <= (req:json().failing or 0) or nil } }
    end
    local id, message = app.jobs:batch(list, { done = { "finish", { tag = "x" } }, description = "many" })
    if not id then return 503, { error = message } end
    return 201, { id = id }
  end,
  ["GET /batch/{id}"] = function(app, req) return 200, app.jobs:batch_get(tonumber(req.params.id)) or {} end,
  ["GET /job/{id}"] = function(app, req) return 200, app.jobs:get(tonumber(req.params.id)) or {} end,
  ["POST /wait"] = function(app, req)
    local answer, message, code = app.jobs:wait(req:json().ids, req:json().timeout)
    return 200, { answer = answer or app.json.null, message = message, code = code }
  end,
  ["POST /change"] = function(app, req)
    local ok, message, code = app.jobs[req:json().verb](app.jobs, req:json().id)
    return 200, { ok = ok or false, message = message, code = code }
  end,
  ["GET /finished"] = function(app)
    return 200, { rows = app.json.array(app.store:all("select * from finished order by batch")) }
  end,
}
return M
]==],
  ["migrations/0001_finished.sql"] = [[
create table finished (batch integer, total integer, succeeded integer, failed integer, tag text);
]],
}

describe("a job's backoff", function()
  it("is checked", function()
    local function problem(text)
      local folder = server.shell("mktemp -d"):gsub("%s", "")
      server.shell("mkdir " .. folder .. "/bad")
      server.write_file(folder .. "/bad/plugin.lua",
        'return { name = "bad", version = "1.0.0", jobs = { x = { backoff = ' .. text .. ", function() end } } }")
      local output = server.maru(("check --set plugins.path=%s --set state.dir=%s/state"):format(folder, folder))
      server.shell("rm -rf " .. folder)
      return output
    end
    assert.match("backoff.jitter.*number from 0 to 1", problem("{ jitter = 2 }"))
    assert.match("backoff.max.*at least the first delay", problem('{ first = "5s", max = "1s" }'))
    assert.match("backoff.most: unknown", problem('{ most = "1s" }'))
    assert.not_match("backoff", problem('{ first = "5s", factor = 1.5, max = "1h", jitter = 0 }'))
  end)
end)

describe("app.jobs", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { shop = SHOP }, set = { "shutdown.grace=300ms" } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function push(name, args, options)
    local answer = maru:post("/push", { name = name, args = args, options = options })
    assert.equal(201, answer.status, answer.body)
    return answer.json.id
  end

  local function job(id)
    return maru:get("/job/" .. id).json
  end

  it("waits for one job, for many, and not for ever", function()
    local one, two = push("work", { n = 4, sleep = 0.05 }), push("work", { n = 5 })
    local answer = maru:post("/wait", { ids = one }).json
    assert.equal("done", answer.answer.state)
    assert.equal(8, answer.answer.result.twice)
    answer = maru:post("/wait", { ids = { one, two } }).json
    assert.equal(10, answer.answer[2].result.twice)
    local late = push("work", {}, { delay = "1h" })
    answer = maru:post("/wait", { ids = late, timeout = 0.02 }).json
    assert.equal("timeout", answer.code)
    assert.equal("timeout", answer.message)
  end)

  it("shows every attempt with its error and traceback", function()
    local id = push("work", { fail = true })
    local dead = maru:post("/wait", { ids = id }).json.answer
    assert.equal("dead", dead.state)
    assert.equal(2, #dead.attempts)
    assert.equal(1, dead.attempts[1].attempt)
    assert.match("this one never works", dead.attempts[2].error)
    assert.match("plugin.lua:4", dead.attempts[2].traceback)
    assert.match("^job", dead.attempts[2].lane)
    assert.is_true(dead.attempts[1].started_at <= dead.attempts[1].ended_at, dead.attempts[1].started_at)
    assert.is_true(maru:post("/change", { verb = "retry", id = id }).json.ok)
    dead = maru:post("/wait", { ids = id }).json.answer
    assert.equal(4, #dead.attempts)
  end)

  it("shows progress, and cancels what runs or waits", function()
    local id = push("long", {})
    local running = server.wait_for(function()
      local now = job(id)
      return now.progress and now
    end)
    assert.equal(0.5, running.progress)
    assert.equal("half of it", running.message)
    assert.is_true(maru:post("/change", { verb = "cancel", id = id }).json.ok)
    assert.equal("cancelled", maru:post("/wait", { ids = id }).json.answer.state)
    local late = push("work", {}, { delay = "1h" })
    assert.is_true(maru:post("/change", { verb = "cancel", id = late }).json.ok)
    assert.equal("cancelled", job(late).state)
    assert.equal("not_found", maru:post("/change", { verb = "cancel", id = 999999 }).json.code)
  end)

  local function running(id)
    return server.wait_for(function()
      return job(id).state == "running"
    end)
  end

  it("has its number in what its handler logs", function()
    local id = push("work", { say = "said by a job", n = 1 })
    push("work", { say = "said with a field of that name", own = "mine" })
    assert.is_true(server.wait_for(function()
      local logs = maru:logs()
      return logs:find("said with a field", 1, true) and logs:find('"said by a job"', 1, true) and true
    end))
    assert.match(('"said by a job"[^\n]*"job":%d[,}]'):format(id), maru:logs())
    local other = maru:logs():match('"said with a field of that name"[^\n]*')
    assert.match('"job":"mine"', other)
    assert.not_match('"job":%d', other)
  end)

  it("takes a cancelled wait for the end, however the handler goes on", function()
    for _, name in ipairs({ "polite", "careless" }) do
      local id = push(name, {})
      assert.is_true(running(id))
      assert.is_true(maru:post("/change", { verb = "cancel", id = id }).json.ok)
      assert.equal("cancelled", maru:post("/wait", { ids = id }).json.answer.state, name)
    end
  end)

  it("runs again what a stop of the server interrupted, however the handler took it", function()
    local polite, careless = push("polite", {}), push("careless", {})
    assert.is_true(running(polite) and running(careless))
    assert.is_true(maru:restart(), maru:logs())
    for _, id in ipairs({ polite, careless }) do
      assert.is_true(running(id), id)
      assert.equal(1, job(id).attempt)
      assert.is_true(maru:post("/change", { verb = "cancel", id = id }).json.ok)
    end
  end)

  it("replaces what waits under a unique key, and holds the key for a time", function()
    local key = { key = "k", replace = true, period = "1h" }
    local id = push("work", { n = 1 }, { unique = key, delay = "1h" })
    assert.equal(id, push("work", { n = 2 }, { unique = key }))
    assert.equal(4, maru:post("/wait", { ids = id }).json.answer.result.twice)
    local again = maru:post("/push", { name = "work", args = { n = 3 }, options = { unique = key } })
    assert.equal(409, again.status)
    assert.equal("duplicate", again.json.code)
    again = maru:post("/push", { name = "work", args = {}, options = { unique = { key = "x", scope = "now" } } })
    assert.match("scope must be queued or unfinished", again.json.detail)
  end)

  it("counts a batch and pushes one job when all have ended", function()
    local id = maru:post("/batch", { count = 50, failing = 3 }).json.id
    local rows = server.wait_for(function()
      local rows = maru:get("/finished").json.rows
      return #rows > 0 and rows
    end)
    assert.same({ { batch = id, total = 50, succeeded = 47, failed = 3, tag = "x" } }, rows)
    local batch = maru:get("/batch/" .. id).json
    assert.equal(0, batch.pending)
    assert.equal("many", batch.description)
  end)

  it("keeps a batch exact over kill -9", function()
    local before = #maru:get("/finished").json.rows
    local ids = {}
    for round = 1, 3 do
      for _ = 1, 4 do
        local answer = maru:post("/batch", { count = 40, failing = round })
        if answer.status == 201 then
          ids[#ids + 1] = answer.json.id
        end
      end
      server.shell(("kill -9 $(cat /proc/%d/task/%d/children)"):format(maru.pid, maru.pid))
    end
    assert.is_true(#ids > 0, #ids)
    local aside, missing = 0, nil
    local rows = server.wait_for(function()
      for _, dead in ipairs(maru:admin("/jobs?state=dead&limit=500").jobs) do
        if dead.error:find("took the process down", 1, true) then -- it ran at two kills
          maru:admin("/jobs/" .. dead.id .. "/retry", "POST")
          aside = aside + 1
        end
      end
      local answer = maru:get("/finished").json
      local counts, all = {}, answer ~= nil
      for _, row in ipairs(answer and answer.rows or {}) do
        counts[row.batch] = row
      end
      for _, id in ipairs(ids) do
        missing = all and not counts[id] and id or missing
        all = all and counts[id]
      end
      return all and counts
    end, 120)
    assert(rows, ("batch %s did not end"):format(missing) .. maru:logs():sub(-3000))
    for _, id in ipairs(ids) do
      assert.equal(40, rows[id].succeeded + rows[id].failed)
      assert.is_true(rows[id].failed >= 1 and rows[id].failed <= 3 + aside, cjson.encode(rows[id]))
      assert.equal(0, maru:get("/batch/" .. id).json.pending)
    end
    assert.is_true(#maru:get("/finished").json.rows >= before + #ids, #maru:get("/finished").json.rows)
  end)
end)
