--- The supervisor: what its signals do, and what it does when its server dies.
local server = require("spec.support.server")

local function plugin(text)
  return { hello = { ["plugin.lua"] = ([[
local M = { name = "hello", version = "1.0.0" }
M.config = { word = { type = "string", default = "one" } }
M.routes = { ["GET /hello"] = function(app) return 200, { %s, word = app.config.word } end }
return M
]]):format(text) } }
end

describe("the supervisor", function()
  local maru

  after_each(function()
    if maru then
      maru:stop()
    end
    maru = nil
  end)

  local function new_server(old)
    return server.wait_for(function()
      local pid = maru:server_pid()
      return pid and pid ~= old and maru:get("/hello").status == 200 and pid
    end)
  end

  it("starts a killed server again, counts the crash and refuses nobody", function()
    maru = server.start({ plugins = plugin("n = 1") })
    local old = maru:server_pid()
    maru:signal("KILL", old)
    local answer = maru:get("/hello")
    assert.equal(200, answer.status, tostring(answer.error))
    assert(new_server(old))
    assert.equal(1, maru:admin("/status").crashes)
    assert.equal(maru.pid, maru:admin("/status").pid)
  end)

  it("serves the kept generation when a restart finds the folder broken", function()
    maru = server.start({ plugins = plugin("n = 1") })
    server.wait_for(function()
      return server.shell("ls " .. maru.dir .. "/state/generations"):find("hello.", 1, true)
    end)
    server.write_file(maru:plugin_path("hello"), "return {\n  routes = = }\n")
    server.wait_for(function()
      return maru:logs():find("plugin.lua:2:", 1, true)
    end)
    local old = maru:server_pid()
    maru:signal("KILL", old)
    assert(new_server(old), maru:logs())
    assert.equal(1, maru:get("/hello").json.n)
    assert.truthy(maru:admin("/plugins")[1].last_error.message:find("plugin.lua:2:", 1, true))
  end)

  it("replaces the server on USR2 without a failed request", function()
    maru = server.start({ plugins = plugin("n = 1") })
    local old, file = maru:server_pid(), maru.dir .. "/wrk"
    server.shell(("wrk -t1 -c8 -d4s %s/hello >%s 2>&1 &"):format(maru.url, file))
    server.shell("sleep 0.5")
    maru:signal("USR2")
    assert(server.wait_for(function()
      return not server.alive(old)
    end), maru:logs())
    assert(new_server(old), maru:logs())
    local text = server.wait_for(function()
      local out = server.read_file(file)
      return out and out:find("Transfer/sec", 1, true) and out
    end)
    assert.is_nil(text:find("Non-2xx", 1, true), text)
    assert.equal(0, maru:admin("/status").crashes)
  end)

  it("reads plugins and their configuration again on HUP", function()
    maru = server.start({ plugins = plugin("n = 1"), set = { "plugins.watch=false" },
      config = [[return { ["plugins.hello"] = { word = "first" } }]] })
    assert.equal("first", maru:get("/hello").json.word)
    server.write_plugins(maru.dir .. "/plugins", plugin("n = 2"))
    server.write_file(maru.dir .. "/maru.lua", [[return { ["plugins.hello"] = { word = "second" } }]])
    maru:signal("HUP")
    assert(server.wait_for(function()
      local json = maru:get("/hello").json
      return json.n == 2 and json.word == "second"
    end), maru:logs())
  end)

  it("takes its server along when it is killed itself", function()
    maru = server.start({ plugins = plugin("n = 1") })
    local child = maru:server_pid()
    maru:signal("KILL")
    assert(server.wait_for(function()
      return not server.alive(child)
    end))
  end)

  it("does not restart a first server that cannot start", function()
    local dir = server.make_dir()
    server.write_plugins(dir .. "/plugins", { bad = { ["plugin.lua"] = "return {\n  = }\n" } })
    local output, status = server.maru(("serve --set state.dir=%s/state --set http.listen=127.0.0.1:0 "
      .. "--set https.listen= --set plugins.path=%s/plugins"):format(dir, dir))
    assert.equal(4, status, output)
    assert.truthy(output:find("bad/plugin.lua:2:", 1, true), output)
    server.shell("rm -rf " .. dir)
  end)

  it("exits 0 when it is told to stop, after running requests are answered", function()
    maru = server.start({ plugins = { hello = { ["plugin.lua"] = [[
local M = { name = "hello", version = "1.0.0" }
M.routes = { ["GET /hello"] = function(app) app.sleep(1) return 200, { done = true } end }
return M
]] } } })
    local file = maru.dir .. "/slow"
    server.shell(("curl -sS %s/hello >%s 2>&1 &"):format(maru.url, file))
    server.shell("sleep 0.3")
    local pid = maru.pid
    maru:signal("TERM")
    assert(server.wait_for(function()
      return not server.alive(pid)
    end))
    assert.equal('{"done":true}', server.read_file(file))
  end)
end)
