--- What every driver of the event stream has to do, through the real program.
---
--- A driver is a line of DRIVERS (spec/support/contract.lua).
local contract = require("spec.support.contract")
local kafka = require("spec.support.kafka")
local server = require("spec.support.server")

local SOURCE = {
  ["plugin.lua"] = [==[
local M = { name = "shop", version = "1.0.0", allow = { events = { "orders.*", "plain" } } }
M.routes = {
  ["POST /emit"] = function(app, req)
    local body = req:json()
    local got, partition, code = app.events:emit(body.topic, body.data, body.options)
    return 200, { offset = got or nil, partition = got and partition or nil, message = not got and partition or nil,
      code = code }
  end,
  ["POST /many"] = function(app, req)
    local body, left, failed = req:json(), 0, 0
    for i = 1, body.n do
      left = left + 1
      app.spawn(function()
        local ok = app.events:emit(body.topic, { n = i }, { key = body.keys and "k" .. i % body.keys or nil })
        left, failed = left - 1, failed + (ok and 0 or 1)
      end)
    end
    while left > 0 do assert(app.sleep(0.005)) end
    return 200, { failed = failed }
  end,
  ["POST /list"] = function(app, req)
    local body, list = req:json(), {}
    for i = 1, body.n do
      list[i] = { { n = i, text = body.long and ("x"):rep(body.long) }, { key = "same", headers = { n = "" .. i } } }
    end
    local n, message, code = app.events:emit_many(body.topic, list)
    return 200, { n = n, message = message, code = code }
  end,
  ["POST /order"] = function(app, req)
    local body = req:json()
    for i = 1, body.n do
      assert(app.events:emit(body.topic, { n = i }, { key = body.key }))
    end
    return 200, {}
  end,
  ["POST /read"] = function(app, req)
    local body = req:json()
    local list, cursor, code = app.events:read(body.topic, body.options)
    return 200, { list = list and app.json.array(list), cursor = list and cursor, message = not list and cursor or nil,
      code = code }
  end,
  ["POST /tx"] = function(app, req)
    local body = req:json()
    local ok, message = app.store:tx(function(tx)
      assert(tx:exec("insert into notes(text) values($1)", body.text))
      assert(tx.events:emit("shop.kept", { text = body.text }))
      if body.fail then return nil, "rolled back" end
      return true
    end)
    return 200, { ok = ok or false, message = message }
  end,
}
return M
]==],
  ["migrations/0001_notes.sql"] = "create table notes(text text);",
}

local LISTENER = {
  ["plugin.lua"] = [==[
local M = { name = "ear", version = "1.0.0" }
local function note(app, event)
  assert(app.store:exec("insert into heard(topic, off, part, data) values($1, $2, $3, $4)", event.topic, event.offset,
    event.partition, app.json.encode(event)))
end
M.on = {
  ["shop.made"] = note,
  ["shop.kept"] = note,
  ["shop.ordered"] = function(app, event)
    if event.data.n % 3 == 0 then assert(app.sleep(0.01)) end
    note(app, event)
  end,
  ["shop.poison"] = { retries = 1, backoff = "10ms", function(app, event)
    if event.data.bad then error("cannot swallow " .. event.data.bad) end
    note(app, event)
  end },
  ["shop.flaky"] = { retries = 3, backoff = "10ms", function(app, event)
    if event.attempt < 3 then error("not yet") end
    note(app, event)
  end },
  ["shop.mended"] = { retries = 0, function(app, event)
    if not app.cache:get("mended") then error("broken tool") end
    note(app, event)
  end },
  ["shop.busy"] = function(app, event) note(app, event) end,
  ["orders.placed"] = note,
}
M.routes = {
  ["GET /heard"] = function(app, req)
    return 200, { list = app.json.array(app.store:all("select * from heard order by rowid")) }
  end,
  ["POST /mend"] = function(app) app.cache:set("mended", true) return 200, {} end,
}
return M
]==],
  ["migrations/0001_heard.sql"] = "create table heard(topic text, off integer, part integer, data text);",
}

local DRIVERS = {
  {
    name = "table",
    settings = { "events.driver=table" },
    differs = {
      ["other clients"] = "there are none: it is maru's own table",
      ["events sent after their transaction"] = "they are in the same commit",
    },
  },
  {
    name = "kafka",
    open = function()
      local cluster = kafka.start(1)
      return { settings = { "events.driver=kafka", "events.url=" .. cluster.url,
        "events.kafka=session.timeout.ms=6000,heartbeat.interval.ms=500" }, -- the cluster forgets who left by time only
        cluster = cluster, close = function() cluster:stop() end }
    end,
    differs = {
      ["offset of a transaction"] = "it is sent after the commit, so emit answers true there instead of an offset",
      ["a topic that never was"] = "the mock cluster makes every topic that somebody asks for",
      ["one partition"] = "keys are spread over partitions, each with offsets of its own",
    },
  },
}

