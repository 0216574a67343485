--- Where two of them meet: quarantine, rollback, the guard, release, and the end of the server.
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

local function version(n, rest)
  return {
    ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d", jit = false, limits = { watchdog = "200ms" } }
M.routes = {
  ["GET /v"] = function() return 200, { v = %d } end,
  ["GET /loop"] = function() while true do end end,
}
%s
return M
]]):format(n, n, rest or ""),
  }
end

describe("in one server", function()
  local maru

  local function start(...)
    maru = server.start({ plugins = { shop = version(1) }, set = { "plugins.watch=false", ... } })
  end

  after_each(function()
    maru:stop()
  end)

  local function run(command, code)
    local output, status = maru:command_output(command)
    assert.equal(code or 0, status, output)
    return output
  end

  local function save(n, rest)
    server.write_plugins(maru.dir .. "/plugins", { shop = version(n, rest) })
  end

  local function load(n, rest)
    save(n, rest)
    run("reload shop")
    assert.equal(n, maru:get("/v").json.v)
  end

  local function show()
    return maru:admin("/plugins/shop")
  end

  local function kill(times)
    for _ = 1, times do
      assert.equal(503, maru:get("/loop").status)
    end
  end

  local function quarantine()
    kill(3)
    assert(server.wait_for(function()
      return type(show().quarantine) == "table"
    end), maru:logs():sub(-3000))
  end

  local function gauge()
    return maru:get("/metrics").body:match('maru_plugin_quarantined{plugin="shop"} (%d)')
  end

  --- Stops it; nothing that stood in the log before counts.
  local function ended_well(before)
    maru:signal("TERM")
    assert(server.wait_for(function()
      return not server.alive(maru.pid)
    end), maru:logs():sub(-3000))
    local logs = maru:logs():sub(#before + 1)
    for _, bad in ipairs({ "Sanitizer", "was killed", "ended with code" }) do
      assert.is_nil(logs:find(bad, 1, true), logs)
    end
  end

  it("a start() that is killed again and again never takes the place of what serves", function()
    start()
    save(2, "M.start = function() while true do end end")
    for _ = 1, 3 do
      run("reload shop", 4)
    end
    local output = run("reload shop", 4)
    assert.truthy(output:find("is quarantined after 3 kills", 1, true), output)
    assert.equal(1, maru:get("/v").json.v)
    assert.not_equal("1", gauge())
    run("plugins release shop", 1) -- its start() is tried again
    assert.equal(1, maru:get("/v").json.v)
    load(3)
  end)

  it("a release loads what was quarantined, not what was rolled back", function()
    start()
    load(2)
    run("rollback shop")
    quarantine()
    assert.equal("1", gauge())
    run("plugins release shop")
    assert.equal(1, maru:get("/v").json.v)
    assert.equal("table", type(show().rolled_back))
    assert.equal("0", gauge())
  end)

  it("what was quarantined and replaced is no live generation any more", function()
    start()
    quarantine()
    run("plugins release shop")
    assert(server.wait_for(function()
      return show().generations == 1
    end), show().generations)
  end)

  it("the guard does not go back to what was quarantined", function()
    start()
    quarantine()
    load(2)
    kill(3)
    assert(server.wait_for(function()
      return type(show().quarantine) == "table"
    end), maru:logs():sub(-3000))
    local plugin = show()
    assert.equal("1.0.2", plugin.version)
    assert.is_nil(maru:logs():find("does worse than", 1, true))
  end)

  it("a rollback that cannot be leaves no trace of a failure", function()
    start()
    run("rollback nobody", 4)
    run("rollback shop", 4)
    local rows = maru:admin("/plugins")
    assert.equal(1, #rows)
    assert.equal(require("cjson").null, rows[1].last_error)
  end)

  it("the end of the server waits for a folder that is being loaded", function()
    start("plugins.watch=true")
    local before = maru:logs()
    save(2, "local n = 0 while n < 1e9 do n = n + 1 end")
    server.shell("sleep 0.5") -- the watch waits for quiet, then a pool thread loads
    ended_well(before)
  end)

  it("a socket that was open at a quarantine leaves nothing behind", function()
    start("reload.guard=0")
    load(2, 'M.sockets = { ["/ws"] = { message = function(_, ws, text) ws.state = { text } ws:send(text) end } }')
    local before = maru:logs()
    local ws = assert(websocket.connect(maru.url, "/ws"))
    ws:send("a")
    assert.same({ "text", "a" }, { ws:receive() })
    quarantine()
    assert.same({ "close", 1013 }, { ws:receive() })
    ws:close()
    ended_well(before)
  end)

  it("a successor that outlives a crash of its predecessor serves", function()
    start()
    local old = maru:server_pid()
    maru:signal("STOP")
    maru:signal("USR2")
    maru:signal("KILL", old)
    maru:signal("CONT")
    assert.equal(200, maru:get("/v").status)
    assert.is_nil(maru:logs():find('draining', 1, true), maru:logs())
    assert.equal(0, maru:admin("/status").crashes)
  end)
end)
