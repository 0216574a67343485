--- `maru check`: everything that is wrong is found at once, at its place, and nothing that is right is.
package.path = "core/lua/?.lua;" .. package.path

local cjson = require("cjson")
local server = require("spec.support.server")

local HEAD = 'local M = { name = "sample", version = "1.0.0" }\n'
local TABLE = "create table lines (id integer primary key, text text not null, at real not null);\n"

--- Checks plugins { name = files } in a folder of their own; returns the answer as JSON, output and status.
local function check(plugins, arguments)
  local dir = server.make_dir()
  server.write_plugins(dir .. "/plugins", plugins)
  local output, status = server.maru(("check --json --set plugins.path=%s/plugins --set state.dir=%s/state %s")
    :format(dir, dir, arguments or ""))
  server.shell("rm -rf " .. dir)
  local ok, json = pcall(cjson.decode, output)
  assert(ok, output)
  return json, status
end

--- The findings of one plugin made of its plugin.lua (behind HEAD) and other files, as "file:line:column message".
local function findings(source, files)
  local all = { ["plugin.lua"] = HEAD .. source .. "\nreturn M\n" }
  for name, text in pairs(files or {}) do
    all[name] = text
  end
  local json, status = check({ sample = all })
  local list = {}
  for i, f in ipairs(json.findings) do
    list[i] = ("%s:%s:%s %s%s"):format(f.file:match("[^/]+$"), f.line, f.column == cjson.null and "-" or f.column,
      f.severity == "warning" and "warning: " or "", f.message)
  end
  return list, status
end

local function route(body)
  return 'M.routes = { ["GET /x"] = function(app, req)\n' .. body .. "\nend }"
end

local function expect(source, wanted, files)
  local list, status = findings(source, files)
  assert.same(wanted, list)
  return status
end

