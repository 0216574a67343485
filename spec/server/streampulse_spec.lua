--- StreamPulse in the real program: recorded answers served on loopback, every live in the series
--- with its exact count; recorded viewer counts replayed: the jump is an event, the noise is none.
local cjson = require("cjson")
local server = require("spec.support.server")

local SHARED = server.shell("cd ../shared && pwd"):gsub("%s+$", "")
local RECORDED = SHARED .. "/data/recorded/chzzk/service_v1_lives_popular_20251126.json"
local SOOP_PAGES = SHARED .. "/fixtures/soop/web_main_p1.json:" .. SHARED .. "/fixtures/soop/web_main_p2.json:"
  .. SHARED .. "/fixtures/soop/web_main_last.json"

local function settings(port, chzzk)
  return {
    "http.listen=127.0.0.1:" .. port, "plugins.disable=", "development=true",
    "plugins.chzzk.web_base=http://127.0.0.1:" .. port .. chzzk,
    "plugins.soop.web_base=http://127.0.0.1:" .. port .. "/sim/soop",
    "plugins.chzzk.page_pause=0", "plugins.soop.page_pause=0",
    "plugins.streampulse.collect_every=@every 1s", "plugins.streampulse.detect_every=@every 1s",
  }
end

--- Rows of recorded SOOP pages, without their repeats: user_id → total_view_cnt.
local function soop_counts()
  local counts = {}
  for path in SOOP_PAGES:gmatch("[^:]+") do
    for _, item in ipairs(cjson.decode(server.read_file(path)).broad) do
      local seen = tonumber(item.total_view_cnt)
      counts[item.user_id] = math.max(counts[item.user_id] or 0, seen)
    end
  end
  return counts
end

