--- Submissions, seen from outside: what comes back, what is refused, and what is kept.
local BASE = "/api/v1/inference/"

local function submit(body, options)
  return test:post(BASE .. "submit", body, options)
end

local function series(n, fn)
  local out = {}
  for i = 1, n do
    out[i] = fn and fn(i) or i
  end
  return out
end

local function get(id)
  return test:get(BASE .. id).json
end

--- How those of the last two hours ended.
local function ends()
  local s, by = test:get(BASE .. "statistics?minutes=120").json, {}
  for _, one in ipairs(s.failed_by) do
    by[one.code] = one.count
  end
  return { completed = s.completed, failed = s.failed, cancelled = s.cancelled, rate = s.success_rate, by = by }
end

--- The first thing that is wrong.
local function refused(body, options)
  local answer = submit(body, options)
  assert.equal(422, answer.status, answer.body)
  assert.equal("application/problem+json", answer.headers["content-type"])
  assert.truthy(answer.json.message)
  local index = answer.json.index
  return answer.json.field, answer.json.code, type(index) == "number" and index or nil
end

local function text(json)
  return { headers = { ["content-type"] = "application/json" }, body = json }
end

describe("a submission", function()
  it("waits in the queue, is computed, and is kept", function()
    local answer = submit({ model_name = "moving_average", data = series(10), metadata = { pattern = "line" },
      options = { window = 4 }, horizon = 3 })
    assert.equal(202, answer.status, answer.body)
    local id = answer.json.id
    assert.same({ id = id, status = "queued", model_name = "moving_average", model_version = "1",
      status_url = BASE .. id }, answer.json)
    local waiting = get(id)
    assert.equal("queued", waiting.status)
    assert.equal(10, waiting.points)
    test:run_jobs()
    local done = get(id)
    assert.equal("completed", done.status)
    assert.same({ pattern = "line" }, done.metadata)
    assert.same({ 1, 1.5, 2, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5 }, done.result.values)
    assert.same({ 8.5, 8.5, 8.5 }, done.result.forecast)
    assert.equal(3, #done.result.bands)
    assert.is_true(done.result.bands[1][1] < 8.5 and done.result.bands[3][1] > 8.5)
    assert.same(series(10), done.result.history)
    assert.equal(4, done.result.window)
  end)

  it("is told to the event stream, and to the log", function()
    local id = submit({ model_name = "moving_average", data = { 1, 2, 3 } }).json.id
    test:run_jobs()
    local events = test:app().events:read("inference_results", { limit = 1000 })
    assert.equal(id, events[#events].data.id)
    assert.equal("completed", events[#events].data.status)
    local lines = test:log("info")
    assert.equal(id, lines[#lines].fields.id)
  end)

  it("is refused with the first thing that is wrong, and where it is", function()
    local cases = {
      { { data = { 1 } }, "model_name", "type" },
      { { model_name = "nobody", data = { 1 } }, "model_name", "unknown_model" },
      { { model_name = "moving_average" }, "data", "type" },
      { { model_name = "moving_average", data = {} }, "data", "empty" },
      { { model_name = "moving_average", data = { 1, 2, "3" } }, "data", "type", 2 },
      { { model_name = "moving_average", data = { 1, { 2 } } }, "data", "type", 1 },
      { { model_name = "moving_average", data = { 1e31 } }, "data", "range", 0 },
      { { model_name = "moving_average", data = { 1, 1.000001e30 } }, "data", "range", 1 },
      { { model_name = "moving_average", data = { 1 }, [("가"):rep(40)] = 1 }, ("가"):rep(33), "unknown" },
      { { model_name = "moving_average", data = { 1 }, metadata = { 1 } }, "metadata", "type" },
      { { model_name = "moving_average", data = { 1 }, colour = 1 }, "colour", "unknown" },
      { { model_name = "moving_average", data = { 1 }, horizon = 1001 }, "horizon", "range" },
      { { model_name = "moving_average", data = { 1 }, options = { window = 0 } }, "options.window", "range" },
      { { model_name = "moving_average", data = { 1 }, options = { widow = 3 } }, "options.widow", "unknown" },
      { { model_name = "moving_average", data = { 1 }, priority = "urgent" }, "priority", "enum" },
      { { model_name = "moving_average", data = { 1 }, deadline = "soon" }, "deadline", "range" },
      { { model_name = "moving_average", data = { 1 }, metadata = "x" }, "metadata", "type" },
      { { model_name = "moving_average", data = { 1 }, metadata = { x = ("x"):rep(20000) } }, "metadata", "too_long" },
      { { model_name = "moving_average", data = { 1 }, callback_url = "ftp://x" }, "callback_url", "url" },
      { { model_name = "moving_average", data = { 1 }, callback_url = "https://example.com" }, "callback_url",
        "unavailable" },
    }
    for _, case in ipairs(cases) do
      local field, code, index = refused(case[1])
      assert.same({ case[2], case[3], case[4] }, { field, code, index })
    end
  end)

  it("is refused with the index of what is no number where the body is no JSON", function()
    local head = '{"model_name":"moving_average","data":['
    for body, expected in pairs({
      [head .. "1, 2, NaN]}"] = { "data", "range", 2 }, [head .. "-Infinity]}"] = { "data", "range", 0 },
      [head .. "1,1e999]}"] = { "data", "range", 1 }, [head .. "1,two]}"] = { "data", "type", 1 },
      [head .. "1,2]"] = { "", "json" }, [""] = { "", "json" }, ["[1,2]"] = { "", "type" },
    }) do
      assert.same(expected, { refused(nil, text(body)) }, body)
    end
    assert.same({ "content-type", "content_type" }, { refused(nil, { body = "x",
      headers = { ["content-type"] = "text/plain" } }) })
  end)

  it("is told in words of JSON what stands where numbers should", function()
    local function said(data)
      return submit(nil, text('{"model_name":"moving_average"' .. data .. "}")).json.message
    end
    for data, kind in pairs({ [""] = "nothing (it is missing)", [',"data":null'] = "null", [',"data":"1"'] = "text",
      [',"data":true'] = "a boolean", [',"data":5'] = "a number", [',"data":{"a":1}'] = "an object" }) do
      assert.equal("data must be an array of numbers, got " .. kind, said(data))
    end
    for item, kind in pairs({ ["null"] = "null", ['"x"'] = "text", ["false"] = "a boolean", ["{}"] = "an object",
      ['{"a":1}'] = "an object", ["[]"] = "an array", ["[2]"] = "an array", ['"x",NaN'] = "text",
      ["[NaN]"] = "an array", ["{},NaN"] = "an object", ["true,NaN"] = "a boolean", [""] = "nothing", ["NaN"] = "NaN",
      ["-inf"] = "-inf", [("x"):rep(30)] = "x", ["가"] = "가", ["\128"] = "what is no text" }) do
      assert.equal("a point must be a number, got " .. kind, said(',"data":[1,' .. item .. "]"))
    end
    assert.equal("a point must be a number, got nothing", submit(nil, text('{"data":[1,')).json.message)
    assert.equal("json", submit(nil, text('{"data":[],')).json.code)
  end)

  it("takes the largest numbers that it says it takes", function()
    local body = '{"model_name":"moving_average","data":[1e30,%s-1e30],"horizon":1}'
    for _, item in ipairs({ "", "1,", '"x",' }) do
      local answer = submit(nil, text(body:format(item)))
      assert.equal(item == '"x",' and 422 or 202, answer.status, answer.body)
    end
    test:run_jobs()
  end)

  it("comes as bytes or as lines, too", function()
    local function send(body, content, query)
      return test:post(BASE .. "submit?model_name=moving_average&horizon=2" .. (query or ""), nil,
        { headers = { ["content-type"] = content }, body = body })
    end
    local one, two, nan = "\0\0\128\63", "\0\0\0\64", "\0\0\192\127"
    local bytes = send(one .. two:rep(5000), "application/octet-stream", "&window=3")
    local lines = send("1\n2\n2.5\n", "application/x-ndjson")
    assert.same({ 202, 202 }, { bytes.status, lines.status }, bytes.body .. lines.body)
    test:run_jobs()
    local long = get(bytes.json.id)
    assert.equal(5001, long.points)
    assert.same({ 2, 2 }, long.result.forecast)
    assert.equal(3, long.result.window)
    assert.equal(1000, #long.result.values)
    assert.equal(48, #long.result.history)
    assert.same({ 1, 2, 2.5 }, get(lines.json.id).result.history)
    for body, expected in pairs({ [one .. nan] = { "type", 1 }, [one:sub(1, 3)] = { "type" }, [""] = { "empty" } }) do
      local answer = send(body, "application/octet-stream")
      assert.same({ 422, expected[1], expected[2] }, { answer.status, answer.json.code,
        type(answer.json.index) == "number" and answer.json.index or nil })
    end
    local line = send("1\n2\nNaN\n", "application/x-ndjson").json
    assert.same({ 2, "a point is not a number as JSON writes it" }, { line.index, line.message })
    assert.equal("empty", send(" \n\n", "application/x-ndjson").json.code)
    assert.equal(422, send("1\n", "application/x-ndjson", "&metadata=1").status)
  end)

  it("of many points is kept apart until it is computed", function()
    local answer = submit({ model_name = "moving_average", data = series(70000) })
    assert.equal(202, answer.status, answer.body)
    assert.equal(1, #test:app().objects:list("input/").objects)
    test:run_jobs()
    assert.equal(70000, get(answer.json.id).points)
    assert.same({ 69998 }, { get(answer.json.id).result.forecast[1] })
    assert.equal(0, #test:app().objects:list("input/").objects)
  end)

  it("with an Idempotency-Key happens once", function()
    local options = { headers = { ["idempotency-key"] = "a1" } }
    local first = submit({ model_name = "moving_average", data = { 1, 2 } }, options)
    assert.equal(202, first.status, first.body)
    test:run_jobs()
    local second = submit({ model_name = "moving_average", data = { 1, 2 } }, options)
    assert.equal(first.json.id, second.json.id)
    assert.equal(0, #test:run_jobs())
    assert.same({ "idempotency-key", "reused" }, { refused({ model_name = "moving_average", data = { 3 } }, options) })
  end)

  it("is cancelled as long as it has not ended", function()
    local id = submit({ model_name = "moving_average", data = { 1, 2 } }).json.id
    assert.same({ id = id, status = "cancelled" }, test:delete(BASE .. id).json)
    test:run_jobs()
    assert.equal("cancelled", get(id).status)
    assert.equal(409, test:delete(BASE .. id).status)
    assert.equal(404, test:delete(BASE .. "999999-0123456789abcdef").status)
  end)

  it("expires at its deadline", function()
    local app = test:app()
    local id = submit({ model_name = "moving_average", data = { 1, 2 }, deadline = "5s" }).json.id
    test.clock:set(app.now() + 60)
    test:run_jobs()
    local view = get(id)
    assert.equal("expired", view.status)
    assert.equal("expired", view.error.code)
    local list = test:get(BASE .. "results?status=expired").json.results
    assert.equal(id, list[1].id)
    local events = app.events:read("inference_results", { limit = 1000 })
    assert.same({ id, "expired" }, { events[#events].data.id, events[#events].data.status })
  end)

  it("is expired from its deadline on for who asks, also before its turn", function()
    local before = ends()
    local id = submit({ model_name = "moving_average", data = { 1, 2 }, deadline = "5s", priority = "low" }).json.id
    test.clock:set(test:app().now() + 4)
    assert.equal("queued", get(id).status)
    test.clock:set(test:app().now() + 2)
    assert.equal("expired", get(id).status)
    test:run_jobs()
    assert.equal("expired", get(id).status)
    assert.equal(before.failed + 1, ends().failed)
  end)

  it("whose job dies has failed, with the reason, also if nobody asks", function()
    local app = test:app()
    local before = ends()
    local args = { k = "0123456789abcdef", m = "moving_average", v = "1", t = app.now(), n = 1, h = 1, b = 5 }
    local job = app.jobs:push("run", args)
    for _ = 1, 4 do
      test:run_jobs()
      test.clock:set(app.now() + 600)
    end
    assert.same({ job }, app.jobs:dead("run"))
    assert.same({}, app.jobs:dead("run", job))
    assert.error_matches(function() app.jobs:dead("notify.send") end, "must be that of a job of this plugin")
    assert.equal(before.failed, ends().failed)
    test.clock:advance("1m")
    local after = ends()
    assert.equal(before.failed + 1, after.failed)
    assert.equal((before.by.dead or 0) + 1, after.by.dead)
    test.clock:advance("2m")
    assert.equal(after.failed, ends().failed)
    local view = test:get(BASE .. "results?status=failed").json.results[1]
    assert.same({ job .. "-0123456789abcdef", "dead" }, { view.id, view.error.code })
    assert.equal(view.id, get(view.id).id)
  end)

  it("that was cancelled is counted by itself", function()
    local before = ends()
    local id = submit({ model_name = "moving_average", data = { 1 } }).json.id
    test:delete(BASE .. id)
    test:run_jobs()
    local after = ends()
    assert.same({ before.completed, before.failed, before.cancelled + 1 },
      { after.completed, after.failed, after.cancelled })
    assert.equal(before.rate, after.rate)
  end)

  it("is not found by a number alone", function()
    local id = submit({ model_name = "moving_average", data = { 1, 2 } }).json.id
    assert.equal(404, test:get(BASE .. id:match("^%d+") .. "-0000000000000000").status)
    assert.equal(404, test:get(BASE .. "nonsense").status)
    test:run_jobs()
  end)
end)

describe("results", function()
  it("are paged, newest first, and filtered", function()
    local ids = {}
    for i = 1, 5 do
      ids[i] = submit({ model_name = "moving_average", data = { i } }).json.id
      test:run_jobs()
    end
    local page = test:get(BASE .. "results?limit=2").json
    assert.same({ ids[5], ids[4] }, { page.results[1].id, page.results[2].id })
    local following = test:get(BASE .. "results?limit=2&cursor=" .. page.next).json
    assert.same({ ids[3], ids[2] }, { following.results[1].id, following.results[2].id })
    assert.equal(0, #test:get(BASE .. "results?model_name=other").json.results)
    assert.equal(422, test:get(BASE .. "results?cursor=x").status)
    assert.equal(422, test:get(BASE .. "results?since=yesterday").status)
    assert.equal(0, #test:get(BASE .. "results?until=2020-01-01T00:00:00Z").json.results)
    assert.equal(0, #test:get(BASE .. "results?until=2020-01-01").json.results)
    assert.equal(422, test:get(BASE .. "results?until=2020-01-32").status)
  end)

  it("of many are submitted and asked for together", function()
    local answer = test:post(BASE .. "batch", { items = {
      { model_name = "moving_average", data = { 1, 2, 3 } },
      { model_name = "moving_average", data = { 1, "x" } },
      { model_name = "moving_average", data = { 4 }, priority = "high", deadline = "1h" },
    } })
    assert.equal(202, answer.status, answer.body)
    local items = answer.json.items
    assert.same({ field = "data", index = 1, code = "type", message = items[2].error.message }, items[2].error)
    test:run_jobs()
    local results = test:get(BASE .. "batch?ids=" .. items[3].id .. "," .. items[1].id .. ",nobody").json.results
    assert.equal(items[3].id, results[1].id)
    assert.equal("completed", results[2].status)
    assert.equal("userdata", type(results[3]))
    assert.equal(422, test:post(BASE .. "batch", { items = {} }).status)
    assert.equal("colour", test:post(BASE .. "batch", { items = { 1 }, colour = 1 }).json.field)
  end)

  it("are counted, with their times", function()
    local now = test:get(BASE .. "statistics?minutes=60").json
    assert.is_true(now.completed >= 5)
    assert.equal(math.floor(now.completed / (now.completed + now.failed) * 10000 + 0.5) / 100, now.success_rate)
    assert.equal(60, #now.per_minute)
    assert.equal("moving_average", now.by_model[1].model_name)
    assert.equal("number", type(now.latency_ms.p99))
    assert.equal(0, now.queue_depth)
    submit({ model_name = "moving_average", data = { 1 } })
    assert.equal(1, test:get(BASE .. "statistics").json.queue_depth)
    test:run_jobs()
    test.clock:advance("2s")
    assert.is_true(test:get(BASE .. "statistics").json.submitted_per_second > 0)
  end)

  it("keep their counts when minutes are put together", function()
    local sums = "select sum(completed) as completed, sum(failed) as failed, sum(cancelled) as cancelled from tallies"
    local before = test:app().store:one(sums)
    assert.is_true(before.failed > 0 and before.cancelled > 0)
    test.clock:advance("4h")
    assert.is_true(test:app().store:one("select count(*) as n from tallies where writer = ''").n > 0)
    assert.same(before, test:app().store:one(sums))
    local reasons = 0
    for _, row in ipairs(test:app().store:all("select reasons from tallies")) do
      for _, n in pairs(test:app().json.decode(row.reasons)) do
        reasons = reasons + n
      end
    end
    assert.equal(before.failed, reasons)
    assert.is_true(test:get(BASE .. "statistics?minutes=15").json.completed == 0)
  end)

  it("are forgotten after a week", function()
    assert.is_true(#test:get(BASE .. "results").json.results > 0)
    test.clock:set(test:app().now() + 9 * 86400)
    test:cron("prune")
    assert.equal(0, #test:get(BASE .. "results").json.results)
    assert.equal(1, #test:app().jobs:dead("run")) -- which is not counted again
    local before = ends().failed
    test:cron("bury")
    assert.same({ 0, before }, { #test:get(BASE .. "results").json.results, ends().failed })
  end)
end)

describe("a back-test", function()
  local function backtest(body)
    local answer = test:post(BASE .. "backtest", body)
    if answer.status ~= 202 then
      return answer
    end
    test:run_jobs()
    return get(answer.json.id).result
  end

  it("finds that a seasonal series is best forecast by its season", function()
    local result = backtest({ data = series(60, function(i) return i % 6 end), horizon = 6, folds = 3, period = 6,
      model_names = { "moving_average" } })
    assert.equal(3, result.folds)
    assert.same({ "seasonal_naive", 0, 0 }, { result.table[1].model, result.table[1].mae, result.table[1].rmse })
    local names = {}
    for i, line in ipairs(result.table) do
      names[i] = line.model
    end
    table.sort(names)
    assert.same({ "last_value", "moving_average", "seasonal_naive" }, names)
  end)

  it("reckons as by hand", function()
    local result = backtest({ data = { 1, 2, 4, 7, 11, 16 }, horizon = 2, folds = 1, period = 1, model_names = {} })
    local by_name = {}
    for _, line in ipairs(result.table) do
      by_name[line.model] = line
    end
    assert.equal(6.5, by_name.last_value.mae) -- 7 for 11 and 16
    assert.equal(3.25, by_name.last_value.mase) -- steps of 1, 2, 3
    assert.is_true(math.abs(by_name.last_value.rmse - math.sqrt((16 + 81) / 2)) < 1e-9)
  end)

  it("refuses what is too short for it", function()
    local answer = backtest({ data = { 1, 2, 3 }, horizon = 24 })
    assert.same({ 422, "too_short" }, { answer.status, answer.json.code })
    assert.equal(422, backtest({ data = series(100), folds = 0 }).status)
    assert.equal("unknown_model", backtest({ data = series(100), model_names = { "x" } }).json.code)
    assert.equal("model_names", backtest({ data = series(100), model_names = { a = "x" } }).json.field)
    assert.equal("metadata", backtest({ data = series(100), metadata = "x" }).json.field)
    assert.equal("metadata", backtest({ data = series(100), metadata = { x = ("x"):rep(20000) } }).json.field)
  end)
end)

describe("the dashboard", function()
  it("is sent the same message every two seconds", function()
    submit({ model_name = "moving_average", data = { 1, 2 } })
    test:run_jobs()
    local one, two = test:socket("/api/v1/dashboard/ws"), test:socket("/api/v1/dashboard/ws")
    local function next_of(socket)
      return assert(socket:receive_json("5s"))
    end
    next_of(one)
    next_of(two)
    local a, b = next_of(one), next_of(two)
    assert.same(a, b)
    assert.equal("update", a.type)
    assert.truthy(a.timestamp:match("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d$"))
    local s = a.statistics
    assert.equal(s.total_jobs, s.completed + s.failed)
    assert.is_true(s.failed > 0)
    assert.equal(math.floor(s.completed / s.total_jobs * 10000 + 0.5) / 100, s.success_rate)
    assert.equal("completed", a.recent_results[1].status)
    assert.not_equal(a.timestamp, next_of(one).timestamp)
  end)
end)

describe("models", function()
  it("say what they are good for", function()
    local models = test:get("/api/v1/models").json.models
    local average
    for _, model in ipairs(models) do
      average = model.name == "moving_average" and model or average
    end
    assert.equal("1", average.current)
    assert.equal("shipped", average.versions[1].source)
    assert.truthy(average.note.ko and average.note.en)
  end)

  it("are changed by operators only", function()
    for _, path in ipairs({ "current", "shadow" }) do
      assert.equal(401, test:post("/api/v1/models/moving_average/" .. path, { version = "1" }).status)
      assert.equal(409, test:post("/api/v1/models/moving_average/" .. path, { version = "2" },
        { as = "operator" }).status)
    end
    assert.equal(404, test:post("/api/v1/models/nobody/current", { version = "1" }, { as = "operator" }).status)
    assert.equal(401, test:put("/api/v1/models/x/versions/1", "x").status)
  end)
end)

describe("a model of a file", function()
  local function wave(n)
    return series(n, function(i) return 20 + 5 * math.sin(i * math.pi / 12) end)
  end

  it("forecasts, with bands around its median", function()
    for _, name in ipairs({ "lstm_timeseries", "nlinear_timeseries" }) do
      local id = submit({ model_name = name, data = wave(400) }).json.id
      test:run_jobs()
      local view = get(id)
      assert.equal("completed", view.status, test:app().json.encode(view))
      local result = view.result
      assert.same({ 24, 24, 3, 48 }, { result.horizon, #result.forecast, #result.bands, #result.history })
      assert.same(result.forecast, result.bands[2])
      for i = 1, 24 do
        assert.is_true(result.bands[1][i] <= result.forecast[i] and result.forecast[i] <= result.bands[3][i])
        assert.is_true(math.abs(result.forecast[i] - (20 + 5 * math.sin((400 + i) * math.pi / 12))) < 4, name)
      end
    end
  end)

  it("says which baselines it beats, and how many points it needs", function()
    for _, model in ipairs(test:get("/api/v1/models").json.models) do
      if model.kind ~= "moving_average" then
        assert.truthy(model.note.en:find("seasonal naive", 1, true) and model.note.ko:find("계절", 1, true))
        assert.equal(64, #model.versions[1].sha256)
        assert.same({ "data", "too_short", model.min_points - 1 },
          { refused({ model_name = model.name, data = wave(model.min_points - 1) }) })
      end
    end
    local long = { model_name = "lstm_timeseries", data = wave(100), horizon = 100000 }
    assert.same({ "horizon", "range" }, { refused(long) })
  end)

  it("stands in a back-test beside the baselines", function()
    local answer = test:post(BASE .. "backtest", { data = wave(600), horizon = 24, folds = 4, period = 24 })
    test:run_jobs()
    local result, names = get(answer.json.id).result, {}
    for _, line in ipairs(result.table) do
      names[line.model] = line
    end
    assert.truthy(names.lstm_timeseries and names.nlinear_timeseries, test:app().json.encode(result))
    assert.is_true(names.nlinear_timeseries.mae < names.last_value.mae)
  end)
end)

describe("a version", function()
  local NAME = "lstm_timeseries"

  --- The shipped file, as another version of itself: the text of its head has room for nothing else.
  local function file_of(version)
    local bytes = assert(test:app().file("models/" .. NAME .. ".safetensors"))
    local changed, n = bytes:gsub('\\"version\\": ?\\"1\\"', function(found)
      return (found:gsub("1", version))
    end, 1)
    assert.equal(1, n)
    return changed
  end

  local function upload(version, bytes)
    return test:put("/api/v1/models/" .. NAME .. "/versions/" .. version, nil, { as = "operator", body = bytes,
      headers = { ["content-type"] = "application/octet-stream" } })
  end

  local function choose(what, version)
    return test:post("/api/v1/models/" .. NAME .. "/" .. what, { version = version }, { as = "operator" })
  end

  it("is uploaded, checked, and never changed", function()
    local answer = upload("2", file_of("2"))
    assert.equal(201, answer.status, answer.body)
    assert.equal("1", answer.json.current)
    assert.equal("uploaded", answer.json.versions[2].source)
    assert.equal(409, upload("2", file_of("2")).status)
    assert.equal(422, upload("3", file_of("4")).status)
    assert.equal(422, upload("3", "no model").status)
    assert.equal(422, upload("3", file_of("3"):sub(1, 5000)).status)
    assert.equal(409, upload("1", file_of("1")).status)
  end)

  it("runs beside the one that answers, and is compared with it", function()
    assert.equal(422, choose("shadow", "1").status)
    assert.equal(422, choose("shadow", "9").status)
    assert.equal("2", choose("shadow", "2").json.shadow)
    test.clock:advance("2s") -- other threads see it within a second
    local data = series(400, function(i) return i % 24 end)
    local id = submit({ model_name = NAME, data = data }).json.id
    test:run_jobs()
    assert.equal("1", get(id).model_version)
    local found = test:get("/api/v1/models/" .. NAME .. "/comparison").json.comparisons[1]
    assert.truthy(found, test:app().json.encode(test:log("warn")))
    assert.same({ "1", "2", 1, 0, 1 }, { found.current, found.shadow, found.series, found.failed, found.judged })
    assert.is_true(found.largest_difference < 1e-4) -- the same weights; what is shown is rounded
    assert.equal(found.mae_current, found.mae_shadow)
  end)

  it("takes over from the next submission on, and hands back", function()
    local before = submit({ model_name = NAME, data = series(100) }).json
    assert.equal("2", choose("current", "2").json.current)
    local after = submit({ model_name = NAME, data = series(100) }).json
    assert.same({ "1", "2" }, { before.model_version, after.model_version })
    test:run_jobs()
    assert.same({ "completed", "completed" }, { get(before.id).status, get(after.id).status })
    assert.equal("1", choose("current", "1").json.current)
    assert.is_nil(choose("shadow", test:app().json.null).json.shadow == "2" or nil)
  end)
end)