describe("maru check finds", function()
  it("parts of app that are not there, and says what was meant", function()
    local status = expect(route([[
  app.stor:all("select 1")
  app.store:al("select 1")
  local log = app.log
  log:wrn("x")
  return app.nowhere, app.jsn.encode(req)]]), {
      "plugin.lua:3:7 app.stor is not a part of app; did you mean 'store'?",
      "plugin.lua:4:13 app.store has no 'al'; did you mean 'all'?",
      "plugin.lua:6:7 app.log has no 'wrn'; did you mean 'warn'?",
      "plugin.lua:7:14 app.nowhere is not a part of app",
      "plugin.lua:7:27 app.jsn is not a part of app; did you mean 'json'?",
    })
    assert.equal(4, status)
  end)

  it("handles used wrongly, and colons and dots that are confused", function()
    expect(route([[
  app.store:tx(function(tx)
    tx:execute("x")
    tx.jobs:get(1)
  end)
  local sub = assert(app.channels:subscribe("a"))
  sub:recieve(1)
  app.log.info("x")
  app:now()
  return app.sse(function(stream)
    stream:sendd("a", 1)
  end)]]), {
      "plugin.lua:4:8 a transaction has no 'execute'; did you mean 'exec'?",
      "plugin.lua:5:13 tx.jobs has no 'get'",
      "plugin.lua:8:7 a subscription has no 'recieve'; did you mean 'receive'?",
      "plugin.lua:9:11 app.log:info is called with a colon",
      "plugin.lua:10:7 app.now is called with a dot",
      "plugin.lua:12:12 a stream has no 'sendd'; did you mean 'send'?",
    })
  end)

  it("names that nothing declares, and libraries a plugin does not have", function()
    expect(route([[
  local math = { pie = 1 }
  pritn(math.pie, string.dmup)
  os.execute("ls")
  counter = 1]]), {
      "plugin.lua:4:3 undeclared variable 'pritn' (misspelt, or not available to plugins); did you mean 'print'?",
      "plugin.lua:4:26 string.dmup is not available to plugins",
      "plugin.lua:5:6 os.execute is not available to plugins",
      "plugin.lua:6:3 assignment to undeclared variable 'counter': declare it with local",
    })
  end)

  it("SQL that could not run: tables, columns, syntax, numbers of values", function()
    expect('local COLUMNS = "id, txt"\nlocal SQL = "select " .. COLUMNS .. "\\n from lines"\n' .. route([[
  app.store:all(SQL)
  app.store:one("select * from liens where id = $1", req.query.id)
  app.store:exec("insert into lines(text, at) values ($1, $2)", "a")
  app.store:all("selct 1")
  app.store:exec("drop table lines")
  app.store:all("select * from maru_tables")
  app.store:many("insert into lines(text) values ($1)", { { "a", 1 } })
  app.store:all([=[
    select *
    from lines
    order bye id]=])
  app.store:tx(function(tx)
    return tx:one("select at, test from lines where id = ?1", 1)
  end)]]), {
      "plugin.lua:2:22 no such column: txt; did you mean 'text'?",
      "plugin.lua:6:32 no such table: liens; did you mean 'lines'?",
      "plugin.lua:7:13 the statement takes 2 values, got 1",
      'plugin.lua:8:18 a statement begins with select, with, values, insert, update, delete or replace, not "selct";'
        .. " tables are made by migrations, transactions by store:tx",
      'plugin.lua:9:19 a statement begins with select, with, values, insert, update, delete or replace, not "drop";'
        .. " tables are made by migrations, transactions by store:tx",
      'plugin.lua:10:32 table "maru_tables" belongs to the host',
      "plugin.lua:11:13 the statement takes 1 value, got 2",
      'plugin.lua:15:11 near "bye": syntax error',
      "plugin.lua:17:31 no such column: test; did you mean 'text'?",
    }, { ["migrations/0001_lines.sql"] = TABLE })
  end)

  it("SQL of a transaction that is handed on, without judging what else is called tx", function()
    expect([[
local function add(tx, text)
  tx:exec("insert into liens(text, at) values ($1, 1)", text)
end
local function show(tx)
  return tx.hash, tx:describe()
end
]] .. route("  return app.store:tx(function(tx) return add(tx, 'a'), show end)"), {
      "plugin.lua:3:24 no such table: liens; did you mean 'lines'?",
    }, { ["migrations/0001_lines.sql"] = TABLE })
  end)

  it("syntax errors in files that nothing loads, and everything else besides", function()
    expect(route("return app.stor"), {
      "late.lua:2:- unexpected symbol near '='",
      "plugin.lua:3:12 app.stor is not a part of app; did you mean 'store'?",
    }, { ["late.lua"] = "local a =\n= 1\n" })
  end)

  it("keys of the configuration, variables, jobs, series and modules that are not declared", function()
    expect('M.config = { keep_days = "integer?" }\nM.allow = { env = { "KEY" } }\n'
      .. 'M.jobs = { work = function() end }\nM.series = { views = { keys = { "a" }, values = { "b" } } }\n'
      .. route([[
  local helper = require("helpr")
  app.jobs:push("wrk")
  app.jobs:push("other.job")
  app.series:append("view", {})
  return helper, app.config.keep_day, app.env.KEYS, app.env.KEY]]), {
      "plugin.lua:7:26 no module 'helpr' in this plugin or maru.*; did you mean 'helper'?",
      "plugin.lua:8:17 there is no 'wrk' in M.jobs; did you mean 'work'?",
      "plugin.lua:9:17 M.allow.jobs does not list 'other.job'",
      "plugin.lua:10:21 there is no 'view' in M.series; did you mean 'views'?",
      "plugin.lua:11:29 M.config has no 'keep_day'; did you mean 'keep_days'?",
      "plugin.lua:11:47 M.allow.env does not list 'KEYS'; did you mean 'KEY'?",
    }, { ["helper.lua"] = "return {}\n" })
  end)

  it("permissions that nothing uses and hosts that no permission covers", function()
    local status = expect([[
M.allow = {
  net = { "api.example.com:443", "old.example.com:443", "*.wild.example.com:443" },
  env = { "KEY", "OLD" },
  fs = { "/etc/" },
}
]] .. route([[
  app.http:get("https://api.example.com/a?" .. req.query_string)
  app.http:get("https://a.wild.example.com/", {})
  return app.env.KEY]]), {
      "plugin.lua:3:34 warning: M.allow.net lists 'old.example.com:443', which no request here goes to",
      "plugin.lua:4:18 warning: M.allow.env lists 'OLD', which nothing here reads",
      "plugin.lua:5:10 warning: M.allow.fs is never used: nothing here uses app.read",
    })
    assert.equal(0, status)
    expect(route('  return app.http:get("https://evil.example.com/")'), {
      "plugin.lua:3:23 M.allow.net does not list 'evil.example.com:443'",
    })
  end)

  it("no unused permission where the use is only known at run time", function()
    expect([[M.allow = { net = { "api.example.com:443" }, env = { "A", "B" }, fs = { "/etc/" } }]] .. "\n" .. route([[
  for name in pairs(app.env) do app.log:info(name) end
  local read = app.read
  read("/etc/hosts")
  return app.http:get(req.query.url)]]), {})
  end)

  it("models that a plugin asks without saying so", function()
    local json = check({ sample = { ["plugin.lua"] = [[
return { name = "sample", version = "1.0.0", routes = { ["GET /a"] = function(app)
  return 200, assert(app.model:chat({ messages = "x" })).text
end } }
]] } })
    assert.equal(1, json.errors)
    assert.equal("M.allow.model is not there: app.model refuses", json.findings[1].message)
    assert.equal(2, json.findings[1].line)
    json = check({ sample = { ["plugin.lua"] = [[
return { name = "sample", version = "1.0.0", allow = { model = true }, routes = { ["GET /a"] = function(app)
  return 200, assert(app.model:chat({ messages = "x" })).text
end } }
]] } })
    assert.equal(0, json.errors)
  end)

  it("modules and plugins that are required for nothing", function()
    local json, status = check({
      good = { ["plugin.lua"] = 'return { name = "good", version = "1.0.0" }\n' },
      sample = {
        ["plugin.lua"] = 'local a = require("a")\n'
          .. 'return { name = "sample", version = "1.0.0", requires = { "good" } }\n',
        ["a.lua"] = "return {}\n",
      },
    })
    assert.equal(0, status)
    assert.equal(2, json.warnings)
    assert.equal("'a' is required and never used", json.findings[1].message)
    assert.truthy(json.findings[2].message:find("requires 'good'", 1, true))
    assert.equal(4, select(2, check({ sample = { ["a.lua"] = "return {}\n",
      ["plugin.lua"] = 'local a = require("a")\nreturn { name = "sample", version = "1.0.0" }\n' } }, "--strict")))
  end)

  it("every clash of routes and pages, naming both owners", function()
    local function plugin(name, routes)
      return { ["public/page.js"] = "export {}\n", ["plugin.lua"] = ([[
local M = { name = "%s", version = "1.0.0" }
M.routes = { %s }
M.pages = { { path = "/same", module = "page.js", title = { en = "a", ko = "가" } } }
return M
]]):format(name, routes) }
    end
    local f = " = function() return 200 end,"
    local json, status = check({ one = plugin("one", '["GET /a/{x}"]' .. f .. '["POST /a"]' .. f),
      two = plugin("two", '["GET /a/{y}"]' .. f .. '["POST /a"]' .. f .. '["GET /healthz"]' .. f) })
    assert.equal(4, status)
    local messages = {}
    for i, finding in ipairs(json.findings) do
      messages[i] = finding.message
    end
    table.sort(messages)
    assert.same({
      "page /same of plugin two clashes with /same of plugin one",
      "route GET /a/{y} of plugin two clashes with GET /a/{x} of plugin one",
      "route GET /healthz of plugin two clashes with GET /healthz of the host",
      "route POST /a of plugin two clashes with POST /a of plugin one",
    }, messages)
  end)

  it("broken migrations and schedules at their lines", function()
    local list = findings('M.jobs = { work = function() end }\nM.cron = { ["0 25 * * *"] = { job = "work" } }',
      { ["migrations/0001_a.sql"] = "create table a (id integer);\ncreat table b (id integer);\n" })
    assert.equal(2, #list)
    assert.truthy(list[1]:find('0001_a.sql:2:- near "creat": syntax error', 1, true), list[1])
    assert.truthy(list[2]:find('plugin.lua:3:- cron["0 25 * * *"]', 1, true), list[2])
  end)

  it("finds a schedule's zone that does not exist", function()
    local list = findings('M.cron = { ["0 4 * * *"] = { tz = "Asia/Soeul", function() end } }')
    assert.truthy(list[1]:find('time zone "Asia/Soeul": there is no such zone', 1, true), list[1])
  end)
end)

describe("maru check", function()
  it("finds nothing in the plugins that come with the program", function()
    local dir = server.make_dir()
    local output, status = server.maru("check --strict --set plugins.disable= --set state.dir=" .. dir)
    assert.equal(0, status, output)
    assert.truthy(output:find("6 plugins, %d+ SQL statements"), output)
    assert.truthy(output:find("0 errors, 0 warnings", 1, true), output)
    server.shell("rm -rf " .. dir)
  end)

  it("shows the line with its neighbours and a mark under the place", function()
    local dir = server.make_dir()
    server.write_plugins(dir .. "/plugins", { sample = {
      ["plugin.lua"] = HEAD .. route("\treturn 200, app.stor") .. "\nreturn M\n" } })
    local output = server.maru(("check --set plugins.path=%s/plugins --set state.dir=%s/state")
      :format(dir, dir))
    server.shell("rm -rf " .. dir)
    local marked = "  >     3 | \treturn 200, app.stor\n          | \t                ^~~~\n"
    assert.truthy(output:find(marked, 1, true), output)
    assert.truthy(output:find("        4 | end }\n", 1, true), output)
  end)

  it("looks at one plugin, and says when it is not there", function()
    local plugins = {
      one = { ["plugin.lua"] = 'local x = y\nreturn { name = "one", version = "1.0.0" }\n' },
      two = { ["plugin.lua"] = 'return { name = "two", version = "1.0.0" }\n' },
    }
    local json, status = check(plugins, "two")
    assert.equal(0, status)
    assert.equal(0, json.errors)
    json, status = check(plugins, "one")
    assert.equal(4, status)
    assert.equal(1, json.errors)
    local dir = server.make_dir()
    local output, code = server.maru("check nobody --set plugins.path=" .. dir)
    assert.equal(1, code)
    assert.truthy(output:find("nobody", 1, true), output)
    server.shell("rm -rf " .. dir)
  end)

  it("prints only the plan when asked", function()
    local dir = server.make_dir()
    server.write_plugins(dir .. "/plugins", { two = {
      ["plugin.lua"] = 'return { name = "two", version = "1.0.0" }\n' } })
    local output, status = server.maru(("check --plan --set plugins.path=%s/plugins --set state.dir=%s/state")
      :format(dir, dir))
    server.shell("rm -rf " .. dir)
    assert.equal(0, status)
    assert.truthy(output:find("^start +two +%- +%-> %x+ +new\n$"), output)
  end)
end)

--- LuaJIT's own compiler says which globals a source reads and writes.
local function compiled_globals(text)
  local util = require("jit.util")
  local vmdef = require("jit.vmdef")
  local found = {}
  local function walk(fn)
    for pc = 1, 1e6 do
      local ins = util.funcbc(fn, pc)
      if not ins then
        break
      end
      local op = vmdef.bcnames:sub(ins % 256 * 6 + 1, ins % 256 * 6 + 6):gsub("%s", "")
      if op == "GGET" or op == "GSET" then
        found[util.funck(fn, -math.floor(ins / 65536) - 1)] = true
      end
    end
    for k = -1, -1e6, -1 do
      local inner = util.funck(fn, k)
      if inner == nil then
        break
      elseif type(inner) == "proto" then
        walk(inner)
      end
    end
  end
  walk(assert(loadstring(text)))
  return found
end

describe("the reading of sources", function()
  it("sees the globals that LuaJIT's compiler sees, in every file of this repository", function()
    local parser = require("maru.check.parser")
    local count = 0
    for path in server.shell("git ls-files '*.lua'"):gmatch("[^\n]+") do
      local text = server.read_file(path)
      local seen = {}
      for _, node in ipairs(parser.read(text).names) do
        if not node.binding then
          seen[node.name] = true
        end
      end
      assert.same(compiled_globals(text), seen, path)
      count = count + 1
    end
    assert.is_true(count > 50)
  end)

  it("knows goto as a statement and as a name", function()
    local parser = require("maru.check.parser")
    local text = "local t = { goto = 1 }\nfor i = 1, 2 do if i == 1 then goto next end t.goto = i ::next:: end\n"
      .. "local function f(goto) return goto end\nlocal x = goto\ngoto = f(x)\nreturn t, goto\n"
    local seen = {}
    for _, node in ipairs(parser.read(text).names) do
      seen[node.name] = not node.binding or seen[node.name] or nil
    end
    assert.same(compiled_globals(text), seen)
  end)

  it("knows every way to write a string, a number and a comment", function()
    local lexer = require("maru.check.lexer")
    local text = table.concat({ [=[local a, b = "q\"\65\x41\z
      z\u{AC00}\n", 'it''s']=], "--[==[ comment ]] \n app.stor ]==] local c = [==[\n]]]==]",
      "local d, e, f = 0x1p4 + 1e-3 + .5, 42LL + 0xffULL, 3i -- app.stor" }, "\n"):gsub("''", "\\'")
    local chunk = assert(loadstring(text .. "\nreturn a, b, c"))
    local values, strings = { chunk() }, {}
    for _, token in ipairs(lexer.read(text)) do
      if token.kind == "string" then
        strings[#strings + 1] = token.value
      end
    end
    assert.same(values, strings)
  end)
end)
