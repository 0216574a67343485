--- The log, searched: by the admin API and by `maru logs`, embedded and in Elasticsearch.
local cjson = require("cjson")
local elastic = require("spec.support.elastic")
local server = require("spec.support.server")

local PLUGIN = [==[
local M = { name = "noisy", version = "1.0.0" }
M.routes = {
  ["POST /log"] = function(app, req)
    local body = req:json()
    for i = 1, body.n or 1 do
      app.log[body.level](app.log, body.message, body.fields)
    end
    return 200, {}
  end,
}
return M
]==]

local DRIVERS = {
  fts = function()
    return { settings = {}, close = function() end }
  end,
  elasticsearch = function()
    local standin = elastic.start()
    return { standin = standin, settings = { "search.driver=elasticsearch", "search.url=" .. standin.url },
      close = function()
        assert.equal("", standin:errors())
        standin:stop()
      end }
  end,
}

for name, open in pairs(DRIVERS) do
  describe("logs.search on " .. name, function()
    local maru, backend

    local function start(settings)
      local set = { "logs.search=true" }
      for _, list in ipairs({ backend.settings, settings or {} }) do
        for _, text in ipairs(list) do
          set[#set + 1] = text
        end
      end
      maru = server.start({ plugins = { noisy = { ["plugin.lua"] = PLUGIN } }, set = set })
    end

    before_each(function()
      backend = open()
    end)
    after_each(function()
      maru:stop()
      backend.close()
    end)

    local function log(level, message, fields, n)
      assert.equal(200, maru:post("/log", { level = level, message = message, fields = fields, n = n }).status)
    end

    local function find(query)
      return maru:admin("/logs/search?" .. query)
    end

    --- The answer once it has n lines in all.
    local function arrive(query, n)
      local found = server.wait_for(function()
        local answer = find(query)
        return answer.total == n and answer
      end)
      return found or error(("%s: %s, not %d"):format(query, cjson.encode(find(query)):sub(1, 300), n))
    end

    it("finds lines by words of message and fields, by level, plugin and time", function()
      start()
      log("info", "강남역 맛집에서 주문이 들어왔습니다", { order = 17, who = "김철수" })
      log("warn", "slow payment provider", { ms = 900 })
      log("error", "payment refused <b>now</b>", { card = "visa" })
      local hit = arrive("q=%EC%A3%BC%EB%AC%B8", 1).hits[1] -- 주문
      assert.equal("강남역 맛집에서 주문이 들어왔습니다", hit.message)
      assert.equal("noisy", hit.plugin)
      assert.truthy(hit.generation:find("^noisy@%x+$"))
      assert.same({ text = "주문", hit = true }, hit.highlight.message[2])
      assert.equal(1, find("q=%EC%B2%A0%EC%88%98").total) -- 철수, in a field
      assert.equal(2, arrive("q=payment", 2).total)
      assert.equal("error", find("q=payment").hits[1].level)
      assert.equal(1, find("q=payment&level=error").total)
      assert.equal(2, find("q=payment&level=warn").total)
      assert.equal(1, find("q=payment%20-visa").total)
      assert.equal(3, find("plugin=noisy").total)
      assert.equal(0, find("q=payment&plugin=other").total)
      assert.equal(2, find("q=payment&since=1h").total)
      assert.equal(0, find("q=payment&to=" .. os.time() - 3600).total)
      assert.equal(2, find("q=payment&from=" .. os.time() - 3600 .. "&to=" .. os.time() + 60).total)
      local first = find("q=payment&limit=1")
      local second = find("q=payment&limit=1&after=" .. first.next)
      assert.equal("warn", second.hits[1].level)
      assert.falsy(second.next)
    end)

    it("counts what is found by level, plugin and time", function()
      start()
      log("info", "counted", nil, 6)
      log("error", "counted", nil, 3)
      arrive("q=counted", 9)
      local answer = find("q=counted&limit=0&facets=1&since=1h&histogram=30")
      assert.same({}, answer.hits)
      assert.same({ { value = "info", count = 6 }, { value = "error", count = 3 } }, answer.facets.level)
      assert.same({ { value = "noisy", count = 9 } }, answer.facets.plugin)
      local steps, sum, last = answer.histogram, 0, 0
      for i, n in ipairs(steps.counts) do
        sum = sum + n
        last = n > 0 and i or last
      end
      assert.equal(9, sum)
      assert.is_true(#steps.counts >= 30 and #steps.counts <= 32)
      assert.is_true(steps.step >= 120 and steps.step < 121)
      assert.is_true(steps.from <= os.time() - 3600 + 1 and steps.from > os.time() - 3600 - 600)
      local hit = find("q=counted&limit=1").hits[1]
      assert.is_true(steps.from + (last - 1) * steps.step <= hit.at and hit.at < steps.from + last * steps.step)
      answer = find("q=counted&level=error&since=1h&histogram=10&limit=0")
      assert.equal(3, answer.total)
      assert.equal(400, find("q=counted&histogram=10").status)
      assert.equal(400, find("q=counted&histogram=many&since=1h").status)
      assert.falsy(find("q=counted").histogram)
    end)

    it("refuses wrong questions with what is wrong", function()
      start()
      assert.truthy(find("q=nothing%20like%20this").total == 0)
      assert.truthy(find("q=%22a").detail:find("column 1: a quote is not closed", 1, true))
      assert.truthy(find("level=loud").detail:find("level is debug", 1, true))
      assert.truthy(find("since=soon").status == 400)
      assert.truthy(find("after=x").status == 400)
    end)

    it("is printed by maru logs", function()
      start()
      log("error", "결제가 거절되었습니다", { card = "visa" })
      arrive("q=visa", 1)
      local output, status = maru:command_output("logs --search 결제 --since 1h")
      assert.equal(0, status)
      assert.truthy(output:find("^%d+%-%d+%-%d+T[%d:.]+Z error noisy  결제가 거절되었습니다  {"), output)
      output, status = maru:command_output("logs --search '결제 \"'")
      assert.equal(1, status)
      assert.truthy(output:find("column 4: a quote is not closed", 1, true), output)
      output = maru:command_output("logs --level error")
      assert.truthy(output:find("결제가 거절되었습니다", 1, true))
    end)

    it("takes lines in without holding up who logs, and none of its own", function()
      start({ "log.level=debug" })
      log("info", "many lines", nil, 3000)
      arrive("q=many%20lines", 3000)
      local before = find("q=&limit=1").total
      server.shell("sleep 1.5")
      assert.equal(before, find("q=&limit=1").total)
      assert.equal(0, find("area=search").total)
    end)

    it("keeps lines over a restart", function()
      start()
      log("warn", "before the restart")
      maru:restart()
      arrive("q=%22before%20the%20restart%22", 1)
    end)

    if name == "elasticsearch" then
      it("keeps lines in a data stream of its own, with a template that ends them", function()
        start()
        log("info", "streamed")
        arrive("q=streamed", 1)
        local state = backend.standin:state()
        assert.truthy(state.docs["logs-maru-default"] >= 1)
        local template = state.templates["logs-maru-default"]
        assert.same({ "logs-maru-default" }, template.index_patterns)
        assert.equal("604800s", template.template.lifecycle.data_retention)
        assert.same({ type = "date" }, template.template.mappings.properties["@timestamp"])
      end)

      it("waits on disk while the server is away", function()
        start()
        log("info", "first line")
        arrive("q=%22first%20line%22", 1)
        backend.standin:mode("broken")
        log("info", "second line")
        server.wait_for(function()
          return maru:get("/metrics").body:find("\nmaru_search_spooled [1-9]")
        end)
        backend.standin:mode("ok")
        arrive("q=%22second%20line%22", 1)
      end)
    else
      it("says that it is off", function()
        start({ "logs.search=false" })
        assert.truthy(find("q=x").detail:find("logs.search is false", 1, true))
        assert.equal(404, find("q=x").status)
      end)
    end
  end)
end
