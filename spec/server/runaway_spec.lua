--- Code without end: it costs its plugin an error, at worst its process once, and nobody else an answer.
local server = require("spec.support.server")
local socket = require("socket")
local websocket = require("spec.support.websocket")

local LOOPS = [==[
local M = { name = "loops", version = "1.0.0", jit = @JIT@, limits = { watchdog = "300ms", task = "20s" } }
local function spin() while true do end end
local function add() local x = 0 while true do x = x + 1 end end
M.routes = {
  ["GET /loop"] = function() while true do end end,
  ["GET /caught"] = function() while true do pcall(add) end end,
  ["GET /handled"] = function() while true do xpcall(add, add) end end,
  ["GET /coroutine"] = function() coroutine.wrap(add)() end,
  ["GET /tail"] = function() local function f() return f() end return f() end,
  ["GET /deep"] = function() local function f() return 1 + f() end return f() end,
  ["GET /late"] = { timeout = "200ms", function() spin() end },
  ["GET /wait"] = function(app) assert(app.sleep(30)) return 200, { waited = true } end,
  ["GET /fine"] = function() return 200, { ok = true } end,
  ["POST /push"] = function(app, req) return 202, { id = assert(app.jobs:push(req.query.kind, {})) } end,
  ["GET /job"] = function(app, req) return 200, app.jobs:get(tonumber(req.query.id)) or {} end,
}
M.jobs = {
  spin = { retries = 1, backoff = "50ms", spin },
  once = { retries = 0, spin },
  patient = function(app) app.sleep(1.5) return { done = true } end,
}
M.sockets = { ["/ws/loop"] = { message = function(_, ws, text)
  if text == "spin" then spin() end
  ws:send("echo " .. text)
end } }
return M
]==]

