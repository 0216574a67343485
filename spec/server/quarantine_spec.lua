--- A plugin that has to be ended by force too often is held back; nothing of it is lost, and the rest serves.
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

local BAD = [==[
local M = { name = "bad", version = "1.0.0", jit = @JIT@, limits = { watchdog = "200ms", memory = "8M" } }
local function note(app, kind) assert(app.store:exec("insert into notes(kind) values ($1)", kind)) end
M.routes = {
  ["GET /loop"] = function() while true do end end,
  ["GET /eat"] = function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end end,
  ["GET /fine"] = { cache = "1h", function() return 200, { ok = true, mark = "@MARK@" } end },
  ["GET /stream"] = function(app)
    return app.sse(function(stream) while stream:send("beat", { n = 1 }) do app.sleep(0.05) end end)
  end,
  ["GET /notes"] = function(app)
    return 200, { notes = app.json.array(assert(app.store:all("select kind from notes order by kind"))) }
  end,
}
M.jobs = {
  note = { retries = 0, export = true, function(app, job) note(app, job.args.kind) end },
}
M.cron = { ["@every 1s"] = { id = "tick", function(app) note(app, "tick") end } }
M.on = { ["bad.topic"] = function(app) note(app, "topic") end }
M.sockets = { ["/ws/bad"] = { message = function(_, ws, text) ws:send("bad " .. text) end } }
M.exports = { add = function(_, a, b) return a + b end }
M.start = function(app) note(app, "start") end
return M
]==]

local GOOD = [==[
local M = { name = "good", version = "1.0.0", requires = { "bad" },
  allow = { exports = { "bad.add" }, jobs = { "bad.note" }, events = { "bad.topic" } } }
M.routes = {
  ["GET /good"] = function() return 200, { ok = true } end,
  ["GET /call"] = function(app)
    local sum, message, code = app.call("bad.add", 1, 2)
    return 200, { sum = sum, message = message, code = code }
  end,
  ["POST /push"] = function(app, req)
    return 202, { id = assert(app.jobs:push("bad.note", { kind = req.query.kind })) }
  end,
  ["GET /job"] = function(app, req) return 200, app.jobs:get(tonumber(req.query.id)) or {} end,
  ["POST /publish"] = function(app) assert(app.events:emit("bad.topic", { n = 1 })) return 202, {} end,
}
return M
]==]

local function bad(jit, mark)
  return { ["plugin.lua"] = (BAD:gsub("@JIT@", tostring(jit)):gsub("@MARK@", mark or "one")),
    ["migrations/0001_notes.sql"] = "create table notes (id integer primary key, kind text not null);" }
end

