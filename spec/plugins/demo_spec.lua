--- The demo without the host: simulator, collectors and StreamPulse wired together, a step of five
--- seconds at a time; and the simulator's own promises.
local cjson = require("cjson")
local series_store = require("spec.plugins.support.series")
local sqlite = require("spec.plugins.support.sqlite")
local support = require("spec.support.app")

local START = 1790530200
local DEMO = { speed = 30, surge_every = 45 }

--- The simulator as an HTTP server for the other plugins. clock() is the time it runs at.
local function simulator(config, clock)
  local plugin = support.load("simulator")
  local app = support.new({ plugin = plugin, config = config })
  app.now = clock
  app.read = support.read
  return function(url, options)
    local path = url:match("^http://sim(/.*)$")
    local query, parts = {}, {}
    for key, value in pairs(options.query) do
      query[key] = type(value) == "number" and string.format("%.0f", value) or value
      parts[#parts + 1] = key .. "=" .. query[key]
    end
    local status, body = plugin.routes["GET " .. path][1](app, {
      query = query, headers = options.headers or {}, query_string = table.concat(parts, "&"),
    })
    return { status = status, body = body }
  end
end

local BASES = {
  chzzk = { web_base = "http://sim/sim/chzzk", open_base = "http://sim/sim/chzzk", page_pause = 0 },
  soop = { web_base = "http://sim/sim/soop", open_base = "http://sim/sim/soop", page_pause = 0 },
}

local function collector(name, answers, clock, env)
  local plugin = support.load(name)
  local app = support.new({ plugin = plugin, answers = answers, config = BASES[name], env = env })
  app.now = clock
  return function() return plugin.exports.lives(app) end, app
end

local function by_id(pass)
  local map = {}
  for _, live in ipairs(pass.lives) do
    map[live.id] = live
  end
  return map
end

describe("the simulator", function()
  it("gives both lists of both platforms the same lives", function()
    local function clock() return START end
    local answers = simulator(DEMO, clock)
    local keys = { CHZZK_CLIENT_ID = "a", CHZZK_CLIENT_SECRET = "b", SOOP_CLIENT_ID = "c" }
    for name, least in pairs({ chzzk = 120, soop = 140 }) do
      local web = collector(name, answers, clock)()
      local open = collector(name, answers, clock, keys)()
      assert.equal("web", web.source)
      assert.equal("open_api", open.source)
      assert.is_true(#web.lives > least and #web.lives < 2 * least, name .. " " .. #web.lives)
      assert.same(by_id(web), by_id(open))
    end
  end)

  it("is a function of seed and time", function()
    local function clock() return START + 1234 end
    local one = collector("chzzk", simulator(DEMO, clock), clock)()
    local two = collector("chzzk", simulator(DEMO, clock), clock)()
    local three = collector("chzzk", simulator({ speed = 30, seed = 7 }, clock), clock)()
    assert.same(one.lives, two.lives)
    assert.not_same(one.lives, three.lives)
  end)

  it("has lives at every hour and starts in the past", function()
    for hour = 0, 23 do
      local function clock() return START + hour * 3600 end
      local pass = collector("soop", simulator({}, clock), clock)()
      assert.is_true(#pass.lives > 60, "hour " .. hour .. ": " .. #pass.lives)
      for _, live in ipairs(pass.lives) do
        assert.is_true(live.started_at <= clock() and live.started_at > clock() - 86400)
      end
    end
  end)

  it("answers wrongly when told to", function()
    for fault, code in pairs({
      fault_429 = "http_429", fault_html = "html", fault_truncated = "json",
    }) do
      local function clock() return START end
      local answers = simulator({ [fault] = 1 }, clock)
      assert.equal(code, select(3, collector("chzzk", answers, clock)()))
    end
  end)

  it("serves recorded pages as they were", function()
    local fixtures, recorded = "../shared/fixtures/", "../shared/data/recorded/chzzk/"
    local answers = simulator({
      recorded_chzzk = recorded .. "service_v1_lives_popular_20251126.json",
      recorded_soop = fixtures .. "soop/web_main_p1.json:" .. fixtures .. "soop/web_main_p2.json:"
        .. fixtures .. "soop/web_main_last.json",
    }, os.time)
    local pass = collector("chzzk", answers, os.time)()
    assert.equal(20, #pass.lives)
    assert.equal(25909, pass.lives[1].viewers)
    assert.equal(140, #collector("soop", answers, os.time)().lives)
    answers = simulator({
      recorded_chzzk = fixtures .. "chzzk/web_lives_p1.json:" .. fixtures
        .. "chzzk/web_lives_p2.json:" .. fixtures .. "chzzk/web_lives_last.json",
    }, os.time)
    assert.equal(46, #collector("chzzk", answers, os.time)().lives)
  end)
end)

describe("the demo", function()
  local function run(from, seconds)
    local plugin, app, passes = support.load("streampulse"), nil, {}
    local function clock() return app.clock end
    app = support.new({
      plugin = plugin, now = from, series = series_store.new(),
      config = {
        simulated = true, history = 600, max_gap = 60, cooldown = 180, context = 60,
        surge_hold = 90, min_viewers = 300, min_gain = 150,
      },
      store = sqlite.open("plugins/streampulse", support.read,
        { "0001_broadcasts.sql", "0002_events.sql", "0003_fence.sql" }, function() return app.jobs end),
      call = function(name) return passes[name:match("^%w+")]() end,
    })
    local answers = simulator(DEMO, clock)
    passes.chzzk = collector("chzzk", answers, clock)
    passes.soop = collector("soop", answers, clock)
    local first
    for _ = 0, seconds, 5 do
      plugin.cron["config:collect_every"][1](app)
      app.jobs:run(plugin)
      app.jobs.list = {}
      if not first and app.store:one("select 1 as x from events where status = 'ANALYZED'") then
        first = app.clock - from
      end
      app.clock = app.clock + 5
    end
    return app, plugin, first
  end

  it("has an analysed surge within three minutes, whenever it starts", function()
    for trial = 0, 2 do
      local app, plugin, first = run(START + trial * 7777, 175)
      assert.is_number(first, "trial " .. trial)
      assert.is_true(first <= 150, "after " .. first .. " s")
      local _, body = plugin.routes["GET /api/live/summary"][1](app, { query = {} })
      assert.equal(2, #body.platforms)
      assert.is_true(body.platforms[1].lives > 50 and body.platforms[2].lives > 50)
      assert.is_true(body.events_today >= 1 and body.events_today < 25,
        body.events_today .. " events")
    end
  end)

  it("explains what it shows", function()
    local app, plugin = run(START, 240)
    local _, body = plugin.routes["GET /api/events"][1](app, { query = { limit = 50 } })
    for _, event in ipairs(body.events) do
      assert.equal("ANALYZED", event.status)
      assert.is_true(#event.analysis.causes > 0)
      if os.getenv("MARU_SHOW") then
        print(event.viewers, event.baseline, event.zscore, event.analysis.summary.ko)
      end
    end
    assert.equal(cjson.null, body.next)
  end)
end)
