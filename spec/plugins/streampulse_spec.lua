--- StreamPulse's jobs and routes over its own tables in SQLite: collect, detect, analyse, show.
local cjson = require("cjson")
local series_store = require("spec.plugins.support.series")
local sqlite = require("spec.plugins.support.sqlite")
local support = require("spec.support.app")

local MIGRATIONS = { "0001_broadcasts.sql", "0002_events.sql", "0003_fence.sql" }
local START = 1790530200

local function live(id, viewers, extra)
  local row = {
    platform = "chzzk", id = "b" .. id, channel_id = "c" .. id, channel_name = "채널 " .. id,
    title = "제목 " .. id, category = "talk", viewers = viewers, started_at = START - 36000,
    adult = false, url = "https://chzzk.naver.com/live/c" .. id,
  }
  for key, value in pairs(extra or {}) do
    row[key] = value
  end
  return row
end

--- A plugin with its world; world.answers[platform] is what its collector answers next.
local function world(config, model)
  local plugin, inside = support.load("streampulse")
  local self = { plugin = plugin, inside = inside, answers = {} }
  local app
  self.series = series_store.new()
  app = support.new({
    plugin = plugin, config = config, now = START, series = self.series, model = model,
    store = sqlite.open("plugins/streampulse", support.read, MIGRATIONS, function()
      return app.jobs
    end),
    call = function(name)
      local answer = self.answers[name:match("^%w+")]
      if not answer.lives then
        return nil, answer.message, answer.code
      end
      return { lives = answer.lives, pages = 1, source = "web", fetched_at = app.now() }
    end,
  })
  self.app = app
  function self.collect(platform, lives)
    self.answers[platform] = lives.code and lives or { lives = lives }
    return plugin.jobs.collect[1](app, { args = { platform = platform }, attempt = 3 })
  end
  function self.later(seconds)
    app.clock = app.clock + (seconds or 300)
  end
  function self.get(route, req)
    req = req or {}
    local declared = plugin.routes["GET " .. route]
    local query = req.query or {}
    for name, field in pairs(declared.query or {}) do
      if query[name] == nil and type(field) == "table" then
        query[name] = field.default
      end
    end
    local status, body = declared[1](app, { query = query, params = req.params or {} })
    return body, status
  end
  return self
end

local function problem(fn)
  local ok, err = pcall(fn)
  assert.is_false(ok)
  return err
end

