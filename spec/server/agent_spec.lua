--- StreamPulse's agent in the real program, asking a stand-in for OpenAI (spec/support/openai.py): one analysis of each
--- surge, seen while it is written, checked against the data, once more when an operator says so.
local cjson = require("cjson")
local openai = require("spec.support.openai")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

--- CHZZK's web list with one channel that jumps at the fifth collection.
local REPLAY = [==[
local M = { name = "replay", version = "1.0.0" }
M.routes = { ["GET /replay/service/v1/lives"] = function(app)
  local step = app.cache:incr("step")
  return 200, { code = 200, message = app.json.null, content = { size = 1, page = app.json.null, data = { {
    liveId = 1001, liveTitle = "마루의 방송", concurrentUserCount = step < 5 and 1000 or 2600,
    openDate = "2026-11-20 12:00:00", adult = false, liveCategoryValue = "talk",
    channel = { channelId = ("%032x"):format(1), channelName = "마루" },
  } } } }
end }
return M
]==]

local function answer(summary, claims)
  return cjson.encode({ summary = summary }):gsub("}$", "") .. "," .. cjson.encode({ confidence = 0.8,
    claims = claims or { { name = "viewers", value = 2600 } },
    causes = { { code = "sudden_jump", weight = 0.7, ko = "한꺼번에 늘었습니다.", en = "All at once." } } }):sub(2)
end

local GOOD = answer({ ko = "시청자가 1,000명에서 2,600명으로 늘었습니다.", en = "Viewers rose from 1,000 to 2,600." })
local INVENTED = answer({ ko = "시청자가 98,765명으로 늘었습니다.", en = "Viewers rose to 98,765." })

local function on_servers()
  local database, store = postgres.start(), redis.start()
  return { database, store }, { "store.driver=postgres", "store.url=" .. database.url, "series.driver=postgres",
    "jobs.driver=postgres", "jobs.url=" .. database.url, "cache.driver=redis", "cache.url=" .. store.url,
    "channels.driver=redis" }
end

local function embedded()
  return {}, {}
end

for _, row in ipairs({ { "embedded", embedded }, { "on PostgreSQL and Redis", on_servers } }) do
  describe("StreamPulse's agent, " .. row[1] .. ",", function()
    local peer, maru, watcher, servers

    setup(function()
      local port = server.free_port()
      peer = openai.start({ script = { { call = "viewers", arguments = { minutes = 60 } },
        { text = GOOD, pause = 0.06 } } })
      local set
      servers, set = row[2]()
      for _, text in ipairs({
        "http.listen=127.0.0.1:" .. port, "plugins.disable=simulator", "development=true",
        "plugins.chzzk.web_base=http://127.0.0.1:" .. port .. "/replay", "plugins.chzzk.page_pause=0",
        'plugins.streampulse.platforms=["chzzk"]', "plugins.streampulse.min_points=2",
        "plugins.streampulse.collect_every=@every 1s", "plugins.streampulse.detect_every=@every 1s",
        "plugins.streampulse.cooldown=3600", "plugins.streampulse.fresh_for=0",
        "model.providers=["
          .. peer:provider("script", { name = "main", price = { input = 1, output = 2 }, rest = "0s" })
          .. "]" }) do
        set[#set + 1] = text
      end
      maru = server.start({ plugins_path = "plugins", plugins = { replay = { ["plugin.lua"] = REPLAY } }, set = set })
      local watch = "curl -sN %s/api/live/stream >%s/stream 2>/dev/null & echo $!"
      watcher = server.shell(watch:format(maru.url, peer.dir)):match("%d+")
    end)

    teardown(function()
      server.shell("kill " .. watcher)
      maru:stop()
      peer:stop()
      for _, one in ipairs(servers) do
        one:stop()
      end
    end)

    local function event()
      local list = maru:get("/api/events").json
      return list and list.events[1]
    end

    --- The event, once its analysis is another than `before`.
    local function analysed(before)
      local found = server.wait_for(function()
        local one = event()
        return one and one.status == "ANALYZED" and one.analysis.analyzed_at ~= before and one
      end)
      return assert(found, maru:logs()).analysis
    end

    --- What watchers were shown, in order.
    local function shown()
      local list = {}
      for data in (server.read_file(peer.dir .. "/stream") or ""):gmatch("event: analysis\ndata: ([^\n]*)") do
        list[#list + 1] = cjson.decode(data)
      end
      return list
    end

    local function again()
      local text = server.shell(("curl -sS -o /dev/null -w '%%{http_code}' -X POST --unix-socket %s/state/admin.sock "
        .. "http://maru/api/events/1/analyse"):format(maru.dir))
      return tonumber(text)
    end

    local function wait_second(analysis)
      local at = os.time()
      server.wait_for(function() return os.time() > at end, 3) -- instants of analyses are whole seconds
      return analysis.analyzed_at
    end

    it("analyses a surge once, looks things up, and is seen while it writes", function()
      local analysis = analysed()
      assert.equal("stand-in-1", analysis.engine)
      assert.is_false(analysis.rule_based)
      assert.equal("main", analysis.provider)
      assert.equal("시청자가 1,000명에서 2,600명으로 늘었습니다.", analysis.summary.ko)
      assert.equal(24, analysis.tokens)
      assert.near((20 * 1 + 4 * 2) / 1e6, analysis.cost, 1e-9)
      local sent = peer:requests()
      assert.equal(2, #sent)
      local last = sent[2].body.messages
      assert.equal("tool", last[#last].role)
      assert.truthy(last[#last].content:find('"viewers":2600', 1, true), last[#last].content)
      local texts, looked = 0, false
      local before = ""
      for _, one in ipairs(shown()) do
        assert.equal(1, one.id)
        looked = looked or one.tool == "viewers"
        if one.ko ~= before and one.ko ~= "" then
          assert.equal(before, one.ko:sub(1, #before))
          texts, before = texts + 1, one.ko
        end
      end
      assert.is_true(looked)
      assert.is_true(texts > 1, texts .. " looks at the text")
      assert.equal(analysis.summary.ko, before)
      local runs
      server.wait_for(function()
        runs = maru:admin("/workflows").workflows
        return runs[1] and runs[1].state ~= "running"
      end)
      assert.equal(1, #runs)
      assert.equal("done", runs[1].state)
    end)

    if row[2] == on_servers then
      return -- what follows asks nothing more of the drivers
    end

    it("is asked again by operators only", function()
      assert.equal(401, maru:post("/api/events/1/analyse").status)
      local before = wait_second(event().analysis)
      peer:say({ { text = GOOD } })
      assert.equal(202, again())
      assert.equal(12, analysed(before).tokens)
    end)

    it("leaves it to the rules when the model invents twice", function()
      local before = wait_second(event().analysis)
      peer:requests()
      peer:say({ { text = INVENTED } })
      assert.equal(202, again())
      local analysis = analysed(before)
      assert.is_true(analysis.rule_based)
      assert.equal("rule-based", analysis.engine)
      assert.equal("claims", analysis.reason)
      assert.is_true(analysis.cost > 0, analysis.cost)
      assert.equal(2, #peer:requests())
    end)

    it("asks again when a stream is cut", function()
      local before = wait_second(event().analysis)
      peer:requests()
      peer:say({ { text = GOOD, cut = true } })
      assert.equal(202, again())
      assert.equal(409, again())
      assert(server.wait_for(function()
        return #peer:requests() > 0
      end))
      peer:say({ { text = GOOD } })
      local analysis = analysed(before)
      assert.equal("stand-in-1", analysis.engine)
      assert.is_true(maru:logs():find("broke off", 1, true) ~= nil)
    end)
  end)
end
