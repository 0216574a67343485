--- What users of the event stream see when Kafka is away, hangs, is slow or fails requests, under load.
--- Nothing acknowledged may be missing, and an event is one job. What the outage cost is printed.
local cjson = require("cjson")
local kafka = require("spec.support.kafka")
local load = require("spec.support.event_load")
local server = require("spec.support.server")
local socket = require("socket")

describe("events when Kafka", function()
  local maru, cluster

  setup(function()
    cluster = kafka.start(1)
    -- One request in flight: where one fails and the next is taken, librdkafka counts the first as taken, too, since
    -- a broker would have refused the next for its sequence number. The mock cluster does not look at these.
    maru = load.start({ "events.driver=kafka", "events.url=" .. cluster.url, "events.timeout=2s",
      "events.kafka=session.timeout.ms=6000,heartbeat.interval.ms=500,socket.timeout.ms=3000,"
      .. "queue.buffering.max.messages=40,max.in.flight.requests.per.connection=1" })
    load.run(maru, "first", 1, 0.2)
    assert.truthy(load.all_heard(maru, "first"))
  end)

  teardown(function()
    maru:stop()
    cluster:stop()
  end)

  --- Load while `fault` holds for some seconds.
  local function through(run, seconds, fault, heal)
    load.run(maru, run, 8, seconds + 20)
    socket.sleep(0.5)
    fault()
    socket.sleep(seconds)
    heal()
    local from = socket.gettime()
    local healed = server.wait_for(function()
      local _, before = load.told(maru, run)
      socket.sleep(0.1)
      local _, after = load.told(maru, run)
      return after > before and socket.gettime() - from
    end)
    load.stop(maru, run)
    assert.truthy(healed, "nothing was kept any more")
    assert.truthy(load.all_heard(maru, run), "acknowledged and not handled: " .. tostring(load.missing(maru, run)))
    local heard = maru:get("/heard/" .. run).json
    assert.equal(heard.events, heard.jobs, "an event became two jobs")
    local _, kept, refused = load.told(maru, run)
    print(("# kafka %s: %d kept, refused %s, healed after %.1f s"):format(run, kept, cjson.encode(refused), healed))
    return refused
  end

  it("is gone for a while: emits fail with a clear error or wait, and it heals", function()
    local refused = through("down", 3, function() cluster:order("down 1") end, function() cluster:order("up 1") end)
    assert.is_true((refused.timeout or 0) + (refused.io or 0) > 0)
  end)

  it("hangs: the same", function()
    local refused = through("frozen", 3, function() cluster:pause() end, function() cluster:resume() end)
    assert.is_true((refused.timeout or 0) + (refused.io or 0) > 0)
  end)

  it("is slow: nothing is refused", function()
    assert.same({}, through("slow", 1, function() cluster:order("rtt 1 150") end,
      function() cluster:order("rtt 1 0") end))
  end)

  it("fails requests that may be tried again, and one that ends the producer", function()
    through("errors", 0.5, function() cluster:order("error 0 7 3") end, function() cluster:order("error 0 6 2") end)
    through("fatal", 0.5, function() cluster:order("error 0 45 1") end, function() end)
  end)

  it("hangs under more than may wait: what is over that is refused at once", function()
    cluster:pause()
    load.run(maru, "many", 80, 1)
    assert.truthy(server.wait_for(function()
      local _, _, refused = load.told(maru, "many")
      return (refused.busy or 0) > 0
    end))
    cluster:resume()
    assert.truthy(load.all_heard(maru, "many"))
  end)

  it("is named by readyz and the drivers while it is away", function()
    cluster:order("down 1")
    local seen = server.wait_for(function()
      for _, driver in ipairs(maru:admin("/drivers").drivers or maru:admin("/drivers")) do
        if driver.kind == "events" then
          return driver.state ~= "up" and driver.state
        end
      end
    end)
    cluster:order("up 1")
    assert.equal("down", seen)
    assert.truthy(server.wait_for(function()
      for _, driver in ipairs(maru:admin("/drivers").drivers or maru:admin("/drivers")) do
        if driver.kind == "events" then
          return driver.state == "up"
        end
      end
    end))
  end)
end)

local READER = { ["plugin.lua"] = [==[
local M = { name = "r", version = "1.0.0", limits = { task = "60s" } }
M.routes = {
  ["POST /emit"] = function(app, req)
    local b = req:json()
    local offset, message, code = app.events:emit("r.made", { n = b.n }, { key = "k" .. b.n })
    return 200, { offset = offset, message = message, code = code }
  end,
  ["POST /tx"] = function(app, req)
    local b = req:json()
    return 200, { ok = app.store:tx(function(tx)
      for i = 1, b.count do assert(tx.events:emit(b.topic, { n = i, text = ("x"):rep(b.size) })) end
      return true
    end) }
  end,
  ["GET /count/{topic}"] = function(app, req)
    local page, message = app.events:read(req.params.topic, { limit = 100 })
    return 200, { count = page and #page or 0, message = message }
  end,
}
return M
]==] }

describe("events when one of two brokers of Kafka is away", function()
  it("are shown as far as the other one has them, and nothing holds up the end", function()
    local cluster = kafka.start(2)
    cluster:order("topic r.made 4")
    for part = 0, 3 do
      cluster:order(("leader r.made %d %d"):format(part, part % 2 + 1))
    end
    local maru = server.start({ plugins = { r = READER }, set = { "events.driver=kafka", "events.url=" .. cluster.url,
      "events.timeout=3s", "shutdown.grace=30s" } })
    finally(function()
      maru:stop()
      cluster:stop()
    end)
    for n = 1, 40 do
      local answer = maru:post("/emit", { n = n }).json
      assert.truthy(answer.offset, answer.message)
    end
    local function known()
      local view = maru:admin("/events")
      assert.truthy(view.topics, cjson.encode(view))
      local count, events = { yes = 0, no = 0 }, 0
      for _, topic in ipairs(view.topics) do
        for _, part in ipairs(topic.topic == "r.made" and topic.partitions or {}) do
          local which = part.next >= 0 and "yes" or "no"
          count[which] = count[which] + 1
        end
        events = events + (topic.topic == "r.made" and topic.events or 0)
      end
      return count, events
    end
    local all, events = known()
    assert.equal(0, all.no)
    assert.equal(40, events)
    cluster:order("down 2")
    local some
    assert.truthy(server.wait_for(function()
      some = known()
      return some.yes == 2
    end), "what the first broker leads is known, not " .. cjson.encode(some))
    assert.equal(2, some.no)
    cluster:order("up 2")
    assert.truthy(server.wait_for(function() return known().no == 0 end))
  end)
end)

describe("events of transactions", function()
  it("are sent though more than are read at once before them are refused for good", function()
    local cluster = kafka.start(1)
    local maru = server.start({ plugins = { r = READER }, set = { "events.driver=kafka", "events.url=" .. cluster.url,
      "events.kafka=message.max.bytes=1500" } })
    finally(function()
      maru:stop()
      cluster:stop()
    end)
    assert.is_true(maru:post("/tx", { topic = "r.large", count = 1200, size = 2000 }).json.ok)
    assert.is_true(maru:post("/tx", { topic = "r.small", count = 3, size = 1 }).json.ok)
    assert.truthy(server.wait_for(function() return maru:get("/count/r.small").json.count == 3 end, 60), maru:logs())
    assert.truthy(maru:logs():find("outbox: Kafka does not take (%d+) of %1 events"), maru:logs())
    assert.falsy(maru:logs():find("Kafka takes all that waited", 1, true))
  end)
end)