describe("collect", function()
  it("stores every live in the series and the tables with its exact count", function()
    local w = world()
    local result = w.collect("chzzk", { live(1, 1234), live(2, 56) })
    assert.equal("ok", result.status)
    assert.equal(2, #w.series.points)
    assert.equal(1234, w.series.points[1].viewers)
    local body = w.get("/api/live")
    assert.equal(2, body.total_lives)
    assert.equal(1290, body.total_viewers)
    assert.equal(1234, body.lives[1].viewers)
    assert.equal(cjson.null, body.lives[1].delta)
    assert.equal("live", w.app.published[1].message.event)
    assert.equal(2, w.app.published[1].message.data.changed)
  end)

  it("computes change, moving average and sparkline", function()
    local w = world({ average_window = 2 })
    for _, viewers in ipairs({ 100, 200, 400 }) do
      w.collect("chzzk", { live(1, viewers) })
      w.later()
    end
    local shown = w.get("/api/live").lives[1]
    assert.equal(200, shown.delta)
    assert.equal(300, shown.moving_average)
    assert.same({ 100, 200, 400 }, shown.sparkline)
  end)

  it("keeps one row a channel and forgets a channel that missed one pass only after it", function()
    local w = world()
    w.collect("chzzk", { live(1, 100), live(1, 150, { id = "b9" }) })
    assert.equal(150, w.series.points[1].viewers)
    w.later()
    w.collect("chzzk", { live(2, 10) })
    w.later()
    w.collect("chzzk", { live(1, 160), live(2, 10) })
    local shown = w.get("/api/live").lives[1]
    assert.equal(10, shown.delta)
    assert.same({ 150, 160 }, shown.sparkline)
  end)

  it("ends broadcasts that are gone and notes changed titles", function()
    local w = world()
    w.collect("chzzk", { live(1, 100), live(2, 50) })
    w.later()
    w.collect("chzzk", { live(1, 100, { title = "새 제목" }) })
    local gone = w.app.store:one("select * from broadcasts where channel_id = 'c2'")
    assert.equal(START + 300, gone.ended_at)
    local change = w.app.store:one("select * from changes")
    assert.equal("제목 1", change.old_value)
    assert.equal("새 제목", change.new_value)
  end)

  it("says why a platform has no data and leaves the other alone", function()
    local w = world()
    w.collect("soop", { live(1, 100, { platform = "soop" }) })
    local result = w.collect("chzzk",
      { message = "CHZZK unreachable: could not resolve host", code = "dns" })
    assert.equal("error", result.status)
    local summary = w.get("/api/live/summary")
    assert.equal("error", summary.platforms[1].status)
    assert.equal("CHZZK unreachable: could not resolve host", summary.platforms[1].error)
    assert.equal(cjson.null, summary.platforms[1].collected_at)
    assert.equal("ok", summary.platforms[2].status)
    assert.equal(1, summary.total_lives)
    assert.equal("2026-09-28T02:35:00+09:00", summary.platforms[1].next_at)
  end)

  it("retries a failed pass, but not an open breaker", function()
    local w = world()
    w.answers.chzzk = { message = "CHZZK answered HTTP 429", code = "http_429" }
    local err = problem(function()
      w.plugin.jobs.collect[1](w.app, { args = { platform = "chzzk" }, attempt = 1 })
    end)
    assert.equal("10s", err.retry)
    w.answers.chzzk = { message = "CHZZK answered HTTP 429 (tried 3 times)", code = "open" }
    local result = w.plugin.jobs.collect[1](w.app,
      { args = { platform = "chzzk" }, attempt = 1 })
    assert.equal("open", result.status)
    assert.same({}, w.series.points)
  end)
end)

describe("a start", function()
  local function queued(w)
    w.plugin.start(w.app)
    local names = {}
    for index, job in ipairs(w.app.jobs.list) do
      names[index] = job.name .. " " .. job.args.platform
    end
    return names
  end

  it("collects at once what has not been asked for lately", function()
    assert.same({ "collect chzzk", "collect soop" }, queued(world()))
    local w = world()
    w.collect("chzzk", { live(1, 10) })
    w.app.jobs.list = {}
    assert.same({ "collect soop" }, queued(w))
    w.app.jobs.list = {}
    w.later(241)
    assert.same({ "collect chzzk", "collect soop" }, queued(w))
  end)
end)

describe("the stream", function()
  it("greets, passes everything on and ends with its watcher", function()
    local w, sent = world(), {}
    local waiting = {
      { event = "live", data = { changed = 3 } }, false, { event = "event", data = { id = 1 } },
    }
    w.app.channels.subscribe = function(_, topic)
      assert.equal("streampulse.updates", topic)
      return {
        receive = function()
          local message = table.remove(waiting, 1)
          if message then
            return message, 0
          elseif message == false then
            return nil, "timeout", "timeout"
          end
          return nil, "cancelled", "cancelled"
        end,
      }
    end
    w.app.sse = function(fn)
      return fn({
        send = function(_, event, data)
          sent[#sent + 1] = event
          return data ~= nil
        end,
      })
    end
    w.plugin.routes["GET /api/live/stream"][1](w.app, {})
    assert.same({ "hello", "live", "event" }, sent)
  end)
end)

describe("surges", function()
  local function surge_world(model)
    local w = world(nil, model)
    for step = 1, 8 do
      w.collect("chzzk", { live(1, 1000 + step % 3), live(2, 3000), live(3, 20) })
      w.later()
    end
    w.collect("chzzk", { live(1, 2600, { title = "합방 시작합니다" }), live(2, 3010) })
    w.app.jobs:run(w.plugin)
    return w
  end

  it("become one event each, analysed once, with causes in both languages", function()
    local w = surge_world()
    local body = w.get("/api/events")
    assert.equal(1, #body.events)
    local event = body.events[1]
    assert.equal("c1", event.channel_id)
    assert.equal("ANALYZED", event.status)
    assert.equal(2600, event.viewers)
    assert.equal(1001, event.baseline)
    assert.equal("rule-based", event.analysis.engine)
    assert.truthy(event.analysis.summary.ko:find("1,001명에서 2,600명", 1, true),
      event.analysis.summary.ko)
    local codes = {}
    for _, cause in ipairs(event.analysis.causes) do
      codes[cause.code] = cause
      assert.is_string(cause.en)
    end
    assert.truthy(codes.title_change.ko:find("합방 시작합니다", 1, true))
    assert.truthy(codes.sudden_jump)
    assert.is_true(w.get("/api/live").lives[2].surge)
    assert.equal(1, w.get("/api/live/summary").events_today)
  end)

  it("are published when found and when analysed, and never analysed twice", function()
    local w = surge_world()
    local states = {}
    for _, sent in ipairs(w.app.published) do
      if sent.message.event == "event" then
        states[#states + 1] = sent.message.data.status
      end
    end
    assert.same({ "PENDING", "ANALYZED" }, states)
    assert.equal(1, #w.app.emitted)
    local emitted = w.app.emitted[1]
    assert.same({ "streampulse.surge", emitted.data.platform .. "/" .. emitted.data.channel_id },
      { emitted.topic, emitted.key })
    local result = w.plugin.jobs.analyse[1](w.app, { args = { id = 1 }, attempt = 1 })
    assert.equal("nothing to do", result.result)
  end)

  it("rest for the cooldown", function()
    local w = surge_world()
    w.later()
    w.collect("chzzk", { live(1, 5200), live(2, 3000) })
    w.app.jobs:run(w.plugin)
    assert.equal(1, #w.get("/api/events").events)
  end)

  it("get their analysis back from the sweep when its job was lost", function()
    local w = surge_world()
    w.app.store:exec("update events set status = 'PENDING', analysis = ''")
    w.later()
    assert.equal(1, w.plugin.cron["config:sweep_every"][1](w.app).pushed)
    assert.equal(0, w.plugin.cron["config:sweep_every"][1](w.app).pushed)
    w.app.jobs:run(w.plugin)
    assert.equal("ANALYZED", w.get("/api/events").events[1].status)
  end)

  it("that cannot be analysed are marked after the last try", function()
    local w = surge_world()
    w.app.store:exec("update events set status = 'PENDING', analysis = ''")
    w.app.store:exec("drop table changes")
    w.plugin.jobs.analyse[1](w.app, { args = { id = 1 }, attempt = 1 })
    assert.equal("FAILED", w.get("/api/events").events[1].status)
    local run = w.app.workflows.runs[#w.app.workflows.runs]
    assert.same({ "gather", "failed" }, run.steps)
  end)

  local function answer_of(text, causes, claims)
    return { summary = { ko = text, en = text }, confidence = 0.7, claims = claims or {}, causes = causes or {
      { code = "title_change", weight = 0.8, ko = "제목이 바뀌었습니다.", en = "The title changed." } } }
  end

  --- Parts of a stream that says this object.
  local function saying(object, cost)
    local text = cjson.encode(object)
    local parts = {}
    for from = 1, #text, 20 do
      parts[#parts + 1] = { delta = text:sub(from, from + 19) }
    end
    parts[#parts + 1] = { result = { object = object, provider = "main", model = "gpt", rule_based = false,
      cost = cost or 0.5, currency = "USD", usage = { total = 100 }, steps = 1 } }
    return parts
  end

  it("are explained by a model where there is one, told what is known, with what it cost", function()
    local asked
    local w = surge_world(function(request)
      asked = request
      local tool = request.tools.viewers[1]
      return tool and saying(answer_of("시청자가 1,001명에서 2,600명으로 늘었습니다.", nil,
        { { name = "viewers", value = 2600 }, { name = "ratio", value = 2.6 } }))
    end)
    local event = w.get("/api/events/{id}", { params = { id = 1 } })
    assert.equal("gpt", event.analysis.engine)
    assert.is_false(event.analysis.rule_based)
    assert.equal(0.5, event.analysis.cost)
    assert.equal(100, event.analysis.tokens)
    assert.truthy(asked.messages[1].content:find("합방 시작합니다", 1, true))
    assert.same({ "gather", "ask", "check", "store" }, w.app.workflows.runs[1].steps)
    local shown
    for _, sent in ipairs(w.app.published) do
      shown = sent.message.event == "analysis" and sent.message.data or shown
    end
    assert.equal("시청자가 1,001명에서 2,600명으로 늘었습니다.", shown.ko)
    assert.equal(1, shown.id)
  end)

  it("let the model look up its own series and other surges only", function()
    local series, surges
    local w = surge_world(function(request)
      series, surges = request.tools.viewers[1], request.tools.surges[1]
    end)
    local points = series(w.app, { minutes = 30 })
    assert.equal(2600, points[#points].viewers)
    assert.equal(0, points[#points].minutes_before)
    assert.same({}, surges(w.app, { minutes = 60 }))
  end)

  it("are explained by the rules when the model says twice what the data do not", function()
    local told = {}
    local w = surge_world(function(request)
      told[#told + 1] = request.messages[2] and request.messages[2].content or ""
      return saying(answer_of("시청자가 9,999명으로 늘었습니다."))
    end)
    local analysis = w.get("/api/events/{id}", { params = { id = 1 } }).analysis
    assert.equal("rule-based", analysis.engine)
    assert.is_true(analysis.rule_based)
    assert.equal("claims", analysis.reason)
    assert.equal(1, analysis.cost)
    assert.equal(2, #told)
    assert.truthy(told[2]:find("the number 9999 is not in the data", 1, true), told[2])
    assert.same({ "gather", "ask", "check", "ask", "check", "by_rules", "store" }, w.app.workflows.runs[1].steps)
  end)

  it("are asked about again when the stream breaks, and then by rule", function()
    local tries = 0
    local w = surge_world(function()
      tries = tries + 1
      return { { delta = '{"summary":{"ko":"시' }, { error = "the answer was cut", code = "protocol" } }
    end)
    assert.equal(3, tries)
    assert.equal("failed", w.get("/api/events/{id}", { params = { id = 1 } }).analysis.reason)
  end)

  it("are analysed again when an operator says so, and an older run stores nothing", function()
    local w = surge_world()
    local again = w.plugin.routes["POST /api/events/{id}/analyse"]
    assert.equal("admin", again.auth)
    local before = w.app.store:one("select fence from events where id = 1").fence
    local status, body = again[1](w.app, { params = { id = 1 } })
    assert.equal(202, status)
    assert.equal(2, body.run)
    local row = w.app.store:one("select fence, status from events where id = 1")
    assert.is_true(row.fence > before)
    w.app.cache.fence = 0 -- as one that took its lock before
    again[1](w.app, { params = { id = 1 } })
    assert.equal(row.fence, w.app.store:one("select fence from events where id = 1").fence)
    w.app.workflows.keys["event:1"] = true
    assert.equal(409, problem(function() again[1](w.app, { params = { id = 1 } }) end).status)
    assert.equal(404, problem(function() again[1](w.app, { params = { id = 9 } }) end).status)
  end)

  it("show on the channel's page and in its series", function()
    local w = surge_world()
    local params = { platform = "chzzk", id = "c1" }
    local channel = w.get("/api/channels/{platform}/{id}", { params = params })
    assert.is_true(channel.live)
    assert.equal(2600, channel.peak)
    assert.equal(1, #channel.events)
    local data = w.get("/api/channels/{platform}/{id}/series", { params = params })
    assert.equal(9, #data.at)
    assert.equal(2600, data.viewers[9])
    assert.same({ { event_id = 1, at = START + 2400, viewers = 2600 } }, data.surges)
    params.id = "nobody"
    local err = problem(function() w.get("/api/channels/{platform}/{id}", { params = params }) end)
    assert.equal(404, err.status)
  end)
end)

describe("the recorded viewer series", function()
  local FOLDER = "../shared/data/viewers/"

  --- Replays a recording, one sample of `stride` a collection. @return table[] events
  local function replay(file, stride)
    local w = world({ min_viewers = 30, min_gain = 15 })
    local data = cjson.decode(support.read(FOLDER .. file)).data.concurrentViewers
    for index = 1, #data, stride do
      w.collect("chzzk", { live(1, data[index]) })
      w.app.jobs:run(w.plugin)
      w.later()
    end
    return w.get("/api/events", { query = { limit = 200 } }).events
  end

  for _, stride in ipairs({ 1, 6, 12 }) do
    it("of step-like noise are no event, every " .. stride * 5 .. " s", function()
      assert.same({}, replay("2021-04-20_rqSxHrplZ34_1618877409.json", stride))
      assert.same({}, replay("2021-04-23_wXE4RTBv70M_1619113388.json", stride))
      assert.same({}, replay("2021-04-21_JqYQ5uGxcac_1619005862.json", stride))
    end)
  end

  it("with a jump are one event at the jump", function()
    local found = replay("2021-04-21_2FOWI6zAEy0_1618966989.json", 12)
    assert.equal(1, #found)
    assert.equal(38, found[1].viewers)
    found = replay("2021-04-23_o-3Z4py6Sm4_1619140391.json", 12)
    assert.equal(1, #found)
    assert.equal(41, found[1].viewers)
  end)
end)

describe("the live board", function()
  local function board()
    local w = world()
    local lives = {}
    for index = 1, 12 do
      lives[index] = live(index, 100 + index % 4 * 10, {
        category = index % 2 == 0 and "리그 오브 레전드" or "", started_at = START - index,
      })
    end
    lives[3].title = "Ranked GRIND"
    w.collect("chzzk", lives)
    w.collect("soop", { live(99, 500, { platform = "soop" }) })
    return w
  end

  it("pages through every live once, in any order", function()
    local w = board()
    for _, sort in ipairs({ "viewers", "delta", "started" }) do
      for _, order in ipairs({ "desc", "asc" }) do
        local seen, count, cursor = {}, 0, nil
        repeat
          local body = w.get("/api/live",
            { query = { sort = sort, order = order, limit = 5, cursor = cursor } })
          assert.equal(13, body.total_lives)
          for _, shown in ipairs(body.lives) do
            assert.is_nil(seen[shown.channel_id])
            seen[shown.channel_id], count = true, count + 1
          end
          cursor = body.next ~= cjson.null and body.next or nil
        until not cursor
        assert.equal(13, count)
      end
    end
  end)

  it("filters by platform, category and text, and totals what it filtered", function()
    local w = board()
    assert.equal(1, w.get("/api/live", { query = { platform = "soop" } }).total_lives)
    local lol = w.get("/api/live", { query = { category = "리그 오브 레전드" } })
    assert.equal(6, lol.total_lives)
    assert.equal(1, w.get("/api/live", { query = { q = "grind" } }).total_lives)
    assert.equal(0, w.get("/api/live", { query = { q = "%" } }).total_lives)
  end)

  it("names the field of a foreign cursor", function()
    local w = board()
    for _, cursor in ipairs({ "zz", "6162", "5b5d", "5b312c325d" }) do
      local err = problem(function() w.get("/api/live", { query = { cursor = cursor } }) end)
      assert.equal(422, err.status)
    end
  end)

  it("is read from the tables after a restart", function()
    local w = board()
    local fresh = support.load("streampulse")
    local app = support.new({ plugin = fresh, store = w.app.store, series = w.series, now = START })
    local _, body = fresh.routes["GET /api/live/summary"][1](app, { query = {} })
    assert.equal(13, body.total_lives)
    assert.equal("리그 오브 레전드", body.categories[1].category)
  end)
end)
