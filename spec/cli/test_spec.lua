--- `maru test`: what a plugin's specs reach, how time behaves, and how failures are told.
local cjson = require("cjson")
local server = require("spec.support.server")

local PLUGIN = [[
local M = { name = "notes", version = "1.0.0" }
M.config = {
  keep = { type = "integer", default = 30 },
  base = { type = "string", default = "http://127.0.0.1:9" },
  token = { type = "string", default = "", secret = true },
}
M.allow = { net = { "config:base" } }
M.routes = {
  ["GET /notes"] = function(app)
    return 200, { notes = app.json.array(app.store:all("select text, at from notes")) }
  end,
  ["POST /notes"] = { body = { text = "string(1,20)" }, function(app, req)
    local note = app.store:one("insert into notes(text, at) values ($1, $2) returning text, at",
      req.body.text, app.now())
    app.channels:publish("notes.new", note)
    app.jobs:push("index", { text = note.text })
    app.log:info("kept", { text = note.text })
    return 201, note
  end },
  ["GET /keep"] = function(app) return 200, { keep = app.config.keep } end,
  ["GET /secret"] = { auth = "user", function() return 200, {} end },
  ["GET /slow"] = { timeout = "50m", function(app)
    assert(app.sleep("40m"))
    return 200, { at = app.now() }
  end },
  ["GET /never"] = function(app) assert(app.sleep("9d")) end,
  ["GET /generation"] = function(app)
    app.sleep(1)
    return 200, { generation = app.generation }
  end,
  ["GET /os"] = function() return 200, { now = os.time(), year = os.date("!%Y") } end,
  ["GET /boom"] = function() error("no such note") end,
  ["GET /outside"] = function(app)
    local answer, message, code = app.http:get(app.config.base .. "/thing", { query = { token = app.config.token },
      headers = { authorization = "Bearer " .. app.config.token } })
    return 200, { body = answer and answer.body, message = message, code = code }
  end,
  ["GET /events"] = function(app) return app.sse(function(stream)
    stream:send("hello", { n = 1 })
    app.sleep(1)
    stream:send("bye", "text")
  end) end,
}
M.jobs = {
  index = function(app, job) return { size = #job.args.text } end,
  sleepy = function(app) assert(app.sleep(20)) return app.now() end,
  bad = { retries = 3, backoff = "10s", function() error("bad luck") end },
}
M.cron = {
  ["0 9 * * *"] = { id = "daily", tz = "UTC", job = "sleepy" },
  ["*/10 * * * *"] = { tz = "UTC", job = "sleepy" },
}
M.sockets = { ["/ws"] = {
  open = function(_, socket) socket:send("hello") end,
  message = function(app, socket, text) app.sleep(0.1) socket:send({ echo = text }) end,
} }
M.exports = { count = function(app) return #app.store:all("select 1 from notes") end }
return M
]]

local MIGRATION = "create table notes (\n  text text not null,\n  at double precision not null\n);\n"

--- A folder of plugins; specs: text of each of notes' spec files by name.
local function make(specs, plugin)
  local dir = server.make_dir()
  local files = { ["plugin.lua"] = plugin or PLUGIN, ["migrations/0001_notes.sql"] = MIGRATION }
  for name, text in pairs(specs) do
    files["spec/" .. name] = text
  end
  server.write_plugins(dir, { notes = files })
  return dir
end

local function run(dir, arguments)
  return server.maru(("test %s --set plugins.path=%s"):format(arguments or "", dir))
end

--- Runs one spec body; returns output and status.
local function run_body(body, arguments, plugin)
  local dir = make({ ["notes_spec.lua"] = 'describe("notes", function()\n' .. body .. "\nend)\n" }, plugin)
  local output, status = run(dir, "notes --output TAP " .. (arguments or ""))
  server.shell("rm -rf " .. dir)
  return output, status
end

local function passes(body, arguments)
  local output, status = run_body(body, arguments)
  assert.equal(0, status, output)
  return output
end

describe("maru test", function()
  it("reaches the plugin through routes, validation, store, channels, jobs and log", function()
    passes([[
      it("keeps a note", function()
        local refused = test:post("/notes", { text = "" })
        assert.equal(422, refused.status)
        assert.equal("application/problem+json", refused.headers["content-type"])
        local answer = test:post("/notes", { text = "one" })
        assert.equal(201, answer.status)
        assert.same({ text = "one", at = test.clock:now() }, answer.json)
        assert.same({ { text = "one", at = test.clock:now() } }, test:published("notes.new"))
        assert.equal("one", test:log("info")[1].fields.text)
        assert.equal("one", test:app().store:one("select text from notes").text)
        assert.equal(1, test:app().call("notes.count"))
        local ran = test:run_jobs()
        assert.equal(1, #ran)
        assert.equal("notes.index", ran[1].kind)
        assert.equal("done", ran[1].state)
        assert.same({ size = 3 }, ran[1].result)
      end)
      it("begins with what was there, but without its messages", function()
        assert.equal(1, #test:get("/notes").json.notes)
        assert.same({}, test:published("notes.new"))
        assert.equal(404, test:get("/nothing").status)
        assert.equal(401, test:get("/secret").status)
        assert.equal(200, test:get("/secret", { as = "operator" }).status)
        assert.equal("", test:head("/notes").body)
      end)
      it("can use a transaction of the plugin's store", function()
        test:app().store:tx(function(tx)
          tx:exec("delete from notes")
          return nil, "changed my mind", "no"
        end)
        assert.equal(1, test:app().call("notes.count"))
      end)
    ]])
  end)

  it("gives each file an empty database and leaves nothing behind", function()
    local text = 'describe("x", function() it("is alone", function()\n' ..
      'assert.same({}, test:get("/notes").json.notes) test:post("/notes", { text = "a" }) end) end)'
    local dir = make({ ["a_spec.lua"] = text, ["b_spec.lua"] = text })
    server.shell("mkdir " .. dir .. "/tmp")
    local output, status = server.shell(("TMPDIR=%s/tmp %s test --set plugins.path=%s"):format(dir, server.binary(),
      dir))
    assert.equal(0, status, output)
    assert.truthy(output:find("2 successes", 1, true), output)
    assert.equal("", (server.shell("ls " .. dir .. "/tmp")))
    server.shell("rm -rf " .. dir)
  end)

  it("lets time stand still, and jump to what is waited for", function()
    passes([[
      it("sleeps forty minutes at once", function()
        local before = test.clock:now()
        assert.equal(1767603600, before)
        assert.equal(before + 2400, test:get("/slow").json.at)
        assert.equal(before + 2400, test.clock:now())
        assert.same({ now = before + 2400, year = "2026" }, test:get("/os").json)
      end)
      it("ends a handler that is over its time", function()
        local before = test.clock:now()
        assert.equal(504, test:get("/never").status)
        assert.equal(before + 30, test.clock:now())
      end)
      it("stands still for SQL too", function()
        local row = test:app().store:one("select cast(strftime('%s', 'now') as integer) as now")
        assert.equal(test.clock:now(), row.now)
      end)
      it("can be set", function()
        test.clock:set("2030-02-01T00:00:00Z")
        assert.equal(1896134400, test:post("/notes", { text = "x" }).json.at)
        assert.has_error(function() test.clock:set("tomorrow") end)
        assert.has_error(function() test.clock:advance("soon") end)
      end)
    ]])
  end)

  it("fires schedules when their time comes, and jobs with their delays", function()
    passes([[
      it("every ten minutes", function()
        test.clock:set("2026-01-05T10:01:00Z")
        test.clock:advance("1h")
        local ran = test:run_jobs()
        assert.equal(6, #ran)
        assert.equal("done", ran[1].state)
      end)
      it("now, when the test says so", function()
        local now = test.clock:now()
        assert.equal(now + 20, (test:cron("daily")))
        assert.has_error(function() test:cron("weekly") end)
      end)
      it("runs only the job that is named", function()
        test:app().jobs:push("index", { text = "later" })
        local result, problem, job = test:job("bad")
        assert.is_nil(result)
        assert.truthy(problem:find("bad luck", 1, true))
        assert.equal("delayed", job.state)
        assert.same({ size = 2 }, (test:job("index", { text = "ab" })))
        assert.equal(1, #test:run_jobs())
      end)
      it("retries when the delay is over", function()
        test.clock:advance("2h")
        local bad
        for _, job in ipairs(test:run_jobs()) do
          bad = job.kind == "notes.bad" and job or bad
        end
        assert.equal("dead", bad.state)
        assert.equal(4, bad.attempt)
      end)
    ]])
  end)

  it("talks to sockets and streams, and knows that nothing more comes", function()
    passes([[
      it("echoes", function()
        local socket = test:socket("/ws")
        assert.equal("hello", socket:receive())
        socket:send("x")
        assert.same({ echo = "x" }, socket:receive_json())
        assert.same({ nil, "timeout" }, { socket:receive("1m") })
        socket:close()
        assert.same({ nil, "closed" }, { socket:receive() })
        assert.has_error(function() test:socket("/notes") end)
      end)
      it("streams", function()
        local events = test:events("/events")
        assert.equal(200, events.status)
        assert.same({ event = "hello", data = '{"n":1}', json = { n = 1 } }, events:receive())
        assert.equal("text", events:receive("2s").data)
        assert.same({ nil, "closed" }, { events:receive() })
      end)
      it("hears that another task has closed a stream", function()
        local events, closed = test:events("/events")
        assert.equal("hello", events:receive().event)
        test:app().spawn(function()
          events:close()
          closed = true
        end)
        assert.same({ nil, "closed" }, { events:receive("1m") })
        assert.is_true(closed)
      end)
    ]])
  end)

  it("takes settings of the spec, before the plugin is loaded and later", function()
    passes([[
      test:config({ keep = 7 })
      it("from the start", function() assert.equal(7, test:get("/keep").json.keep) end)
      it("by a reload", function()
        test:config({ keep = 8 })
        assert.equal(8, test:get("/keep").json.keep)
        assert.equal(8, test:app().config.keep)
        assert.has_error(function() test:config({ keep = "many" }) end)
        assert.equal(8, test:get("/keep").json.keep)
      end)
    ]])
  end)

  it("reloads before, during and after every test", function()
    local body = [[
      local seen = {}
      it("answers", function()
        local generation = test:get("/generation").json.generation
        assert.truthy(generation:find("^notes@"))
        assert.equal(200, test:get("/generation").status)
        local result = test:job("sleepy")
        assert.equal(test.clock:now(), result)
        seen[#seen + 1] = generation
      end)
      it("keeps its socket", function()
        local socket = test:socket("/ws")
        assert.equal("hello", socket:receive())
        socket:send("a")
        assert.same({ echo = "a" }, socket:receive_json())
      end)
    ]]
    local output = passes(body, "--reload")
    for _, when in ipairs({ "before", "during", "after" }) do
      assert.truthy(output:find("notes answers (reloaded " .. when .. " it)", 1, true), output)
      assert.truthy(output:find("notes keeps its socket (reloaded " .. when .. " it)", 1, true), output)
    end
    assert.truthy(output:find("1..6", 1, true), output)
  end)

  it("names the phase in which a reload broke a test", function()
    local plugin = [[
      local kept
      return { name = "notes", version = "1.0.0", routes = {
        ["POST /kept"] = function(app) kept = app.generation app.sleep(1) return 200, {} end,
        ["GET /kept"] = function() return 200, { kept = kept ~= nil } end,
      } }
    ]]
    local output, status = run_body([[
      it("remembers", function()
        test:post("/kept")
        assert.is_true(test:get("/kept").json.kept)
      end)
    ]], "--reload", plugin)
    assert.equal(1, status)
    assert.truthy(output:find("ok 1 - notes remembers (reloaded before it)", 1, true), output)
    assert.truthy(output:find("not ok 2 - notes remembers (reloaded during it)", 1, true), output)
    assert.truthy(output:find("ok 3 - notes remembers (reloaded after it)", 1, true), output)
  end)
end)

describe("a failing spec", function()
  it("is told with its file, its line and what the plugin logged", function()
    local output, status = run_body([[
      it("fails", function()
        assert.equal(200, test:get("/boom").status)
      end)
    ]])
    assert.equal(1, status)
    assert.truthy(output:find("notes/spec/notes_spec.lua:3: Expected objects to be equal", 1, true), output)
    assert.truthy(output:find("notes/plugin.lua:", 1, true) and output:find("no such note", 1, true), output)
  end)

  it("is told where a plugin does not load, once", function()
    local output, status = run_body([[
      it("a", function() test:get("/notes") end)
      it("b", function() test:get("/notes") end)
    ]], "", 'return {\n  name = "notes",\n  version = 7,\n}\n')
    assert.equal(1, status)
    assert.truthy(output:find("notes/plugin.lua:3:", 1, true), output)
    assert.equal(1, select(2, output:gsub("plugin.lua:3:", "")), output)
  end)

  it("is told when it cannot be read, ends the process, or uses the API wrongly", function()
    local output, status = run_body("it('x', function( end)")
    assert.equal(1, status)
    assert.truthy(output:find("notes_spec.lua:2:", 1, true), output)
    output, status = run_body("it('x', function() os.exit(0) end)")
    assert.equal(1, status)
    assert.truthy(output:find("ended before the spec was through", 1, true), output)
    output, status = run_body("it('x', function()\n test:get('notes')\nend)")
    assert.equal(1, status)
    assert.truthy(output:find('notes_spec.lua:3: test:get(path, [options]): path must begin with "/"', 1, true), output)
    output, status = run_body("it('x', function()\n test:get('/notes', { heders = {} })\nend)")
    assert.equal(1, status)
    assert.truthy(output:find("did you mean headers", 1, true) or output:find("headers", 1, true), output)
  end)

  it("ends at once when nothing can happen any more, or a handler cannot be stopped", function()
    local output, status = run_body([[
      it("waits", function() test:app().channels:subscribe("nobody"):receive() end)
    ]], "", 'return { name = "notes", version = "1.0.0" }')
    assert.equal(1, status)
    assert.truthy(output:find('nothing is going on and no timer is set (in "waits")', 1, true), output)
    output, status = run_body([[
      it("hangs", function() test:get("/hang") end)
    ]], "", [[return { name = "notes", version = "1.0.0", routes = { ["GET /hang"] = function()
      local n = 0
      while true do n = n + 1 end
    end } }]])
    assert.truthy(output:find("GET /hang", 1, true) or output:find("hangs", 1, true), output)
    assert.equal(status, output:find("not ok", 1, true) and 1 or 0)
  end)

  it("leaves nothing behind when it is interrupted", function()
    local dir = make({ ["a_spec.lua"] = 'describe("a", function() it("b", function() while true do end end) end)' })
    server.shell("mkdir " .. dir .. "/tmp")
    local output, status = server.shell(([[
      TMPDIR=%s/tmp %s test --set plugins.path=%s & pid=$!
      until ls %s/tmp/*/http.sock; do sleep 0.05; done
      sleep 0.3
      kill -TERM $pid
      wait $pid]]):format(dir, server.binary(), dir, dir))
    assert.equal(1, status, output)
    assert.truthy(output:find("interrupted", 1, true), output)
    assert.equal("", (server.shell("ls " .. dir .. "/tmp")))
    server.shell("rm -rf " .. dir)
  end)

  it("says what to install where busted is not", function()
    local dir = make({ ["a_spec.lua"] = "" })
    local output, status = server.shell(("LUA_PATH=/nowhere/?.lua %s test --set plugins.path=%s"):format(
      server.binary(), dir))
    server.shell("rm -rf " .. dir)
    assert.equal(1, status)
    assert.truthy(output:find("apt-get install lua-busted", 1, true), output)
  end)

  it("does not stop the next file", function()
    local dir = make({
      ["a_spec.lua"] = 'describe("a", function() it("dies", function() os.exit(3) end) end)',
      ["b_spec.lua"] = [[
        describe("b", function() it("lives", function() assert.equal(200, test:get("/notes").status) end) end)
      ]],
    })
    local output, status = run(dir, "notes --json")
    server.shell("rm -rf " .. dir)
    assert.equal(1, status)
    local result = cjson.decode(output:match("%b{}"))
    assert.equal(1, #result.successes)
    assert.equal("b lives", result.successes[1].name)
    assert.equal(1, #result.errors)
  end)
end)

describe("the choice of specs", function()
  it("is by plugin and by pattern; without a plugin, or specs, it says so", function()
    local dir = make({ ["a_spec.lua"] = [[
      describe("a", function() it("one", function() end) it("two", function() end) end)
    ]] })
    local output, status = run(dir, "--filter two --output TAP")
    assert.equal(0, status, output)
    assert.truthy(output:find("ok 1 - a two", 1, true) and output:find("1..1", 1, true), output)
    output, status = run(dir, "letters")
    assert.equal(1, status)
    assert.truthy(output:find("no plugin 'letters'", 1, true), output)
    server.shell("rm -rf " .. dir .. "/notes/spec")
    output, status = run(dir, "notes")
    assert.equal(1, status)
    assert.truthy(output:find("spec/*_spec.lua", 1, true), output)
    assert.equal(2, select(2, run(dir, "a b")))
    assert.equal(2, select(2, run(dir, "--record --reload")))
    assert.equal(1, select(2, run(dir, "--output nonsense")))
    server.shell("rm -rf " .. dir)
  end)

  it("loads what the plugin requires, and no other", function()
    local dir = make({ ["a_spec.lua"] = [[
      describe("a", function() it("calls", function() assert.equal(0, test:get("/far").json.count) end) end)
    ]] }, [[
      return { name = "notes", version = "1.0.0", requires = { "other >= 1" }, allow = { exports = { "other.count" } },
        routes = { ["GET /far"] = function(app) return 200, { count = app.call("other.count") } end } }
    ]])
    server.write_plugins(dir, {
      other = { ["plugin.lua"] = [[
        return { name = "other", version = "1.0.0", exports = { count = function() return 0 end } }
      ]] },
      broken = { ["plugin.lua"] = "return {" },
    })
    local output, status = run(dir, "notes")
    server.shell("rm -rf " .. dir)
    assert.equal(0, status, output)
  end)
end)

describe("cassettes", function()
  local SPEC = [[
    test:config({ base = "http://127.0.0.1:%d", token = "open-sesame" })
    describe("outside", function()
      it("asks", function()
        test:cassette("thing")
        assert.equal("made by hand", test:get("/outside").json.body)
      end)
    end)
  ]]

  it("are recorded once and then answer without the network, and hold no secrets", function()
    local other = server.start({ plugins = { other = { ["plugin.lua"] = [[
      return { name = "other", version = "1.0.0", routes = { ["GET /thing"] = function(_, req)
        assert(req.headers.authorization == "Bearer open-sesame")
        return 200, "made by hand", { ["set-cookie"] = "session=abcdef" }
      end } }
    ]] } } })
    local dir = make({ ["a_spec.lua"] = SPEC:format(tonumber(other.url:match("%d+$"))) })
    local path = dir .. "/notes/spec/cassettes/thing.json"
    local output, status = run(dir, "notes")
    assert.equal(1, status, output)
    assert.truthy(output:find("thing.json is not there", 1, true), output)
    output, status = run(dir, "notes --record")
    assert.equal(0, status, output)
    other:stop()
    output, status = run(dir, "notes")
    assert.equal(0, status, output)
    local text = server.read_file(path)
    local cassette = cjson.decode(text)
    assert.equal(1, #cassette.exchanges)
    assert.equal("made by hand", cassette.exchanges[1].response.body)
    assert.is_nil(text:find("open-sesame", 1, true))
    assert.is_nil(text:find("abcdef", 1, true))
    server.shell("rm -rf " .. dir)
  end)

  it("fail a test whose request they do not have, naming it", function()
    local output, status = run_body([[
      test:config({ token = "open-sesame" })
      it("asks nobody", function() assert.equal("forbidden", test:get("/outside").json.code) end)
    ]])
    assert.equal(1, status)
    assert.truthy(output:find("GET http://127.0.0.1:9/thing?token=REDACTED", 1, true), output)
    assert.truthy(output:find("maru test --record", 1, true), output)
  end)
end)

describe("a server that serves", function()
  it("has nothing of the test kit", function()
    local maru = server.start({ plugins = { nosy = { ["plugin.lua"] = [[
      local found = {}
      for _, name in ipairs({ "maru.test", "maru.test.api", "maru.test.boot", "busted" }) do
        found[#found + 1] = (pcall(require, name)) and name or nil
      end
      return { name = "nosy", version = "1.0.0", routes = { ["GET /nosy"] = function(app)
        return 200, { found = app.json.array(found), test = pcall(function() return test end),
          raw = pcall(function() return app.test end) }
      end } }
    ]] } } })
    local answer = maru:get("/nosy").json
    maru:stop()
    assert.same({ found = {}, test = false, raw = false }, answer)
  end)
end)
