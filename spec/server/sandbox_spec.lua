--- Ways out of a plugin, tried on the real program with all of `app`: each piece of code must say true.
--- spec/unit/vm/sandbox_test.c has those that need no server.
local server = require("spec.support.server")

local ATTEMPTS = {
  -- what is not there
  { "libraries", [[for _, name in ipairs { "ffi", "debug", "jit", "io", "package", "newproxy", "getfenv", "setfenv",
      "module", "dofile", "loadfile", "gcinfo", "collect" } do if rawget(_G, name) ~= nil then return name end end
    return true]] },
  { "libraries by require", [[for _, name in ipairs { "ffi", "debug", "jit", "jit.util", "jit.opt", "jit.v",
      "io", "os",
      "package", "string", "string.buffer", "table.new", "table.clear", "_G", "maru", "maru.boot", "maru.app",
      "maru.sandbox", "maru.search", "maru.find", "maru.contract", "maru/app", "maru.app.", ".maru.app", "maru..app",
      "../good/plugin",
      "..good.plugin", "/etc/passwd", "plugin\0.x", "", ".", "a b", ("a"):rep(200) } do
      if pcall(require, name) then return name end end return true]] },
  { "what is left of os", [[local left = {} for name in pairs(os) do left[#left + 1] = name end table.sort(left)
    return table.concat(left, " ") == "clock date difftime time"]] },
  { "what is left of string", [[return string.dump == nil and ("").dump == nil and rawget(string, "buffer") ==
      nil]] },
  { "numbers that are cdata", [[local n = load("return 1LL")() return getmetatable(n) == "ffi"
    and not pcall(function() return n.x end) and not pcall(function() n.x = 1 end)
    and not pcall(function() return n() end) and not tostring(n):find("0x")]] },
  { "complex numbers", [[local n = load("return 2i")() return not pcall(function() n.re = 1 end)
    and not pcall(function() n[100000] = 1 end) and type(n[100000]) == "number"]] },
  -- bytecode
  { "bytecode by load", [[local dumped = "\27LJ\2\2\8\2\0\1\0\1\0\2\76\0\1\0\0"
    return not load(dumped) and not load(dumped, "x", "b") and not loadstring(dumped)
      and not load(function() local d = dumped dumped = nil return d end, "x", "bt")]] },
  { "bytecode by require", [[return not pcall(require, "binary")]] },
  -- strings
  { "the metatable of strings", [[return getmetatable("") == "locked" and not pcall(function()
      getmetatable("").x = 1 end)
    and not pcall(setmetatable, "", {})]] },
  { "methods of strings", [[string.evil, string.upper = print, nil
    local ok = ("x").evil == nil and ("x"):upper() == "X"
    string.evil, string.upper = nil, ("").upper return ok]] },
  { "tables of the libraries", [[local kept = { string.find, table.concat, math.floor, string.lower,
      table.sort, pairs }
    string.find, table.concat, math.floor, string.lower, table.sort = nil, nil, nil, error, error
    rawset(_G, "pairs", error) rawset(_G, "type", error) rawset(_G, "tostring", error)
    local ok = pcall(function()
      assert(app.schema.check({ a = "string(1,5)" }, { a = "abc" }).a == "abc")
      app.log:info("x", { a = { 1, 2 } })
      app.cache:set("sandbox", { 1 })
      assert(app.json.encode({ 1, { a = 2 } }) == '[1,{"a":2}]')
      assert(select(3, app.http:get("http://example.com/")) == "forbidden")
      assert(app.store:one("select 1 as one").one == 1)
    end)
    string.find, table.concat, math.floor, string.lower, table.sort = unpack(kept, 1, 5)
    rawset(_G, "pairs", kept[6]) rawset(_G, "type", load_type) rawset(_G, "tostring", load_tostring)
    return ok]] },
  -- globals
  { "the environment", [[return getmetatable(_G) == "locked" and not pcall(setmetatable, _G, nil)
    and not pcall(function() new_global = 1 end) and not pcall(function() return no_such end)]] },
  { "chunks of load", [[local env = {} load("x = 1", "x", "t", env)()
    return env.x == 1 and load("return _G")() == _G and not pcall(load, "return 1", "x", "t", 5)]] },
  { "names of chunks", [[local f = load("error('here')", "@maru/app.lua")
    return not select(2, pcall(f)):find("maru/app", 1, true)]] },
  { "collectgarbage", [[for _, what in ipairs { "stop", "restart", "collect", "step", "setpause", "setstepmul" } do
      if pcall(collectgarbage, what) then return what end end
    return not pcall(collectgarbage) and collectgarbage("count") > 0]] },
  -- addresses
  { "tostring", [[for _, value in ipairs { {}, print, coroutine.create(print), app, req, app.store, app.json.null } do
      if tostring(value):find("0x") then return tostring(value) end end return true]] },
  { "string.format", [[for _, value in ipairs { {}, print, coroutine.create(print), app, req } do
      if ("%s"):format(value):find("0x") or ("%10.30s"):format(value):find("0x") then return false end end
    return not pcall(string.format, "%p", {}) and not pcall(string.format, "%-20p", "x")
      and not pcall(string.format, "%%%p", "x") and ("%%p"):format() == "%p"]] },
  { "messages of errors", [[local function no_address(...)
      local message = select(2, pcall(...)) return not tostring(message):find("0x%x%x%x%x") end
    return no_address(function() return {} .. print end) and no_address(function() return print < {} end)
      and no_address(table.concat, { print }) and no_address(error, print) and no_address(setmetatable, print, {})
      and no_address(next, {}, print) and no_address(app.sleep, print) and no_address(app.json.encode, print)
      and no_address(require, print) and no_address(app.fail, print) and no_address(ipairs)
      and no_address(coroutine.resume, print) and no_address(string.rep, print)]] },
  -- coroutines
  { "the task's own coroutine", [[return coroutine.running() == nil and not pcall(coroutine.yield)
    and not pcall(coroutine.resume, coroutine.running()) and not pcall(coroutine.status, coroutine.running())]] },
  { "yields where only the host may", [[local done = 0
    for _, f in ipairs { function() app.sleep(0) end, function() app.store:one("select 1") end,
        function() app.store:tx(function() end) end, function() app.http:get("http://example.com/") end,
        function() app.jobs:get(1) end, function() app.call("good.f") end } do
      if pcall(coroutine.wrap(f)) then return "in a coroutine " .. done end
      if pcall(string.gsub, "x", "x", f) then return "in gsub " .. done end
      if pcall(table.sort, { 1, 2 }, f) then return "in sort " .. done end
      done = done + 1
    end return done == 6]] },
  { "a coroutine that outlives its task", [[if not kept_coroutine then
      kept_coroutine = coroutine.create(function() app.cache:set("x", 1) coroutine.yield() app.sleep(1) end)
      coroutine.resume(kept_coroutine) end
    return not coroutine.resume(kept_coroutine) or true]] },
  -- values of the host
  { "metatables of userdata", [[for _, value in ipairs { req, app.json.null, app.sse(function() end) } do
      if type(getmetatable(value)) == "table" then return false end
      if pcall(setmetatable, value, {}) or pcall(function() value.x = 1 end) then return false end
    end return true]] },
  { "fields of userdata", [[for _, name in ipairs { "__gc", "__index", "__metatable", "__name", "__newindex" } do
      local ok, value = pcall(function() return req[name] end)
      if ok and value ~= nil then return name end end return true]] },
  { "methods with another self", [[local json = req.json
    return not pcall(json) and not pcall(json, {}) and not pcall(json, app.json.null) and not pcall(json,
      app.sse(print))
      and not pcall(app.cache.get) and not pcall(app.store.all, {}, {}) and not pcall(app.jobs.push, {}, {})]] },
  { "a request that is over", [[local old = kept_request kept_request = req
    return old == nil or (not pcall(function() return old:json() end) and not pcall(json_of, old)
      and not pcall(function() return old.raw_body end))]] },
  { "app itself", [[return getmetatable(app) == "locked" and not pcall(setmetatable, app, {})
    and not pcall(function() return app.raw end) and not pcall(function() return app.stroe end)
    and getmetatable(app.env) == "locked" and not pcall(function() app.env.X = 1 end)]] },
  { "app.env", [[return app.env.PATH == nil and app.env.HOME == nil]] },
  { "a handle that another task uses", [[local sub = app.channels:subscribe("sandbox")
    local message app.spawn(function() message = select(2, pcall(sub.receive, sub, 1)) end)
    app.sleep(0.05) sub:close()
    return message and message:find("another task", 1, true) ~= nil and not pcall(sub.receive, sub)]] },
  { "a transaction that is over", [[local old app.store:tx(function(tx) old = tx end)
    return not pcall(old.one, old, "select 1") and not pcall(old.jobs.push, old.jobs, "x")]] },
  { "tables with metatables as options", [[local seen = {}
    local trap = setmetatable({}, { __index = function(t, k) seen[#seen + 1] = type(t) == "table" and k end })
    pcall(app.http.get, app.http, "http://example.com/", trap) pcall(app.jobs.push, app.jobs, "x", {}, trap)
    pcall(app.schema.check, trap, trap) pcall(app.cache.set, app.cache, "k", trap)
    for _, k in ipairs(seen) do if type(k) ~= "string" and type(k) ~= "number" then return type(k) end end
    return true]] },
  -- what lies outside
  { "files", [[for _, path in ipairs { "/etc/passwd", "plugin.lua", "../good/plugin.lua", "/proc/self/maps",
      "/proc/self/environ", "/etc/passwd\0.lua" } do
      local text = app.read(path) if text then return path end end return true]] },
  { "files of the database", [[for _, sql in ipairs { "attach '/tmp/x.db' as x", "vacuum into '/tmp/x.db'",
      "select load_extension('x')", "select readfile('/etc/passwd')", "pragma writable_schema = 1",
      "pragma temp_store_directory = '/tmp'", "select * from maru_job", "select * from maru_job_done",
      "delete from maru_job", "select * from notes", "insert into notes(id) values (1)", "drop table notes",
      "create table other (x)", "select sql from sqlite_master", "begin", "commit", "rollback", "savepoint x",
      "select * from pragma_database_list", "explain select * from notes",
      "with x as (select * from notes) select * from x",
      "select * from main.notes", "select * from good.notes",
      "create trigger t after insert on mine begin select 1; end",
      "select * from (select * from notes)", "update mine set x = (select max(id) from notes)",
      "select edit('x')", "select sqlite_log(1, 'x')", "select * from dbstat", "select * from sqlite_dbpage",
      "select writefile('/tmp/x', 'x')" } do
      local rows, message = app.store:all(sql)
      if rows and #rows > 0 then return sql end
      if rows and not sql:find("^pragma") then return sql .. " ran" end
    end return true]] },
  { "pointers of the database", [[return not app.store:all("select fts3_tokenizer($1)", "simple")
    and not app.store:all("select FTS3_Tokenizer($1, $2)", "simple", "AAAAAAAA")
    and not app.store:all("select hex(fts3_tokenizer('simple'))")]] },
  { "addresses of the network", [[for _, url in ipairs { "http://127.0.0.1:1/", "http://169.254.169.254/latest/",
      "http://localhost/", "file:///etc/passwd", "gopher://x/", "dict://x/", "http://[::1]/", "http://0/" } do
      local answer, _, code = app.http:get(url)
      if answer or code == "connect" then return url .. " " .. tostring(code) end end return true]] },
  { "programs", [[for _, program in ipairs { "/bin/sh", "sh", "/usr/bin/env" } do
      if app.exec(program, { "-c", "true" }) then return program end end return true]] },
  { "other plugins", [[local ok, value, _, code = pcall(app.call, "good.f")
    return not ok or (value == nil and code ~= nil)]] },
  { "keys of other plugins in the cache", [[return app.cache:get("good:secret") == nil
    and app.cache:get("secret") == nil and #app.cache:keys("") < 1000]] },
}

local function attempts()
  local parts = { [[
local M = { name = "escape", version = "1.0.0" }
local kept_request, kept_coroutine
local load_type, load_tostring, json_of = type, tostring, nil
local A = {}
]] }
  for i, attempt in ipairs(ATTEMPTS) do
    parts[#parts + 1] = ("A[%d] = function(app, req)\n%s\nend\n"):format(i, attempt[2])
  end
  parts[#parts + 1] = [[
M.routes = {
  ["POST /try/{n}"] = function(app, req)
    json_of = req.json
    return 200, { tostring(A[tonumber(req.params.n)](app, req)) }
  end,
  ["GET /alive"] = function() return 200, { "alive" } end,
  ["GET /trace"] = function()
    local nameless = { table.sort }
    nameless[1]({ 2, 1 }, function() error("with a trace") end)
  end,
}
return M
]]
  return { ["plugin.lua"] = table.concat(parts), ["binary.lua"] = "\27LJ\2\2\8\2\0\1\0\1\0\2\76\0\1\0\0",
    ["migrations/0001_mine.sql"] = "create table mine (x integer);\n" }
end

local GOOD = { ["plugin.lua"] = [[
local M = { name = "good", version = "1.0.0" }
M.exports = { f = function() return "secret" end }
M.start = function(app) app.cache:set("secret", "of good") end
M.routes = { ["GET /good"] = function(app)
  return 200, { secret = app.cache:get("secret"), upper = ("x"):upper(), notes =
      #app.store:all("select * from notes") }
end }
return M
]], ["migrations/0001_notes.sql"] =
      "create table notes (id integer primary key);\ninsert into notes(id) values (7);\n" }

describe("a plugin that wants out", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { good = GOOD, escape = attempts() }, set = { "lanes.web=1", "lanes.job=1" } })
  end)

  teardown(function()
    maru:stop()
  end)

  for i, attempt in ipairs(ATTEMPTS) do
    it("does not get at " .. attempt[1], function()
      local first = maru:post("/try/" .. i, { x = 1 })
      local again = maru:post("/try/" .. i, { x = 1 })
      assert.equal(200, first.status, first.body)
      assert.same({ "true" }, first.json)
      assert.same({ "true" }, again.json, again.body)
      assert.same({ "alive" }, maru:get("/alive").json)
    end)
  end

  it("has changed nothing for the other plugin", function()
    assert.same({ secret = "of good", upper = "X", notes = 1 }, maru:get("/good").json)
  end)

  it("prints no address into log or answer", function()
    local answer = maru:get("/trace")
    assert.equal(500, answer.status)
    assert.is_nil(answer.body:find("0x%x%x%x%x"))
    assert.truthy(maru:logs():find("with a trace", 1, true))
    assert.is_nil(maru:logs():find("0x%x%x%x%x%x"))
  end)
end)
