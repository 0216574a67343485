--- What operators see and change of queues and jobs, by the admin API.
local cjson = require("cjson")
local server = require("spec.support.server")

local WORK = { ["plugin.lua"] = [[
local M = { name = "work", version = "1.0.0" }
M.jobs = {
  fine = { queue = "mail", function(app, job) return { sent = job.args.to } end },
  quiet = { queue = "mail", function() end },
  fails = { queue = "mail", retries = 0, function(app, job) error("no route to " .. job.args.to) end },
  slow = { queue = "slow", timeout = "1m", function(app, job)
    app.jobs:progress(0.25, "page 1")
    app.sleep(30)
  end },
}
M.routes = {
  ["POST /push"] = { body = { name = "string", count = "integer", to = "string", delay = "string?" }, function(app, req)
    for i = 1, req.body.count do
      app.jobs:push(req.body.name, { to = req.body.to, n = i }, { delay = req.body.delay })
    end
    return 200, {}
  end },
}
return M
]] }

local function find(list, key, value)
  for _, row in ipairs(list) do
    if row[key] == value then
      return row
    end
  end
end

describe("the monitor", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { work = WORK } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function push(name, count, to, delay)
    assert.equal(200, maru:post("/push", { name = name, count = count, to = to, delay = delay }).status)
  end

  local function queue(name)
    return find(maru:admin("/queues"), "queue", name)
  end

  it("tells what queues do", function()
    push("fine", 20, "kim")
    push("fails", 3, "nowhere")
    local mail = server.wait_for(function()
      local row = queue("mail")
      return row and row.done_total == 20 and row.dead == 3 and row
    end)
    assert.equal(3, mail.failed_total)
    assert.equal(0, mail.oldest_s)
    assert.is_number(mail.per_second.pushed)
  end)

  it("tells what they did, by the second", function()
    local function sum(list)
      local n = 0
      for _, value in ipairs(list) do
        n = n + value
      end
      return n
    end
    local rates = server.wait_for(function()
      local found = maru:admin("/jobs/rates?queue=mail")
      return sum(found.seconds.done) == 20 and sum(found.seconds.failed) == 3 and found
    end)
    assert.equal(23, sum(rates.seconds.pushed))
    assert.equal(1, rates.seconds.step)
    assert.equal(60, rates.minutes.step)
    assert.equal(#rates.seconds.pushed, #rates.seconds.wait_p99_ms)
    assert.equal(23, sum(maru:admin("/jobs/rates").seconds.pushed))
    assert.equal(404, maru:admin("/jobs/rates?queue=nobody").status)
    local since = rates.seconds.from + 5
    assert.equal(since, maru:admin("/jobs/rates?queue=mail&since=" .. since).seconds.from)
    for path, name in pairs({ ["/jobs/rates?since=yesterday"] = "since", ["/jobs?limit=ten"] = "limit",
      ["/workflows?after=x"] = "after", ["/workflows?limit=1.5"] = "limit", ["/audit?limit=%20"] = "limit",
      ["/logs?limit=all"] = "limit", ["/jobs?count=yes"] = "count" }) do
      local problem = maru:admin(path)
      assert.equal(400, problem.status, path)
      assert.equal("query." .. name .. " must be a whole number", problem.detail)
    end
  end)

  it("finds jobs by state, queue, kind and words, page by page", function()
    push("fine", 5, "tomorrow", "24h")
    local dead = maru:admin("/jobs?state=dead&q=route%20NOWHERE")
    assert.equal(3, #dead.jobs)
    assert.truthy(dead.jobs[1].error:find("no route to nowhere", 1, true))
    assert.equal(0, #maru:admin("/jobs?state=dead&q=kim").jobs)
    assert.equal(0, #maru:admin("/jobs?queue=nobody").jobs)
    local counted = maru:admin("/jobs?kind=work.fine&state=delayed&count=1")
    assert.equal(5, #counted.jobs)
    assert.equal(20, counted.counts.done)
    assert.equal(5, counted.counts.delayed)
    assert.equal(0, counted.counts.dead)
    local seen, after, n = {}, "", 0
    repeat
      local page = maru:admin("/jobs?limit=4&after=" .. after)
      for _, job in ipairs(page.jobs) do
        assert.is_nil(seen[job.id])
        seen[job.id], n = true, n + 1
      end
      after = page.next
    until type(after) ~= "string"
    assert.equal(28, n)
    assert.equal(400, maru:admin("/jobs?after=yesterday").status)
  end)

  it("shows with what finished jobs were called, and finds them by it", function()
    maru:post("/push", { name = "fine", count = 2, to = "order-4711" })
    maru:post("/push", { name = "quiet", count = 2, to = "order-4712" })
    local function found(words)
      local list = maru:admin("/jobs?state=done&q=" .. words).jobs
      return #list == 2 and list
    end
    for _, order in ipairs({ "order-4711", "order-4712" }) do
      local list = assert(server.wait_for(function()
        return found(order)
      end), order)
      for _, job in ipairs(list) do
        assert.equal(order, job.args.to)
        assert.equal(order, maru:admin("/jobs/" .. job.id).args.to)
      end
      assert.equal(2, maru:admin("/jobs?state=done&count=1&q=" .. order).counts.done)
    end
    assert.is_true(maru:restart())
    assert.equal("order-4712", found("order-4712")[1].args.to)
    assert.equal("order-4711", found("order-4711")[1].args.to)
  end)

  it("tells what runs where", function()
    push("slow", 2, "x")
    local running = server.wait_for(function()
      local found = {}
      for _, lane in ipairs(maru:admin("/workers")) do
        assert.is_true(lane.capacity >= 1 and #lane.node > 0 and #lane.lane > 0)
        for _, run in ipairs(lane.running) do
          found[#found + 1] = run
        end
      end
      return #found == 2 and found
    end)
    assert.equal("work.slow", running[1].kind)
    assert.equal(1, running[1].attempt)
    assert.truthy(server.wait_for(function()
      local job = maru:admin("/jobs/" .. running[1].id)
      return job.progress == 0.25 and job.message == "page 1"
    end))
    assert.truthy(server.wait_for(function()
      for _, lane in ipairs(maru:admin("/workers")) do
        for _, run in ipairs(lane.running) do
          if run.progress == 0.25 and run.message == "page 1" then
            return true
          end
        end
      end
    end))
    assert.truthy(running[1].started_at:match("^%d+%-%d+%-%d+T"))
    assert.is_true(maru:admin("/jobs/" .. running[1].id .. "/cancel", "POST").ok)
    assert.is_true(maru:admin("/jobs/" .. running[2].id .. "/cancel", "POST").ok)
    server.wait_for(function()
      return queue("slow").running == 0
    end)
  end)

  it("pauses a queue and lets it go on", function()
    assert.is_true(maru:admin("/queues/mail/pause", "POST").ok)
    assert.is_true(queue("mail").paused)
    push("fine", 3, "later")
    assert.equal(3, server.wait_for(function()
      local row = queue("mail")
      return row.ready == 3 and row.ready
    end))
    assert.is_true(maru:admin("/queues/mail/resume", "POST").ok)
    server.wait_for(function()
      return queue("mail").ready == 0
    end)
    assert.is_false(queue("mail").paused)
    assert.equal(404, maru:admin("/queues/nobody/pause", "POST").status)
    local audit = server.wait_for(function()
      return find(maru:admin("/audit").entries, "action", "queue.resume")
    end)
    assert.equal("mail", audit.target)
  end)

  it("sets a queue's limits, and takes them back", function()
    local limits = { concurrency = 2, rate = "1000/m", weight = 3, key_rate = "5/d" }
    assert.is_true(maru:admin("/queues/slow/limits", "POST", limits).ok)
    local row = queue("slow")
    assert.equal(2, row.concurrency)
    assert.equal("1000/m", row.rate)
    assert.equal(3, row.weight)
    assert.equal("5/d", row.key_rate)
    assert.equal(cjson.null, row.key_concurrency)
    assert.equal(cjson.null, row.declared.concurrency)
    assert.is_true(maru:admin("/queues/slow/limits", "POST", { concurrency = cjson.null, weight = cjson.null }).ok)
    row = queue("slow")
    assert.equal(cjson.null, row.concurrency)
    assert.equal(1, row.weight)
    assert.equal("1000/m", row.rate)
    assert.equal(400, maru:admin("/queues/slow/limits", "POST", { rate = "fast" }).status)
    assert.equal(400, maru:admin("/queues/slow/limits", "POST", { concurrency = "many" }).status)
    assert.equal(400, maru:admin("/queues/slow/limits", "POST", { weight = 0 }).status)
    assert.is_true(maru:admin("/queues/slow/limits", "POST", { rate = cjson.null, key_rate = cjson.null }).ok)
  end)

  it("changes all that match, after counting them", function()
    local function bulk(action, filter, dry)
      return maru:admin("/jobs/bulk", "POST", { action = action, filter = filter, dry = dry })
    end
    assert.same({ matched = 3, changed = 0 }, bulk("retry", { state = "dead", q = "nowhere" }, true))
    assert.same({ matched = 3, changed = 3 }, bulk("retry", { state = "dead", q = "nowhere" }, false))
    server.wait_for(function()
      return queue("mail").dead == 3 and queue("mail").failed_total == 6
    end)
    local one = maru:admin("/jobs?state=dead&limit=1").jobs[1].id
    assert.is_true(maru:admin("/jobs/" .. one .. "/discard", "POST").ok)
    assert.equal(404, maru:admin("/jobs/" .. one, "GET").status)
    assert.same({ matched = 2, changed = 2 }, bulk("discard", { state = "dead" }, false))
    assert.same({ matched = 5, changed = 5 }, bulk("cancel", { q = "tomorrow" }))
    assert.equal(0, queue("mail").dead)
    assert.equal(400, bulk("retry", {}, false).status)
    assert.equal(400, bulk("forget", { state = "dead" }, false).status)
    assert.equal(400, bulk("retry", { state = "done" }, false).status)
    local lines = 0
    for _, entry in ipairs(maru:admin("/audit").entries) do
      lines = lines + (entry.action == "jobs.bulk" and entry.result == "200 ok" and 1 or 0)
    end
    assert.equal(3, lines)
  end)

  it("does the same by command", function()
    local function maru_says(arguments, status)
      local output, code = maru:command_output(arguments)
      assert.equal(status or 0, code, output)
      return output
    end
    push("fails", 2, "mars")
    server.wait_for(function()
      return queue("mail").dead == 2
    end)
    assert.truthy(maru_says("queues"):match("queue%s+oldest_s%s+ready"))
    assert.truthy(maru_says("jobs --state dead --search 'route mars'"):find("no route to mars", 1, true))
    assert.is_nil(maru_says("jobs list done --kind work.fails"):find("work.fails", 1, true))
    assert.truthy(maru_says("jobs list dead --state done", 2):find("'dead' or --state 'done', not both", 1, true))
    assert.equal("2 match", maru_says("jobs retry --all --state dead --queue mail --dry"):match("^[^\n]+"))
    assert.equal("2 match, 2 changed", maru_says("jobs discard --all --search mars"):match("^[^\n]+"))
    push("fails", 1, "mars")
    local id = server.wait_for(function()
      local job = maru:admin("/jobs?state=dead").jobs[1]
      return job and job.id
    end)
    local shown = maru_says("jobs show " .. id)
    assert.truthy(shown:match("state%s+dead") and shown:match("args%.to%s+mars") and shown:match("attempt 1"), shown)
    assert.equal("dead", cjson.decode(maru_says("jobs show " .. id .. " --json")).state)
    maru_says("jobs discard " .. id)
    maru_says("jobs show " .. id, 1)
    maru_says("jobs retry 999999", 1)
    maru_says("jobs retry", 2)
    maru_says("jobs retry --all", 2)
    maru_says("queues pause mail")
    assert.is_true(queue("mail").paused)
    maru_says("queues resume mail")
    assert.is_false(queue("mail").paused)
    maru_says("queues limit mail concurrency=2 rate=50/s")
    assert.equal("50/s", queue("mail").rate)
    maru_says("queues limit mail concurrency= rate=")
    assert.equal(cjson.null, queue("mail").concurrency)
    maru_says("queues limit mail speed=3", 2)
    maru_says("queues pause nobody", 1)
    push("slow", 1, "x")
    server.wait_for(function()
      return maru_says("workers"):find("work.slow", 1, true)
    end)
    maru_says("jobs cancel --all --kind work.slow")
  end)

  it("tells why a job does not run", function()
    local function why(id)
      return maru:admin("/jobs/" .. id).why[1]
    end
    push("fine", 1, "someday", "24h")
    local later = maru:admin("/jobs?state=delayed&limit=1").jobs[1]
    assert.equal("not_due", why(later.id).code)
    assert.equal(later.run_at, why(later.id)["until"])
    assert.is_true(maru:admin("/queues/slow/limits", "POST", { concurrency = 1 }).ok)
    push("slow", 2, "y")
    local waits = server.wait_for(function()
      local found = maru:admin("/jobs?state=ready&queue=slow").jobs
      return #found == 1 and found[1].id
    end)
    assert.same({ code = "queue_full", running = 1, limit = 1 }, why(waits))
    assert.is_true(maru:admin("/queues/slow/pause", "POST").ok)
    assert.equal("paused", why(waits).code)
    assert.is_true(maru:admin("/queues/slow/resume", "POST").ok)
    local hourly = { concurrency = cjson.null, rate = "1/h" }
    assert.is_true(maru:admin("/queues/slow/limits", "POST", hourly).ok)
    push("slow", 2, "z")
    server.wait_for(function()
      local found = maru:admin("/jobs?state=ready&queue=slow").jobs[1]
      local reason = found and why(found.id)
      return reason and reason.code == "queue_rate" and reason["until"]:match("^%d+%-")
    end)
    assert.equal(0, #maru:admin("/jobs/" .. maru:admin("/jobs?state=done&limit=1").jobs[1].id).why)
    assert.is_true(maru:admin("/queues/slow/limits", "POST", { rate = cjson.null }).ok)
    maru:admin("/jobs/bulk", "POST", { action = "cancel", filter = { queue = "slow" } })
    server.wait_for(function()
      return queue("slow").running + queue("slow").ready == 0
    end)
  end)

  it("prints metrics of every queue", function()
    local text = maru:get("/metrics").body
    for _, name in ipairs({ 'maru_queue_oldest_seconds{queue="mail"} 0', 'maru_queue_paused{queue="mail"} 0',
      'maru_jobs_rate_limited_total{queue="slow"}', 'maru_jobs_expired_total{queue="slow"} 0',
      'maru_jobs{queue="mail",state="dead"} 0',
      "maru_jobs_commit_seconds_count", "maru_jobs_commit_rows_total", "maru_jobs_stale_total" }) do
      assert.truthy(text:find(name, 1, true), name .. " is not in /metrics")
    end
  end)
end)