local GOOD = { ["plugin.lua"] = [[
local M = { name = "good", version = "1.0.0" }
M.routes = {
  ["GET /good"] = function() return 200, { ok = true } end,
  ["POST /count"] = function(app, req) return 202, { id = assert(app.jobs:push("count", { n = 1 })) } end,
  ["GET /counted"] = function(app)
    return 200, { n = #assert(app.store:all("select n from counted")) }
  end,
}
M.jobs = { count = function(app) assert(app.store:exec("insert into counted(n) values (1)")) end }
M.sockets = { ["/ws/good"] = { message = function(_, ws, text) ws:send("good " .. text) end } }
return M
]], ["migrations/0001_counted.sql"] = "create table counted (n integer not null);" }

local function loops(jit)
  return { ["plugin.lua"] = (LOOPS:gsub("@JIT@", tostring(jit))) }
end

local function start(jit, set)
  local settings = { "plugins.quarantine_kills=100" }
  for _, text in ipairs(set or {}) do
    settings[#settings + 1] = text
  end
  return server.start({ plugins = { loops = loops(jit), good = GOOD }, set = settings })
end

--- Runs a request beside this test, its answer in a file.
local function behind(maru, path)
  local file = maru.dir .. "/" .. path:gsub("%W", "_")
  server.shell(("curl -sS -o %s.body -w '%%{http_code}' %s%s >%s 2>/dev/null &"):format(file, maru.url, path, file))
  return function()
    return server.wait_for(function()
      local text = server.read_file(file)
      return text ~= nil and #text >= 3 and { status = tonumber(text), body = server.read_file(file .. ".body") or "" }
    end)
  end
end

local function plugin_row(maru, name)
  for _, row in ipairs(maru:admin("/plugins")) do
    if row.name == name then
      return row
    end
  end
end

describe("code without end in a plugin that is not compiled", function()
  local maru

  setup(function()
    maru = start(false)
  end)

  teardown(function()
    maru:stop()
  end)

  for _, path in ipairs({ "/loop", "/caught", "/handled", "/coroutine", "/tail" }) do
    it("is ended with an error: " .. path, function()
      local answer = maru:get(path)
      assert.equal(503, answer.status, answer.body)
      assert.equal("killed", answer.json.code)
      assert.equal(200, maru:get("/fine").status)
      assert.equal(200, maru:get("/good").status)
    end)
  end

  it("is ended by its deadline too, which kills nothing", function()
    local kills = plugin_row(maru, "loops").kills
    local answer = maru:get("/late")
    assert.equal(504, answer.status, answer.body)
    assert.equal(kills, plugin_row(maru, "loops").kills)
  end)

  it("says where it was", function()
    assert.equal(503, maru:get("/loop").status)
    local log = maru:logs()
    assert.truthy(log:find("loops/plugin.lua:5: GET /loop ran longer than 300 ms without waiting", 1, true), log)
    assert.truthy(log:find("loops/plugin.lua:3: in function", 1, true), log)
  end)

  it("fails a job, which is tried again and then dead", function()
    local id = maru:post("/push?kind=spin", {}).json.id
    local job = server.wait_for(function()
      local json = maru:get("/job?id=" .. id).json
      return json and json.state == "dead" and json
    end)
    assert(job, maru:logs():sub(-3000))
    assert.equal(2, job.attempt)
    assert.truthy(job.error:find("loops.spin ran longer than 300 ms", 1, true), job.error)
  end)

  it("closes the socket whose handler it was", function()
    local ws = assert(websocket.connect(maru.url, "/ws/loop"))
    ws:send("a")
    assert.same({ "text", "echo a" }, { ws:receive() })
    ws:send("spin")
    assert.same({ "close", 1011 }, { ws:receive() })
    ws:close()
  end)

  it("cancels what else ran in the same state, and says that it was not its fault", function()
    local single = server.start({ plugins = { loops = loops(false), good = GOOD },
      set = { "lanes.web=1", "plugins.quarantine_kills=100" } })
    finally(function()
      single:stop()
    end)
    local waits = behind(single, "/wait")
    assert(server.wait_for(function()
      return plugin_row(single, "loops").tasks == 1
    end))
    assert.equal(503, single:get("/loop").status)
    local answer = assert(waits(), "the other request got no answer")
    assert.equal(503, answer.status, answer.body)
    assert.truthy(answer.body:find("cancelled", 1, true), answer.body)
  end)

  it("leaves the process as it is", function()
    local status = maru:admin("/status")
    assert.equal(0, status.crashes)
    assert.equal(maru.ready.server_pid, status.server_pid)
    assert.equal(500, maru:get("/deep").status)
  end)
end)

describe("code without end in a start or a file", function()
  local function reloads(text, place)
    local maru = server.start({ plugins = { loops = loops(true), good = GOOD }, set = { "plugins.watch=false",
      "plugins.quarantine_kills=100" } })
    finally(function()
      maru:stop()
    end)
    local pid = maru:server_pid()
    server.write_file(maru:plugin_path("loops"), text)
    local output, status = maru:command_output("reload loops")
    assert.equal(4, status, output)
    assert.truthy(output:find(place, 1, true), output)
    assert.equal(200, maru:get("/fine").status)
    assert.equal(200, maru:get("/good").status)
    assert.equal(pid, maru:server_pid())
    -- A server that is started now finds the file as broken as it was.
    maru:signal("KILL", pid)
    assert(server.wait_for(function()
      return maru:server_pid() ~= pid and maru:get("/good").status == 200
    end, 60), maru:logs():sub(-3000))
    assert.equal(200, maru:get("/fine").status, maru:logs():sub(-3000))
  end

  it("refuses a start() that loops, names the line and keeps the old one", function()
    reloads([[
return { name = "loops", version = "2.0.0", limits = { watchdog = "300ms" },
  start = function()
    local x = 0
    while true do x = x + 1 end
  end }
]], "loops/plugin.lua:4:")
  end)
end)

describe("code without end that was compiled", function()
  --- Asks the other plugin all the while; what went wrong, and how long the longest answer took.
  local function honest(maru, done)
    local seen, deadline = { asked = 0, failed = 0, refused = 0, longest = 0, pushed = 0 }, socket.gettime() + 60
    while not done() and socket.gettime() < deadline do
      local began = socket.gettime()
      local answer = maru:get("/good")
      seen.asked = seen.asked + 1
      seen.longest = math.max(seen.longest, socket.gettime() - began)
      seen.failed = seen.failed + (answer.status == 200 and 0 or 1)
      seen.refused = seen.refused + (tostring(answer.error):find("refused", 1, true) and 1 or 0)
      seen.pushed = seen.pushed + (maru:post("/count", {}).status == 202 and 1 or 0)
    end
    return seen
  end

  local function all_counted(maru, pushed)
    return server.wait_for(function()
      local json = maru:get("/counted").json
      return json and json.n >= pushed
    end)
  end

  local function replaced(maru, old)
    return function()
      local pid = maru:server_pid()
      return pid and pid ~= old and maru:logs():find("server " .. pid .. " is ready", 1, true) ~= nil
    end
  end

  --- One loop in compiled code: the process goes, nobody else notices more than a wait. `lost`: how many
  --- of one client's requests may have been taken by the lane just before it was stuck.
  local function costs_one_process(maru, lost, begin)
    local old = maru:server_pid()
    begin()
    local seen = honest(maru, replaced(maru, old))
    assert.equal(0, seen.refused)
    assert.is_true(seen.failed <= lost, seen.failed .. " failed\n" .. maru:logs():sub(-3000))
    assert(not server.alive(old))
    assert(all_counted(maru, seen.pushed), "an acknowledged job was lost\n" .. maru:logs():sub(-3000))
    assert.equal(0, maru:admin("/status").crashes)
    local row = plugin_row(maru, "loops")
    assert.is_true(row.interpreted)
    assert.is_true(row.kills >= 1)
    return seen
  end

  local function checked(maru)
    return maru:admin("/status").runaway_code ~= "unchecked"
  end

  local maru

  before_each(function()
    maru = start(true)
  end)

  after_each(function()
    maru:stop()
  end)

  it("costs one process; the next time only an error", function()
    if checked(maru) then
      return pending("this LuaJIT stops compiled code")
    end
    costs_one_process(maru, 1, function()
      behind(maru, "/loop")
      server.shell("sleep 0.1")
    end)
    local pid = maru:server_pid()
    assert.truthy(maru:logs():find("runs interpreted", 1, true))
    for _ = 1, 2 do
      assert.equal(503, maru:get("/loop").status)
    end
    assert.equal(200, maru:get("/fine").status)
    assert.equal(pid, maru:server_pid())
  end)

  it("in a job: it counts as an attempt, and what waited on its lane runs again", function()
    if checked(maru) then
      return pending("this LuaJIT stops compiled code")
    end
    local single, id, patient = server.start({ plugins = { loops = loops(true), good = GOOD },
      set = { "lanes.job=1", "plugins.quarantine_kills=100" } })
    finally(function()
      single:stop()
    end)
    costs_one_process(single, 0, function()
      patient = single:post("/push?kind=patient", {}).json.id
      id = single:post("/push?kind=spin", {}).json.id
    end)
    local job = server.wait_for(function()
      local json = single:get("/job?id=" .. id).json
      return json and json.state == "dead" and json
    end)
    assert(job, single:logs():sub(-3000))
    assert.equal(2, job.attempt)
    assert.equal(0, job.crashes)
    local other = server.wait_for(function()
      local json = single:get("/job?id=" .. patient).json
      return json and json.state == "done" and json
    end)
    assert(other, single:logs():sub(-3000))
    assert.equal(1, other.attempt)
  end)

  it("in a socket's handler: sockets of others go with the process, and come back", function()
    if checked(maru) then
      return pending("this LuaJIT stops compiled code")
    end
    local ws = assert(websocket.connect(maru.url, "/ws/loop"))
    costs_one_process(maru, 1, function()
      ws:send("spin")
    end)
    ws:close()
    ws = assert(websocket.connect(maru.url, "/ws/good"))
    ws:send("a")
    assert.same({ "text", "good a" }, { ws:receive() })
    ws:close()
  end)

  it("on every web lane at once: who waits is served by the successor", function()
    if checked(maru) then
      return pending("this LuaJIT stops compiled code")
    end
    local old = maru:server_pid()
    for i = 1, 6 do
      behind(maru, "/loop?n=" .. i)
    end
    server.shell("sleep 0.1")
    local seen = honest(maru, replaced(maru, old))
    assert.equal(0, seen.refused)
    assert(server.wait_for(function()
      return maru:get("/good").status == 200 and maru:get("/fine").status == 200
    end), maru:logs():sub(-3000))
    assert(all_counted(maru, seen.pushed))
  end)
end)
