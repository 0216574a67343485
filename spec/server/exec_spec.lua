--- Programs that plugins run: with what they ask for, and gone when they are.
local cjson = require("cjson")
local server = require("spec.support.server")

local HEAD = [[
local M = { name = "tool", version = "1.0.%d" }
M.limits = { task = "30s" }
M.allow = { exec = { "/bin/sh", "/usr/bin/env", "/nowhere/tool" } }
]]
local BODY = [[
local function run(app, req)
  local b = app.json.decode(req.raw_body)
  local answer, message, code = app.exec(b.program or "/bin/sh", b.args or { "-c", b.script }, b.options)
  if not answer then
    return 200, { message = message, code = code }
  end
  return 200, answer
end
M.routes = { ["POST /run"] = run, ["GET /alive"] = function() return 200, { version = M.version } end }
M.jobs = { run = { retries = 0, function(app, job)
  return app.exec("/bin/sh", { "-c", job.args.script }, { timeout = "25s" })
end } }
M.routes["POST /push"] = function(app, req)
  return 200, { id = app.jobs:push("run", app.json.decode(req.raw_body)) }
end
return M
]]

local function plugin(version)
  return { ["plugin.lua"] = HEAD:format(version) .. BODY }
end

local function entries(dir)
  return (server.shell("ls -A " .. dir .. "/state/programs"))
end

--- A script that says its number in a file and then goes on for long, whatever it is told.
local function stubborn(file)
  return ("trap '' TERM; echo $$ >%s.new; mv %s.new %s; while :; do sleep 0.1; done"):format(file, file, file)
end

local function started(file)
  local text = server.wait_for(function()
    return (server.read_file(file) or ""):match("^%d+")
  end)
  return tonumber(text) or error("the program did not start", 2)
end

local function ended(pid)
  return server.wait_for(function()
    return not server.alive(pid)
  end)
end

describe("a plugin's program", function()
  local maru

  before_each(function()
    maru = server.start({ plugins = { tool = plugin(1) }, set = { "plugins.watch=false", "lanes.web=1",
      "reload.drain=200ms" } })
  end)

  after_each(function()
    maru:stop()
  end)

  local function run(request)
    return maru:request("/run", { json = request, method = "POST" }).json
  end

  it("gets arguments, input and environment, and gives output and status", function()
    assert.same({ status = 3, stdout = "in:ARG $HOME:x\n", stderr = "oops" }, run({
      args = { "-c", [[printf 'in:'; printf '%s:' "$1"; echo "$V"; printf oops >&2; exit 3]], "sh", "ARG $HOME" },
      options = { env = { V = "x" } },
    }))
    assert.equal("two\n", run({ script = "read a; read b; echo $b", options = { input = "one\ntwo\n" } }).stdout)
    assert.same({ signal = 9, stdout = "", stderr = "" }, run({ script = "kill -9 $$" }))
    assert.equal("A=1\n", run({ program = "/usr/bin/env", args = {}, options = { env = { A = "1" } } }).stdout)
  end)

  it("sees nothing of the server", function()
    local answer = run({ script = "ls /proc/self/fd | tr '\\n' ' '; grep NoNewPrivs /proc/self/status; ls -A; pwd" })
    assert.truthy(answer.stdout:find("^0 1 2 3 NoNewPrivs:%s*1\n"), answer.stdout)
    assert.truthy(answer.stdout:find(maru.dir .. "/state/programs/", 1, true), answer.stdout)
    assert(server.wait_for(function()
      return entries(maru.dir) == ""
    end), "folders are left: " .. entries(maru.dir))
  end)

  it("says what went wrong", function()
    assert.equal("forbidden", run({ program = "/bin/cat", args = {} }).code)
    assert.equal("missing", run({ program = "/nowhere/tool", args = {} }).code)
    local late = run({ script = "sleep 60", options = { timeout = "100ms" } })
    assert.same({ code = "timeout", message = "/bin/sh took longer than 0.1 s" }, late)
    assert.equal("limit", run({ script = "while :; do echo yes; done", options = { max_bytes = "1K" } }).code)
  end)

  it("does not hold the lane while it runs, even a hundred of them", function()
    local file = maru.dir .. "/pid"
    server.shell(("curl -sS -d '%s' %s/run >/dev/null 2>&1 &"):format(
      cjson.encode({ script = "echo $$ >" .. file .. "; sleep 20" }), maru.url))
    started(file)
    for _ = 1, 100 do
      assert.equal(200, maru:get("/alive").status)
      assert.equal(0, run({ script = "exit 0" }).status)
    end
  end)

  it("ends when the client that asked for it goes", function()
    local file = maru.dir .. "/pid"
    local client = server.shell(("curl -sS -d \"%s\" %s/run >/dev/null 2>&1 & echo $!"):format(
      cjson.encode({ script = stubborn(file) }):gsub('[\\"$]', "\\%0"), maru.url))
    local pid = started(file)
    server.shell("kill " .. client)
    assert.truthy(ended(pid))
  end)

  it("ends when its generation is replaced", function()
    local file = maru.dir .. "/pid"
    maru:post("/push", { script = stubborn(file) })
    local pid = started(file)
    local folder = entries(maru.dir):match("%S+")
    server.write_plugins(maru.dir .. "/plugins", { tool = plugin(2) })
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.truthy(ended(pid))
    assert.equal("1.0.2", maru:get("/alive").json.version)
    assert(server.wait_for(function() -- the job, which was cut off, has another one when it runs again
      return not entries(maru.dir):find(folder, 1, true)
    end), "folder is left: " .. folder)
  end)

  it("ends when the server stops", function()
    local file = maru.dir .. "/pid"
    maru:post("/push", { script = stubborn(file) })
    local pid = started(file)
    maru:stop(true)
    assert.is_nil(maru.forced)
    assert.is_false(server.alive(pid))
    assert.equal("", entries(maru.dir))
  end)

  it("dies with a server that is killed, and the next one clears up", function()
    local file, old = maru.dir .. "/pid", maru:server_pid()
    maru:post("/push", { script = stubborn(file) })
    local pid = started(file)
    assert.truthy(entries(maru.dir):find(old .. "-tool.", 1, true))
    maru:signal("KILL", old)
    assert.truthy(ended(pid))
    assert(server.wait_for(function()
      return maru:get("/alive").status == 200 and not entries(maru.dir):find(old .. "-", 1, true)
    end), entries(maru.dir))
  end)
end)
