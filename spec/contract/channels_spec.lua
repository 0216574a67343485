--- What every driver of app.channels has to do, through the real program.
local cache = require("spec.support.cache")
local cjson = require("cjson")
local contract = require("spec.support.contract")
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

local ONE = "messages stay in one process"

--- Where a driver behaves otherwise on purpose, each with its reason.
local differs = {
  memory = {
    ["a message on one node reaches the sockets of all, once"] = ONE,
    ["one publisher's messages come in their order"] = ONE,
    ["the number of listeners is this node's"] = ONE,
    ["a topic that nobody here listens to costs this node nothing"] = ONE,
    ["a lost connection is healed, and that messages were lost is told"] = "there is no connection",
    ["what could not be sent is told to the others"] = "there is no connection",
    ["a backlog for other nodes is bounded"] = "nothing waits for another node",
  },
}

local ROOM = [[
local M = { name = "room", version = "1.0.0" }
M.sockets = { ["/ws/room"] = {
  open = function(app, socket)
    app.spawn(function()
      local sub = assert(app.channels:subscribe("room"))
      socket:send("ready")
      while socket:is_open() do
        local message = sub:receive("1s")
        if message then socket:send(message) end
      end
    end)
  end,
  message = function(app, _, text) app.channels:publish("room", { said = text }) end,
} }
return M
]]