describe("recorded answers", function()
  local maru

  setup(function()
    local port = server.free_port()
    local set = settings(port, "/sim/chzzk")
    set[#set + 1] = "plugins.simulator.recorded_chzzk=" .. RECORDED
    set[#set + 1] = "plugins.simulator.recorded_soop=" .. SOOP_PAGES
    maru = server.start({ plugins_path = "plugins", set = set })
    assert(server.wait_for(function()
      local summary = maru:get("/api/live/summary").json
      return summary and summary.platforms[1].lives > 0 and summary.platforms[2].lives > 0
    end), "no collection:\n" .. maru:logs())
  end)

  teardown(function()
    maru:stop()
  end)

  local function board(platform)
    local lives, cursor = {}, nil
    repeat
      local page = maru:get("/api/live?limit=200&platform=" .. platform
        .. (cursor and "&cursor=" .. cursor or "")).json
      for _, live in ipairs(page.lives) do
        lives[live.channel_id] = live
      end
      cursor = page.next ~= cjson.null and page.next or nil
    until not cursor
    return lives
  end

  --- The newest point of the channel's line.
  local function newest(platform, id)
    local series = maru:get("/api/channels/" .. platform .. "/" .. id .. "/series").json
    return series.viewers[#series.viewers]
  end

  it("put every CHZZK live on the board and into the series with its exact count", function()
    local lives, count = board("chzzk"), 0
    for _, item in ipairs(cjson.decode(server.read_file(RECORDED)).content.data) do
      local live = lives[item.channel.channelId]
      assert.truthy(live, item.channel.channelName)
      assert.equal(item.concurrentUserCount, live.viewers)
      assert.equal(item.liveTitle, live.title)
      assert.equal(item.concurrentUserCount, newest("chzzk", item.channel.channelId))
      count = count + 1
    end
    assert.equal(20, count)
    for _ in pairs(lives) do
      count = count - 1
    end
    assert.equal(0, count)
  end)

  it("put every SOOP live on the board and into the series with its exact count", function()
    local lives, expected = board("soop"), soop_counts()
    local found = 0
    for id, viewers in pairs(expected) do
      assert.truthy(lives[id], id)
      assert.equal(viewers, lives[id].viewers)
      assert.equal(viewers, newest("soop", id))
      found = found + 1
    end
    assert.is_true(found > 50)
  end)

  it("filter, sort and page", function()
    local all = maru:get("/api/live?limit=5").json
    assert.equal(5, #all.lives)
    assert.is_true(all.lives[1].viewers >= all.lives[2].viewers)
    local following = maru:get("/api/live?limit=5&cursor=" .. all.next).json
    assert.is_true(following.lives[1].viewers <= all.lives[5].viewers)
    local least = maru:get("/api/live?order=asc&limit=1").json.lives[1]
    assert.is_true(least.viewers <= following.lives[5].viewers)
  end)

  it("refuse what was not asked for, naming each wrong field", function()
    local answer = maru:get("/api/live?limit=1000&colour=red")
    assert.equal(422, answer.status)
    assert.equal("application/problem+json", answer.headers["content-type"])
    local fields = {}
    for _, wrong in ipairs(answer.json.errors) do
      fields[wrong.field] = wrong.message
    end
    assert.truthy(fields["query.limit"], answer.body)
    assert.truthy(fields["query.colour"], answer.body)
    assert.equal(404, maru:get("/api/channels/chzzk/nobody").status)
  end)
end)

local REPLAY = [==[
--- CHZZK's web list with one channel a recording, one sample further at every collection.
local M = { name = "replay", version = "1.0.0" }

M.config = { files = { type = "string" }, stride = { type = "integer", default = 12 } }
M.allow = { fs = { "config:files" } }

local series

local function load(app)
  local list = {}
  for path in app.config.files:gmatch("[^:]+") do
    list[#list + 1] = app.json.decode(assert(app.read(path))).data.concurrentViewers
  end
  return list
end

M.routes = {
  ["GET /replay/service/v1/lives"] = function(app)
    series = series or load(app)
    local step, data = app.cache:incr("step") - 1, {}
    for index, counts in ipairs(series) do
      local at = math.min(1 + step * app.config.stride, #counts)
      data[index] = {
        liveId = 1000 + index, liveTitle = "replay " .. index, concurrentUserCount = counts[at],
        openDate = "2026-11-20 12:00:00", adult = false, liveCategoryValue = "talk",
        channel = { channelId = ("%032x"):format(index), channelName = "replay " .. index },
      }
    end
    return 200, { code = 200, message = app.json.null,
      content = { size = #data, page = app.json.null, data = data } }
  end,
  ["GET /replay/step"] = function(app)
    return 200, { step = app.cache:get("step") or 0 }
  end,
}

return M
]==]

describe("the recorded viewer counts", function()
  it("are one event at the jump and none in step-like noise", function()
    local jump, folder = 1, SHARED .. "/data/viewers/"
    local files = { "2021-04-23_o-3Z4py6Sm4_1619140391.json", "2021-04-20_rqSxHrplZ34_1618877409.json",
      "2021-04-23_wXE4RTBv70M_1619113388.json" }
    local port = server.free_port()
    local set = settings(port, "/replay")
    for index, file in ipairs(files) do
      files[index] = folder .. file
    end
    set[#set + 1] = "plugins.replay.files=" .. table.concat(files, ":")
    set[#set + 1] = "plugins.streampulse.min_viewers=30"
    set[#set + 1] = "plugins.streampulse.min_gain=15"
    set[#set + 1] = "plugins.disable=simulator"
    local maru = server.start({ plugins = { replay = { ["plugin.lua"] = REPLAY } }, plugins_path = "plugins",
      set = set })
    finally(function()
      maru:stop()
    end)
    assert(server.wait_for(function()
      local answer = maru:get("/replay/step").json
      return answer and answer.step > 21
    end, 60), maru:logs())
    local events = server.wait_for(function()
      local found = maru:get("/api/events").json.events
      return found[1] and found[1].status == "ANALYZED" and found
    end)
    assert(events, "no analysed event:\n" .. maru:logs())
    assert.equal(1, #events)
    assert.equal(("%032x"):format(jump), events[1].channel_id)
    assert.is_true(events[1].viewers >= 41, events[1].viewers) -- at the jump; a look that comes late sees more
    assert.equal("rule-based", events[1].analysis.engine)
    assert.truthy(events[1].analysis.summary.ko ~= "" and events[1].analysis.summary.en ~= "")
  end)
end)
