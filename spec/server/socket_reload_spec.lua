--- WebSockets and event streams that stay open while their plugin, or another, is replaced.
local cjson = require("cjson")
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

local function chat(version, sockets)
  return { ["plugin.lua"] = ([[
local M = { name = "chat", version = %q }
M.routes = {
  ["GET /v"] = function() return 200, { version = M.version } end,
  ["POST /say"] = function(app, req) return 200, { heard = app.channels:publish("chat.lines", req:json()) } end,
  ["GET /lines"] = function(app) return app.sse(function(stream)
    stream:send("hello", { version = M.version })
    local _, _, code = stream:follow("chat.lines")
    app.log:info("followed until " .. tostring(code))
  end) end,
}
M.sockets = { ["/ws/chat"] = { %s } }
return M
]]):format(version, sockets or [[
  open = function(app, socket) socket.state = { count = 0 } end,
  message = function(app, socket, text)
    socket.state.count = socket.state.count + 1
    socket:send({ version = M.version, text = text, state = socket.state })
  end,
]]) }
end

local OTHER = { ["plugin.lua"] = [[
return { name = "other", version = "1.0.0", routes = { ["GET /other"] = function() return 200, { n = %d } end } }
]] }

describe("a reload", function()
  local maru

  local function start(...)
    maru = server.start({ plugins = { chat = chat("1.0.0") }, set = { "plugins.watch=false", ... } })
  end

  after_each(function()
    maru:stop()
  end)

  local function load(files, name)
    server.write_plugins(maru.dir .. "/plugins", { [name or "chat"] = files })
    local output, status = maru:command_output("reload " .. (name or "chat"))
    assert.equal(0, status, output)
  end

  local function open()
    return assert(websocket.connect(maru.url, "/ws/chat"))
  end

  local function ask(ws, text)
    ws:send(text)
    local kind, answer = ws:receive()
    assert(kind == "text", ("%s %s\n%s"):format(kind, answer, maru:logs():sub(-1500)))
    return cjson.decode(answer)
  end

  --- The code with which the server closes what sends this.
  local function closed(ws, text)
    ws:send(text)
    local kind, code = ws:receive()
    assert.equal("close", kind)
    ws:close()
    return code
  end

  local function live()
    return maru:admin("/plugins/chat").generations
  end

  it("keeps sockets open, with their state, and asks the new handlers", function()
    start()
    local sockets = {}
    for i = 1, 20 do
      sockets[i] = open()
      assert.same({ count = 1 }, ask(sockets[i], "a").state)
    end
    for n = 1, 10 do
      load(chat("1.0." .. n))
      for i = 1, 20 do
        local answer = ask(sockets[i], "b" .. n)
        assert.same({ "1.0." .. n, "b" .. n, n + 1 }, { answer.version, answer.text, answer.state.count })
      end
    end
    for i = 1, 20 do
      sockets[i]:close()
    end
  end)

  it("converts the state once, before the first message, when the version differs", function()
    start()
    local ws = open()
    ask(ws, "a")
    load(chat("2.0.0", [[
  open = function(app, socket) socket.state = { total = 0, upgrades = 0 } end,
  upgrade = function(app, old, state)
    app.sleep(0.01)
    return { total = state.count, from = old, upgrades = (state.upgrades or 0) + 1 }
  end,
  message = function(app, socket, text)
    socket.state.total = socket.state.total + 1
    socket:send({ version = M.version, state = socket.state })
  end,
]]))
    assert.same({ total = 2, from = "1.0.0", upgrades = 1 }, ask(ws, "b").state)
    assert.same({ total = 3, from = "1.0.0", upgrades = 1 }, ask(ws, "c").state)
    load(chat("2.0.0", [[
  upgrade = function() error("not again") end,
  message = function(app, socket) socket:send({ state = socket.state }) end,
]]))
    assert.same({ total = 3, from = "1.0.0", upgrades = 1 }, ask(ws, "d").state)
    ws:close()
  end)

  it("keeps the state as it is when nobody converts it", function()
    start()
    local ws = open()
    ask(ws, "a")
    load(chat("3.0.0"))
    assert.same({ count = 2 }, ask(ws, "b").state)
    ws:close()
  end)

  it("closes a socket whose state cannot be converted with 1011, naming file and line", function()
    start()
    local ws, fine = open(), open()
    ask(ws, "a")
    load(chat("2.0.0", [[
  upgrade = function(app, old, state)
    if state.count > 0 then error("no way to count " .. state.count) end
    return state
  end,
  message = function(app, socket, text) socket:send({ text = text }) end,
]]))
    assert.equal(1011, closed(ws, "b"))
    assert.truthy(maru:logs():find("chat/plugin.lua:%d+: no way to count 1"), maru:logs():sub(-1500))
    assert.equal("c", ask(fine, "c").text)
    fine:close()
  end)

  it("refuses a state that is no JSON or too large, and loses none it had", function()
    start()
    load(chat("1.1.0", [[
  message = function(app, socket, text)
    local ok, err = pcall(function()
      socket.state = text == "large" and ("x"):rep(70000) or text == "function" and { print } or { text = text }
    end)
    socket:send({ ok = ok, err = err or app.json.null, state = socket.state or app.json.null })
  end,
]]))
    local ws = open()
    assert.same({ text = "a" }, ask(ws, "a").state)
    local answer = ask(ws, "large")
    assert.is_false(answer.ok)
    assert.truthy(answer.err:find("plugin.lua:%d+: socket.state: is 70002 bytes of JSON, over 65536"), answer.err)
    assert.same({ text = "a" }, answer.state)
    answer = ask(ws, "function")
    assert.is_false(answer.ok)
    assert.same({ text = "a" }, answer.state)
    ws:close()
  end)

  it("closes a socket whose plugin has no such socket any more", function()
    start()
    local ws = open()
    ask(ws, "a")
    load({ ["plugin.lua"] = "return { name = \"chat\", version = \"2.0.0\" }\n" })
    assert.equal(1001, closed(ws, "b"))
  end)

  it("of another plugin is not noticed by sockets", function()
    start()
    local ws = open()
    for n = 1, 5 do
      load({ ["plugin.lua"] = OTHER["plugin.lua"]:format(n) }, "other")
      assert.equal(n, ask(ws, "x").state.count)
    end
    ws:close()
  end)

  --- Lines of an event stream as they come: a function that waits for one that has the text.
  local function follow()
    local file = maru.dir .. "/stream" .. tostring(math.random(1e9))
    server.shell(("curl -sSN %s/lines >%s 2>&1 & echo $! >%s.pid"):format(maru.url, file, file))
    local function has(text)
      return server.wait_for(function()
        return (server.read_file(file) or ""):find(text, 1, true)
      end)
    end
    local function stop()
      server.shell("kill " .. server.read_file(file .. ".pid"))
    end
    return has, stop
  end

  local function say(text)
    return maru:post("/say", { text = text }).json.heard
  end

  it("keeps streams that follow a channel, after the generation that began them is gone", function()
    start("reload.drain=200ms")
    local has, stop = follow()
    assert(has('"version":"1.0.0"'), maru:logs():sub(-1500))
    assert(server.wait_for(function()
      return say("first") == 1
    end))
    assert(has("first"))
    for n = 1, 6 do
      load(chat("1.0." .. n))
      say("line " .. n)
      assert(has("line " .. n), maru:logs():sub(-1500))
    end
    assert(server.wait_for(function()
      return live() == 1
    end))
    assert.equal(1, say("last"))
    assert(has("last"))
    assert.truthy(maru:logs():find("followed until reloaded", 1, true))
    stop()
    assert(server.wait_for(function()
      return say("nobody") == 0
    end), "the stream is still there")
  end)

  it("of another plugin is not noticed by streams", function()
    start("reload.drain=200ms")
    local has, stop = follow()
    assert(has('"version":"1.0.0"'))
    for n = 1, 3 do
      load({ ["plugin.lua"] = OTHER["plugin.lua"]:format(n) }, "other")
    end
    assert(server.wait_for(function()
      return say("still here") == 1
    end))
    assert(has("still here"))
    assert.is_nil(maru:logs():find("followed until", 1, true))
    stop()
  end)
end)