--- Listens from now on: what comes is kept[name].
local LISTEN = [[
  local name, topic = args[1], args[2] or args[1]
  kept[name] = { got = app.json.array({}), lost = 0 }
  app.spawn(function()
    local sub = assert(app.channels:subscribe(topic))
    kept[name].ready = true
    while true do
      local message, lost, code = sub:receive("25s")
      if code then return end
      kept[name].got[#kept[name].got + 1] = message
      kept[name].lost = kept[name].lost + lost
    end
  end)
  while not kept[name].ready do app.sleep(0.001) end
  return true]]

for _, driver in ipairs(cache.drivers(differs)) do
  describe("app.channels on " .. driver.name, function()
    local stage, case = contract.stage(driver, cache.OPTIONS)
    local maru, other

    local function run(node, text, ...)
      return cache.run(node, text, ...)
    end

    local function publish(node, topic, message)
      return run(node, "return app.channels:publish(args[1], args[2])", topic, message)
    end

    --- What a listener has got, once it is so many.
    local function got(node, name, least)
      local list, lost
      server.wait_for(function()
        list, lost = run(node, "return kept[args[1] ].got, kept[args[1] ].lost", name)
        return #list >= least
      end)
      return list, lost
    end

    --- How many processes are subscribed to the topic in Redis.
    local function subscribed(topic, count)
      return server.wait_for(function()
        return stage.backend.db:call("PUBSUB", "NUMSUB", "maru:channel:" .. topic):match("%d+$") == tostring(count)
      end)
    end

    setup(function()
      local set = { "lanes.web=1", "shutdown.grace=200ms" } -- listeners are tasks that do not end
      local options = { plugins = { room = { ["plugin.lua"] = ROOM } }, set = set }
      maru = stage:node(options)
      other = driver.name ~= "memory" and stage:node(options)
    end)

    case("who listens gets what is published from then on, in its order", function()
      assert.are.equal(0, publish(maru, "a", "before"))
      run(maru, LISTEN, "a")
      for i = 1, 50 do
        assert.are.equal(1, publish(maru, "a", { n = i, text = "한글", list = { true, cjson.null } }))
      end
      local list, lost = got(maru, "a", 50)
      assert.are.equal(50, #list)
      assert.are.equal(0, lost)
      for i, message in ipairs(list) do
        assert.are.same({ n = i, text = "한글", list = { true, cjson.null } }, message)
      end
    end)

    case("topics are apart", function()
      run(maru, LISTEN, "b1")
      run(maru, LISTEN, "b2")
      publish(maru, "b2", 2)
      publish(maru, "b1", 1)
      assert.are.same({ 1 }, (got(maru, "b1", 1)))
      assert.are.same({ 2 }, (got(maru, "b2", 1)))
    end)

    case("a listener that is slow loses its oldest messages and is told how many", function()
      assert.are.same({ 256, 44, 300 }, { run(maru, [[
        local sub = app.channels:subscribe("slow")
        for i = 1, 300 do app.channels:publish("slow", i) end
        app.sleep(0.2)
        local count, lost, last = 0, 0, nil
        while true do
          local message, before, code = sub:receive("50ms")
          if code then break end
          count, lost, last = count + 1, lost + before, message
        end
        sub:close()
        return count, lost, last]]) })
    end)

    case("what is over the limits is refused", function()
      assert.are.same({ "limit", "limit", "invalid" }, { run(maru, [[
        local _, _, topic = app.channels:publish(("t"):rep(201), 1)
        local _, _, message = app.channels:publish("t", ("x"):rep(1100000))
        local _, _, empty = app.channels:publish("", 1)
        return topic, message, empty]]) })
    end)

    case("a message on one node reaches the sockets of all, once", function()
      local here, there = websocket.connect(maru.url, "/ws/room"), websocket.connect(other.url, "/ws/room")
      assert.are.same({ "text", "ready" }, { here:receive() })
      assert.are.same({ "text", "ready" }, { there:receive() })
      assert.is_truthy(subscribed("room", 2))
      for _, turn in ipairs({ { here, "from here" }, { there, "from there" } }) do
        turn[1]:send(turn[2])
        for _, client in ipairs({ here, there }) do
          local kind, text = client:receive()
          assert.are.equal("text", kind)
          assert.are.same({ said = turn[2] }, cjson.decode(text))
        end
      end
      here:send("last")
      for _, client in ipairs({ here, there }) do
        assert.are.same({ said = "last" }, cjson.decode((select(2, client:receive())))) -- nothing came twice
        client:close()
      end
    end)

    case("one publisher's messages come in their order", function()
      run(other, LISTEN, "ordered")
      assert.is_truthy(subscribed("ordered", 1))
      run(maru, [[for i = 1, 200 do assert(app.channels:publish("ordered", i)) end]])
      local list, lost = got(other, "ordered", 200)
      assert.are.equal(200, #list)
      assert.are.equal(0, lost)
      for i, n in ipairs(list) do
        assert.are.equal(i, n)
      end
    end)

    case("the number of listeners is this node's", function()
      run(other, LISTEN, "counted")
      assert.are.equal(0, publish(maru, "counted", 1))
      run(maru, LISTEN, "counted")
      assert.are.equal(1, publish(maru, "counted", 2))
    end)

    case("a topic that nobody here listens to costs this node nothing", function()
      run(maru, [[
        local sub = app.channels:subscribe("left")
        app.sleep(0.05)
        sub:close()]])
      assert.is_truthy(subscribed("left", 0))
      local before = tonumber(other:get("/metrics").body:match("maru_channels_received_total (%d+)"))
      publish(maru, "left", 1)
      publish(maru, "ordered", "mark")
      got(other, "ordered", 201)
      assert.are.equal(before + 1, tonumber(other:get("/metrics").body:match("maru_channels_received_total (%d+)")))
    end)

    case("a lost connection is healed, and that messages were lost is told", function()
      run(other, LISTEN, "healed")
      assert.is_truthy(subscribed("healed", 1))
      stage.backend.db:kill()
      run(maru, LISTEN, "alone")
      assert.are.equal(1, publish(maru, "alone", "still here")) -- this node goes on by itself
      assert.are.same({ "still here" }, (got(maru, "alone", 1)))
      stage.backend.db:again()
      assert.is_truthy(subscribed("healed", 1))
      local list, lost
      server.wait_for(function()
        publish(maru, "healed", "again")
        list, lost = run(other, "return kept.healed.got, kept.healed.lost")
        return #list > 0
      end)
      assert.are.equal("again", list[1])
      assert.is_true(lost >= 1)
    end)

    case("what could not be sent is told to the others", function()
      run(other, LISTEN, "unsent")
      assert.is_truthy(subscribed("unsent", 1))
      local function unsent()
        return tonumber(maru:get("/metrics").body:match("maru_channels_unsent_total (%d+)"))
      end
      local before = unsent()
      stage.backend.db:call("CLIENT", "PAUSE", "60000", "WRITE") -- answers to PUBLISH stop; connections stay
      publish(maru, "unsent", "lost")
      assert.is_truthy(server.wait_for(function()
        return unsent() > before
      end))
      stage.backend.db:call("CLIENT", "UNPAUSE")
      local lost
      assert.is_truthy(server.wait_for(function()
        publish(maru, "unsent", "later")
        lost = select(2, run(other, "return kept.unsent.got, kept.unsent.lost"))
        return lost > 0
      end))
    end)

    case("a backlog for other nodes is bounded", function()
      stage.backend.db:call("CLIENT", "PAUSE", "60000", "WRITE")
      local code = run(maru, [[
        local text = ("x"):rep(1000000)
        for _ = 1, 40 do
          local sent, _, code = app.channels:publish("backlog", text)
          if not sent then return code end
        end]])
      stage.backend.db:call("CLIENT", "UNPAUSE")
      assert.are.equal("busy", code)
    end)
  end)
end

describe("channels.driver", function()
  it("says what is wrong with its settings", function()
    local maru, log = server.try_start({ set = { "channels.driver=pigeons" } })
    assert.is_nil(maru)
    assert.is_truthy(log:find("channels.driver: must be memory or redis, not pigeons", 1, true), log)
    maru, log = server.try_start({ set = { "channels.driver=redis" } })
    assert.is_nil(maru)
    assert.is_truthy(log:find("channels.url: must be redis://", 1, true), log)
  end)
end)