--- Rows of /heard of one topic, each with its event decoded.
local function heard(maru, topic)
  local cjson, list = require("cjson"), {}
  for _, row in ipairs(maru:get("/heard").json.list) do
    if row.topic == topic then
      row.event = cjson.decode(row.data)
      list[#list + 1] = row
    end
  end
  return list
end

local function wait_heard(maru, topic, count)
  return server.wait_for(function()
    local list = heard(maru, topic)
    return #list >= count and list
  end)
end

for _, driver in ipairs(DRIVERS) do
  describe("events, driver " .. driver.name, function()
    local stage, case = contract.stage(driver, { plugins = { shop = SOURCE, ear = LISTENER },
      set = { "plugins.watch=false", "lanes.web=1", "lanes.job=1" } })
    local maru

    setup(function()
      maru = stage:node()
    end)

    local function emit(topic, data, options)
      return maru:post("/emit", { topic = topic, data = data, options = options }).json
    end

    local function read(topic, options)
      return maru:post("/read", { topic = topic, options = options }).json
    end

    it("keeps what emit returned for, with key, time, sender and headers", function()
      local first = emit("shop.kept_only", { n = 1 }, { key = "a", headers = { color = "red" } })
      local second = emit("shop.kept_only", { n = 2 }, { key = "a" })
      assert.same({ 0, 1, first.partition }, { first.offset, second.offset, second.partition })
      local got = read("shop.kept_only")
      assert.equal(2, #got.list)
      assert.same({ "shop.kept_only", 0, "a", "shop", { n = 1 }, "red" }, { got.list[1].topic, got.list[1].offset,
        got.list[1].key, got.list[1].from, got.list[1].data, got.list[1].headers.color })
      assert.is_true(math.abs(got.list[1].at - os.time()) < 120)
    end)

    it("reads on from a cursor, and from an offset of a partition", function()
      for i = 1, 10 do
        assert.is_truthy(emit("shop.pages", { n = i }, { key = "same" }).offset)
      end
      local seen, cursor = {}, nil
      repeat
        local page = read("shop.pages", { after = cursor, limit = 4 })
        for _, event in ipairs(page.list) do
          seen[#seen + 1] = event.data.n
        end
        cursor = page.cursor
      until #page.list == 0
      assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, seen)
      local partition = read("shop.pages", { limit = 1 }).list[1].partition
      local rest = read("shop.pages", { after = 7, partition = partition }).list
      assert.same({ 9, 10 }, { rest[1].data.n, rest[2].data.n })
      emit("shop.pages", { n = 11 }, { key = "same" })
      assert.same({ 11 }, { read("shop.pages", { after = cursor }).list[1].data.n })
    end)

    it("keeps many of one call, in their order, or says why not", function()
      assert.same({ n = 0 }, maru:post("/list", { topic = "shop.list", n = 0 }).json)
      assert.same({ n = 300 }, maru:post("/list", { topic = "shop.list", n = 300 }).json)
      local list = read("shop.list", { limit = 1000 }).list
      assert.equal(300, #list)
      for i, event in ipairs(list) do
        assert.same({ i, "same", tostring(i) }, { event.data.n, event.key, event.headers.n })
      end
      assert.equal("limit", maru:post("/list", { topic = "shop.list", n = 2, long = 800000 }).json.code)
      assert.equal(500, maru:post("/list", { topic = "notes.of_others", n = 1 }).status)
      assert.equal(300, #read("shop.list", { limit = 1000 }).list)
    end)

    it("hands events to every plugin that hears the topic, once each", function()
      local before = #heard(maru, "shop.made")
      for i = 1, 20 do
        emit("shop.made", { n = i }, { key = "k" .. i })
      end
      local list = wait_heard(maru, "shop.made", before + 20)
      assert.equal(before + 20, #list)
      local seen = {}
      for _, row in ipairs(list) do
        seen[row.event.data.n] = (seen[row.event.data.n] or 0) + 1
      end
      for i = 1, 20 do
        assert.equal(1, seen[i])
      end
      local event = list[1].event
      assert.same({ "shop.made", "shop", 1, 4 }, { event.topic, event.from, event.attempt, event.max_attempts })
    end)

    it("handles events of one key in order", function()
      maru:post("/order", { topic = "shop.ordered", n = 30, key = "one" })
      local list = wait_heard(maru, "shop.ordered", 30)
      for i, row in ipairs(list) do
        assert.equal(i, row.event.data.n)
      end
    end)

    it("tries again, and puts what cannot be handled aside with the error", function()
      emit("shop.flaky", { n = 1 })
      assert.equal(3, wait_heard(maru, "shop.flaky", 1)[1].event.attempt)
      emit("shop.poison", { bad = "arsenic" }, { key = "p" })
      emit("shop.poison", { good = true }, { key = "q" })
      assert.is_true(wait_heard(maru, "shop.poison", 1)[1].event.data.good)
      local dead = server.wait_for(function()
        local got = read("shop.poison.dead")
        return got.list and got.list[1]
      end)
      assert.same({ bad = "arsenic" }, dead.data)
      assert.equal("p", dead.key)
      assert.equal("ear", dead.headers.group)
      assert.equal("2", dead.headers.attempts)
      assert.is_truthy(dead.headers.error:find("cannot swallow arsenic", 1, true))
    end)

    it("keeps an event of a transaction with it, or not at all", function()
      assert.is_false(maru:post("/tx", { text = "gone", fail = true }).json.ok)
      assert.is_true(maru:post("/tx", { text = "there" }).json.ok)
      local list = wait_heard(maru, "shop.kept", 1)
      assert.same({ { text = "there" } }, { list[1].event.data })
      assert.equal(1, #heard(maru, "shop.kept"))
    end)

    it("loses none of many at once", function()
      assert.equal(0, maru:post("/many", { topic = "shop.busy", n = 500, keys = 7 }).json.failed)
      local list, seen = wait_heard(maru, "shop.busy", 500), {}
      assert.equal(500, #list)
      for _, row in ipairs(list) do
        seen[row.event.data.n] = true
      end
      assert.equal(500, #seen)
    end)

    it("lets a plugin emit its own topics and what it may, and read what it hears", function()
      assert.is_truthy(emit("orders.placed", { id = 7 }).offset)
      assert.same({ id = 7 }, wait_heard(maru, "orders.placed", 1)[1].event.data)
      assert.is_truthy(emit("plain", {}).offset)
      local answer = maru:post("/emit", { topic = "ear.secret", data = {} })
      assert.equal(500, answer.status)
      assert.is_truthy(answer.body:find("'ear.secret' is not a topic of this plugin", 1, true))
      answer = maru:post("/read", { topic = "ear.secret" })
      assert.equal(500, answer.status)
      answer = maru:post("/emit", { topic = "shop/odd", data = {} })
      assert.is_truthy(answer.body:find("letters, digits", 1, true))
    end)

    it("begins with what is there when M.on says so; a reload adds and takes away", function()
      for i = 1, 3 do
        emit("shop.early", { n = i }, { key = "e" })
      end
      local text = [==[
local M = { name = "late", version = "1.0.0" }
local function note(name)
  return function(app, event) app.cache:incr(name .. event.data.n) end
end
M.on = { ["shop.early"] = { from = "beginning", note("early") } }
M.routes = { ["GET /late"] = function(app)
  return 200, { app.cache:get("early1") or 0, app.cache:get("early3") or 0, app.cache:get("early4") or 0 }
end }
return M
]==]
      server.write_plugins(maru.dir .. "/plugins", { late = { ["plugin.lua"] = text } })
      local output, status = maru:command_output("reload late --allow")
      assert.equal(0, status, output)
      server.wait_for(function()
        for _, group in ipairs(maru:admin("/events").groups) do
          if group.group == "late" and #group.partitions > 0 then
            return true
          end
        end
      end)
      emit("shop.early", { n = 4 }, { key = "e" })
      assert.truthy(server.wait_for(function()
        local got = maru:get("/late").json
        return got[1] == 1 and got[2] == 1 and got[3] == 1
      end), maru:get("/late").body)
      server.shell("rm -r " .. maru.dir .. "/plugins/late")
      maru:command_output("reload")
      assert.truthy(server.wait_for(function()
        for _, group in ipairs(maru:admin("/events").groups) do
          if group.group == "late" and group.serving then
            return false
          end
        end
        return true
      end))
    end)

    it("shows topics, groups and what lies there, and hands dead letters over again", function()
      emit("shop.mended", { n = 1 }, { key = "m" })
      emit("shop.mended", { n = 2 }, { key = "m" })
      local dead = server.wait_for(function()
        local got = read("shop.mended.dead")
        return got.list and #got.list == 2 and got.list
      end)
      assert.truthy(dead)
      local all = maru:admin("/events")
      assert.equal(driver.name, all.driver)
      local topics, groups = {}, {}
      for _, topic in ipairs(all.topics) do
        topics[topic.topic] = topic
      end
      for _, group in ipairs(all.groups) do
        groups[group.topic] = group
      end
      assert.equal(2, topics["shop.mended"].events)
      assert.same({ "ear", true }, { groups["shop.mended"].group, groups["shop.mended"].serving })
      assert.truthy(server.wait_for(function()
        for _, group in ipairs(maru:admin("/events").groups) do
          if group.topic == "shop.mended" then
            return group.lag == 0 and #group.partitions > 0
          end
        end
      end))
      assert.truthy(maru:command_output("events"):find("shop.mended", 1, true))
      local text = maru:command_output("events read shop.mended.dead")
      assert.truthy(text:find("broken tool", 1, true), text)
      maru:post("/mend", {})
      text = maru:command_output("events replay shop.mended.dead ear")
      assert.equal("2 events handed to ear again\n", text)
      local list = wait_heard(maru, "shop.mended", 2)
      assert.same({ 1, 2 }, { list[1].event.data.n, list[2].event.data.n })
      text = maru:command_output("events replay shop.mended nobody")
      assert.truthy(text:find("no plugin 'nobody' that serves now hears shop.mended", 1, true), text)
      text = maru:get("/metrics").body
      assert.truthy(text:find('maru_events_lag{plugin="ear",topic="shop.mended"} 0', 1, true))
      assert.truthy(text:find('maru_events_emitted_total{topic="shop.mended"} 2', 1, true))
      assert.truthy(text:find('maru_events_consumed_total{plugin="ear",topic="shop.mended"} 2', 1, true))
    end)

    case("speaks Kafka as others do", "other clients", function()
      local kcat = stage.backend.cluster
      emit("shop.seen", { n = 1 }, { key = "k", headers = { color = "red" } })
      local text = kcat:kcat("-C -t shop.seen -e -o beginning -q -f '%k|%s|%h\\n'")
      assert.equal('k|{"n":1}|plugin=shop,at=', text:match("^k|.-at="))
      assert.truthy(text:find("color=red", 1, true), text)
      local before = #heard(maru, "shop.made")
      kcat:kcat("-P -t shop.made -k foreign", '{\"n\":\"from outside\"}')
      kcat:kcat("-P -t shop.made -k foreign", "no json")
      local list = wait_heard(maru, "shop.made", before + 2)
      assert.same({ n = "from outside" }, list[before + 1].event.data)
      assert.same({ "no json", "foreign" }, { list[before + 2].event.data, list[before + 2].event.key })
      local file = server.make_dir() .. "/large"
      server.shell("head -c 300000 /dev/zero | tr '\\0' '\\001' >" .. file)
      kcat:kcat("-P -t shop.made -k foreign " .. file)
      kcat:kcat("-P -t shop.made -k foreign", "behind what no job takes")
      server.shell("rm -r " .. file:match("^(.*)/"))
      list = wait_heard(maru, "shop.made", before + 3)
      assert.equal("behind what no job takes", list[before + 3].event.data)
      kcat:kcat("-P -t shop.made.dead -H group=ear -H offset=oops -H 'partition=7,\"key\":1' -H at=12.5",
        "from the dead")
      assert.equal("1 event handed to ear again\n", maru:command_output("events replay shop.made.dead ear"))
      list = wait_heard(maru, "shop.made", before + 4)
      local event = list[before + 4].event
      assert.equal("from the dead", event.data)
      assert.is_nil(event.key, "what a header says is a number or nothing")
      local missed = 'maru_events_missed_total{plugin="ear",topic="shop.made"} 1'
      assert.truthy(maru:get("/metrics").body:find(missed, 1, true))
    end)

    case("hears a topic that was made anew, whose offsets begin again", "other clients", function()
      local before = #heard(maru, "shop.made")
      maru:stop(true)
      server.shell(("sqlite3 %s/state/maru.db 'update maru_event_handed set offset = offset + 1000'"):format(maru.dir))
      assert.truthy(maru:restart())
      for i = 1, 20 do
        assert.truthy(emit("shop.made", { n = "anew" }, { key = "anew" .. i }).offset) -- of every partition
      end
      assert.truthy(wait_heard(maru, "shop.made", before + 20), maru:logs())
    end)

    case("says that its server does not take an event of a transaction, and sends it again",
      "events sent after their transaction", function()
      local before = #heard(maru, "shop.kept")
      stage.backend.cluster:order("error 0 10 1") -- too large
      assert.is_true(maru:post("/tx", { text = "late" }).json.ok)
      assert.equal("late", wait_heard(maru, "shop.kept", before + 1)[before + 1].event.data.text)
      assert.truthy(maru:logs():find("outbox: Kafka does not take 1 of 1 events", 1, true), maru:logs())
    end)

    it("refuses what is too large, and a cursor that is none", function()
      local got = emit("shop.kept_only", { text = ("x"):rep(800 * 1024) })
      assert.equal("limit", got.code)
      assert.equal("limit", emit("shop.kept_only", {}, { key = ("k"):rep(201) }).code)
      assert.equal("invalid", read("shop.kept_only", { after = "nonsense" }).code)
      if not driver.differs["a topic that never was"] then
        assert.equal("not_found", read("shop.never").code)
      end
    end)
  end)
end
