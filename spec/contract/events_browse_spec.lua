--- What an operator sees of topics, with every driver: pages from either end, by key, time and words, and what comes.
local cjson = require("cjson")
local contract = require("spec.support.contract")
local kafka = require("spec.support.kafka")
local server = require("spec.support.server")

local SHOP = { ["plugin.lua"] = [==[
local M = { name = "shop", version = "1.0.0" }
M.routes = { ["POST /emit"] = function(app, req)
  local body = req:json()
  local list = app.json.array({})
  for i = body.from or 1, body.to do
    local data = { n = i, text = body.text }
    local key = body.keys and "k" .. i % body.keys or body.key
    list[#list + 1] = { (assert(app.events:emit(body.topic, data, { key = key, headers = body.headers }))) }
  end
  return 200, list
end }
return M
]==] }

local EAR = { ["plugin.lua"] = [==[
local M = { name = "ear", version = "1.0.0" }
M.on = { ["shop.heard"] = function(app, event) app.cache:incr("heard") end }
M.routes = { ["GET /heard"] = function(app) return 200, { n = app.cache:get("heard") or 0 } end }
return M
]==] }

local DRIVERS = {
  { name = "table", settings = { "events.driver=table" },
    differs = { ["partitions are one list by time, and one by one"] = "a topic has one partition" } },
  {
    name = "kafka",
    open = function()
      local cluster = kafka.start(1)
      return { settings = { "events.driver=kafka", "events.url=" .. cluster.url, "events.partitions=3",
        "events.kafka=session.timeout.ms=6000,heartbeat.interval.ms=500" },
        cluster = cluster, close = function() cluster:stop() end }
    end,
    differs = { ["a topic that never was"] = "the mock cluster makes every topic that somebody asks for" },
  },
}

for _, driver in ipairs(DRIVERS) do
  describe("topics seen by an operator, on " .. driver.name, function()
    local stage, case = contract.stage(driver, { plugins = { shop = SHOP, ear = EAR },
      set = { "plugins.watch=false", "lanes.web=1", "lanes.job=1", "admin.listen=127.0.0.1:0" } })
    local maru

    setup(function()
      maru = stage:node()
    end)

    local function emit(topic, body)
      body.topic = topic
      local answer = maru:post("/emit", body)
      assert.equal(200, answer.status, answer.body)
    end

    local function browse(topic, query)
      return maru:admin(("/events/%s/browse?%s"):format(topic, query or ""))
    end

    local function numbers(page)
      local list = {}
      for i, event in ipairs(page.events) do
        list[i] = event.data.n
      end
      return list
    end

    --- All numbers that pages of a query show until its end.
    local function walk(topic, query)
      local list, pages, page = {}, 0, { next = "" }
      repeat
        page = browse(topic, query .. "&after=" .. page.next)
        for _, n in ipairs(numbers(page)) do
          list[#list + 1] = n
        end
        pages = pages + 1
      until page["end"] or pages > 100
      return list, pages
    end

    local function range(from, to)
      local list = {}
      for i = from, to, from < to and 1 or -1 do
        list[#list + 1] = i
      end
      return list
    end

    case("pages go from the newest to the oldest, and the other way", function()
      emit("shop.pages", { to = 25, key = "one" })
      local first = browse("shop.pages", "limit=10")
      assert.same(range(25, 16), numbers(first))
      assert.is_false(first["end"])
      assert.same({ "one", "shop", "shop.pages" }, { first.events[1].key, first.events[1].from, first.events[1].topic })
      assert.same({ range(25, 1), 3 }, { walk("shop.pages", "limit=10") })
      assert.same({ range(1, 25), 3 }, { walk("shop.pages", "limit=10&order=oldest") })
    end)

    case("a page begins at an offset of a partition", function()
      emit("shop.place", { to = 10, key = "one" })
      local at = "partition=" .. browse("shop.place").events[1].partition .. "&limit=3&offset=4"
      assert.same({ 5, 4, 3 }, numbers(browse("shop.place", at)))
      assert.same({ 5, 6, 7 }, numbers(browse("shop.place", at .. "&order=oldest")))
    end)

    case("events are found by key", function()
      emit("shop.keys", { to = 24, keys = 7 })
      assert.same({ 24, 17, 10, 3 }, (walk("shop.keys", "key=k3&limit=2")))
      assert.same({}, (walk("shop.keys", "key=k")))
      assert.equal(24, browse("shop.keys", "key=none").looked)
    end)

    case("events are found by words in data, key and headers", function()
      emit("shop.words", { from = 21, to = 30, text = "quiet" })
      emit("shop.words", { from = 31, to = 31, text = "강남역에서 Payment REFUSED" })
      emit("shop.words", { from = 32, to = 32, key = "card-17" })
      emit("shop.words", { from = 33, to = 33, headers = { error = "no route to host" } })
      emit("shop.words", { from = 34, to = 43, text = "quiet" })
      assert.same({ 31 }, (walk("shop.words", "q=payment%20refused")))
      assert.same({ 31 }, (walk("shop.words", "q=%EA%B0%95%EB%82%A8%EC%97%AD")))
      assert.same({ 32 }, (walk("shop.words", "q=CARD-17&order=oldest")))
      assert.same({ 33 }, (walk("shop.words", "q=route")))
      assert.same({}, (walk("shop.words", "q=nobody%20said%20so")))
      assert.equal(20, #walk("shop.words", "q=quiet&limit=10"))
    end)

    case("events are found by time", function()
      emit("shop.times", { to = 5, key = "one" })
      local before = browse("shop.times").events[1].at
      assert.truthy(server.wait_for(function()
        return require("socket").gettime() > before + 0.05
      end))
      emit("shop.times", { from = 6, to = 10, key = "one" })
      local list = browse("shop.times").events
      local sixth = list[5].at
      assert.is_true(sixth > before)
      assert.same(range(10, 6), (walk("shop.times", ("limit=2&from=%.3f"):format(sixth))))
      assert.same(range(5, 1), (walk("shop.times", ("limit=2&to=%.3f"):format(sixth))))
      assert.same(range(1, 5), (walk("shop.times", ("limit=2&to=%.3f&order=oldest"):format(sixth))))
      assert.same(range(10, 1), (walk("shop.times", "since=1h")))
      assert.same({}, (walk("shop.times", "to=1000000000")))
    end)

    case("what comes is shown from the tail on", function()
      emit("shop.tail", { to = 5 })
      local tail = browse("shop.tail", "limit=2").tail
      local page = browse("shop.tail", "order=oldest&after=" .. tail)
      assert.same({ {}, true }, { page.events, page["end"] })
      emit("shop.tail", { from = 6, to = 8, key = "one" })
      page = browse("shop.tail", "order=oldest&after=" .. page.next)
      assert.same({ 6, 7, 8 }, numbers(page))
      assert.same({}, browse("shop.tail", "order=oldest&after=" .. page.next).events)
    end)

    case("a page has a bound in bytes, and the next goes on behind it", function()
      emit("shop.large", { to = 6, text = ("x"):rep(700 * 1024), key = "one" })
      local page = browse("shop.large")
      assert.same({ 6, 5, 4 }, numbers(page))
      assert.same(range(6, 1), (walk("shop.large", "limit=50")))
    end)

    case("partitions are one list by time, and one by one", function()
      emit("shop.parts", { to = 24, keys = 9 })
      local all = walk("shop.parts", "limit=7")
      table.sort(all)
      assert.same(range(1, 24), all)
      local seen, from = 0, {}
      for partition = 0, 2 do
        local list = walk("shop.parts", "limit=7&partition=" .. partition)
        seen = seen + #list
        from[#from + 1] = #list > 0 or nil
        for i = 2, #list do
          assert.is_true(list[i] < list[i - 1])
        end
      end
      assert.equal(24, seen)
      assert.is_true(#from > 1)
      local page, last = browse("shop.parts", "limit=40"), math.huge
      for _, event in ipairs(page.events) do
        assert.is_true(event.at <= last)
        last = event.at
      end
    end)

    case("looking moves nobody's place", function()
      emit("shop.heard", { to = 20 })
      assert.truthy(server.wait_for(function()
        return maru:get("/heard").json.n == 20
      end))
      local function place()
        for _, group in ipairs(maru:admin("/events").groups) do
          if group.topic == "shop.heard" then
            return group
          end
        end
      end
      assert.truthy(server.wait_for(function()
        return place().lag == 0
      end))
      local before = place()
      for _, query in ipairs({ "", "order=oldest&limit=3", "offset=0", "q=none", "key=x" }) do
        browse("shop.heard", query)
      end
      assert.same(before, place())
      emit("shop.heard", { from = 21, to = 21 })
      assert.truthy(server.wait_for(function()
        return maru:get("/heard").json.n == 21
      end))
    end)

    case("refuses what it cannot understand", function()
      emit("shop.refused", { to = 1 })
      for _, query in ipairs({ "after=nonsense", "after=0:x", "order=sideways", "from=yesterday", "since=soon",
        "limit=few", "offset=last" }) do
        assert.equal(400, browse("shop.refused", query).status, query)
      end
      assert.equal(404, browse("shop.refused", "partition=99").status)
      assert.equal(400, browse("no%20name").status)
    end)

    case("a topic that never was", function()
      assert.equal(404, browse("shop.never").status)
    end)

    case("a viewer may look", function()
      emit("shop.viewed", { to = 1 })
      local token = server.read_file(maru.dir .. "/state/viewer.token"):match("%x+")
      local answer = maru:request(maru.ready.admin_http .. "/admin/v1/events/shop.viewed/browse",
        { headers = { authorization = "Bearer " .. token } })
      assert.equal(1, #answer.json.events)
    end)

    case("`maru events find` prints them", function()
      emit("shop.cli", { to = 3, text = "seldom seen", key = "one" })
      local text = maru:command_output("events find shop.cli --search SELDOM --limit 2")
      local found = {}
      for n, seen in text:gmatch("\n +data%.(%w+)%s+([^\n]+)") do
        found[#found + 1] = n .. " " .. seen
      end
      table.sort(found)
      assert.same({ "n 2", "n 3", "text seldom seen", "text seldom seen" }, found)
      local all = maru:command_output("events find shop.cli --json")
      assert.equal(3, cjson.decode(all).events[1].data.n)
    end)
  end)
end