local function start(jit, set)
  local settings = { "plugins.watch=false" }
  for _, text in ipairs(set or {}) do
    settings[#settings + 1] = text
  end
  return server.start({ plugins = { bad = bad(jit), good = { ["plugin.lua"] = GOOD } }, set = settings })
end

local function row(maru)
  for _, plugin in ipairs(maru:admin("/plugins")) do
    if plugin.name == "bad" then
      return plugin
    end
  end
end

local function quarantine(maru)
  for _ = 1, 3 do
    assert.equal(503, maru:get("/loop").status)
  end
  return assert(server.wait_for(function()
    local held = row(maru).quarantine
    return type(held) == "table" and held
  end), maru:logs():sub(-3000))
end

local function count_notes(maru, kind)
  local n = 0
  for _, note in ipairs(maru:get("/notes").json.notes) do
    n = n + (note.kind == kind and 1 or 0)
  end
  return n
end

describe("the third kill within the window", function()
  local maru

  before_each(function()
    maru = start(false)
  end)

  after_each(function()
    maru:stop()
  end)

  it("closes the plugin's routes with the reason, and nobody else's", function()
    assert.equal(200, maru:get("/fine").status) -- and is kept for an hour
    local held = quarantine(maru)
    assert.truthy(held.reason:find("bad/plugin.lua:4: GET /loop ran longer than 200 ms", 1, true), held.reason)
    assert.equal(3, held.kills)
    for _, path in ipairs({ "/fine", "/loop", "/stream" }) do
      local answer = maru:get(path)
      assert.equal(503, answer.status)
      assert.equal("application/problem+json", answer.headers["content-type"])
      assert.equal("quarantined", answer.json.code)
      assert.equal(held.since, answer.json.since)
      assert.truthy(answer.json.detail:find("GET /loop ran longer", 1, true), answer.json.detail)
    end
    assert.equal(200, maru:get("/good").status)
    local text = maru:get("/metrics").body
    assert.truthy(text:find('maru_plugin_quarantined{plugin="bad"} 1', 1, true), text)
    assert.truthy(text:find('maru_plugin_kills_total{plugin="bad"} 3', 1, true))
    local _, described = text:gsub("# TYPE maru_plugin_kills_total ", "")
    assert.equal(1, described)
    local output, status = maru:command_output("plugins")
    assert.equal(0, status)
    assert.truthy(output:find("bad: quarantined since", 1, true), output)
    assert.truthy(maru:logs():find("is quarantined after 3 kills", 1, true))
  end)

  it("closes its sockets with 1013 and ends its streams", function()
    local ws = assert(websocket.connect(maru.url, "/ws/bad"))
    ws:send("a")
    assert.same({ "text", "bad a" }, { ws:receive() })
    local file = maru.dir .. "/stream"
    server.shell(("(curl -sN %s/stream; echo ended) >%s 2>/dev/null &"):format(maru.url, file))
    assert(server.wait_for(function()
      return (server.read_file(file) or ""):find("data: ", 1, true)
    end))
    quarantine(maru)
    assert(server.wait_for(function()
      return server.read_file(file):find("ended", 1, true)
    end), maru:logs():sub(-3000))
    assert.same({ "close", 1013 }, { ws:receive() })
    ws:close()
    local again = websocket.connect(maru.url, "/ws/bad")
    assert.same({ "close", 1013 }, { assert(again):receive() })
    again:close()
  end)

  it("holds its jobs, schedules and topics, which run after the release", function()
    quarantine(maru)
    local id = maru:post("/push?kind=held", {}).json.id
    assert.equal(202, maru:post("/publish", {}).status)
    server.shell("sleep 1.5")
    local job = maru:get("/job?id=" .. id).json
    assert.equal("ready", job.state)
    assert.equal(0, job.attempt)
    local output, status = maru:command_output("plugins release bad")
    assert.equal(0, status, output)
    assert.equal("bad is released\n", output)
    assert(server.wait_for(function()
      return maru:get("/fine").status == 200 and count_notes(maru, "held") == 1 and count_notes(maru, "topic") == 1
        and count_notes(maru, "tick") >= 1
    end), maru:logs():sub(-3000))
    assert(server.wait_for(function() -- its note is there before its end is
      return maru:get("/job?id=" .. id).json.state == "done"
    end))
    assert.equal(require("cjson").null, row(maru).quarantine)
    assert.equal(0, row(maru).kills)
  end)

  it("tells plugins that call it", function()
    assert.equal(3, maru:get("/call").json.sum)
    quarantine(maru)
    local answer = maru:get("/call").json
    assert.is_nil(answer.sum)
    assert.equal("quarantined", answer.code)
    assert.truthy(answer.message:find("bad is held back", 1, true))
  end)

  it("lasts over a restart, in which nothing of the plugin is started", function()
    local held = quarantine(maru)
    local id = maru:post("/push?kind=held", {}).json.id
    local old = maru:server_pid()
    maru:signal("KILL", old)
    assert(server.wait_for(function()
      return maru:server_pid() ~= old and maru:get("/good").status == 200
    end), maru:logs():sub(-3000))
    assert.equal(503, maru:get("/fine").status)
    assert.equal(held.since, row(maru).quarantine.since)
    local later = maru:post("/push?kind=later", {}).json.id
    local job = maru:get("/job?id=" .. later).json
    assert.equal("ready", job.state)
    assert.equal(1, job.max_attempts)
    assert.equal(0, select(2, maru:command_output("plugins release bad")))
    assert(server.wait_for(function()
      return maru:get("/job?id=" .. id).json.state == "done" and maru:get("/job?id=" .. later).json.state == "done"
    end), maru:logs():sub(-3000))
    assert.equal(2, count_notes(maru, "start")) -- at the first start and at the release
  end)

  it("ends with a changed file, not with the same one", function()
    quarantine(maru)
    local output = maru:command_output("reload bad")
    assert.truthy(output:find("bad", 1, true))
    assert.equal(503, maru:get("/fine").status)
    server.write_plugins(maru.dir .. "/plugins", { bad = bad(false, "two") })
    assert.equal(0, select(2, maru:command_output("reload bad")))
    assert.equal("two", maru:get("/fine").json.mark)
    assert.equal(0, row(maru).kills)
  end)

  it("counts what ran out of memory, too", function()
    for _ = 1, 2 do
      assert.equal(503, maru:get("/eat").status)
    end
    assert.equal(503, maru:get("/loop").status)
    assert(server.wait_for(function()
      return maru:get("/fine").json.code == "quarantined"
    end), maru:logs():sub(-3000))
  end)

  it("is said when there is nothing to release", function()
    local output, status = maru:command_output("plugins release good")
    assert.equal(1, status)
    assert.truthy(output:find("nothing is held against good", 1, true), output)
    output, status = maru:command_output("plugins release nobody")
    assert.equal(1, status)
    assert.truthy(output:find("no plugin 'nobody'", 1, true), output)
  end)
end)

describe("kills that took a process along", function()
  it("count with the others", function()
    local maru = start(true)
    finally(function()
      maru:stop()
    end)
    if maru:admin("/status").runaway_code ~= "unchecked" then
      return pending("this LuaJIT stops compiled code")
    end
    local old = maru:server_pid()
    maru:get("/loop") -- lost with its process
    assert(server.wait_for(function()
      return maru:server_pid() ~= old and maru:get("/fine").status == 200
    end), maru:logs():sub(-3000))
    assert.is_true(row(maru).interpreted)
    for _ = 1, 2 do
      assert.equal(503, maru:get("/loop").status)
    end
    assert(server.wait_for(function()
      return maru:get("/fine").json.code == "quarantined"
    end), maru:logs():sub(-3000))
    assert.equal(0, select(2, maru:command_output("plugins release bad")))
    assert.equal(200, maru:get("/fine").status)
    assert.is_false(row(maru).interpreted)
  end)
end)
