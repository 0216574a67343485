--- What a change checks before anything new serves.
local server = require("spec.support.server")

local function plugin(name, version, rest)
  return { ["plugin.lua"] = ([[
local M = { name = %q, version = %q }
M.routes = { ["GET /%s"] = function() return 200, { version = %q } end }
%s
return M
]]):format(name, version, name, version, rest or "") }
end

describe("a change", function()
  local maru

  before_each(function()
    maru = server.start({ plugins = { base = plugin("base", "1.2.0") }, set = { "plugins.watch=false" } })
  end)

  after_each(function()
    maru:stop()
  end)

  local function refused(plugins, ...)
    server.write_plugins(maru.dir .. "/plugins", plugins)
    local output, status = maru:command_output("reload")
    assert.equal(4, status, output)
    for _, text in ipairs({ ... }) do
      assert.truthy(output:find(text, 1, true), output)
    end
    assert.equal("1.2.0", maru:get("/base").json.version)
  end

  it("is planned with the reason why a plugin goes", function()
    local from = " --set plugins.path=" .. maru.dir .. "/plugins"
    local plan = maru:command_output("check --plan --set plugins.disable=base" .. from)
    assert.truthy(plan:find("stop +base .*disabled in the configuration"), plan)
    server.shell("rm -r " .. maru.dir .. "/plugins/base")
    plan = maru:command_output("check --plan" .. from)
    assert.truthy(plan:find("stop +base .*its folder is gone"), plan)
  end)

  it("names a requirement that is missing, too old or circular", function()
    refused({ user = plugin("user", "1.0.0", [[M.requires = { "nobody" }]]) }, "user/plugin.lua", "nobody")
    refused({ user = plugin("user", "1.0.0", [[M.requires = { "base >= 1.10" }]]) }, "base >= 1.10", "1.2.0")
    refused({ user = plugin("user", "1.0.0", [[M.requires = { "base" }]]),
      base = plugin("base", "1.3.0", [[M.requires = { "user" }]]) }, "requires it too")
  end)

  it("changes nothing when one of several plugins is broken", function()
    refused({ other = plugin("other", "1.0.0"), user = { ["plugin.lua"] = "return {\n  = 1\n}\n" } },
      "user/plugin.lua:2:")
    assert.equal(404, maru:get("/other").status)
  end)

  it("tries migrations first and names file and line", function()
    refused({ user = {
      ["plugin.lua"] = plugin("user", "1.0.0")["plugin.lua"],
      ["migrations/0001_a.sql"] = "create table user_a (id integer primary key);\n",
      ["migrations/0002_b.sql"] = "create table user_b (id integer primary key);\n\ncreate tabel user_c (id);\n",
    } }, "user/migrations/0002_b.sql:3")
    server.write_plugins(maru.dir .. "/plugins", { user = {
      ["migrations/0002_b.sql"] = "create table user_b (id integer primary key);\n",
    } })
    local output, status = maru:command_output("reload")
    assert.equal(0, status, output)
    assert.equal("1.0.0", maru:get("/user").json.version)
  end)

  it("refuses a schedule that cannot be read", function()
    refused({ user = plugin("user", "1.0.0", [[M.cron = { ["61 * * * *"] = { id = "x", function() end } }]]) },
      "61 * * * *")
  end)

  it("lets plugins call each other's current exports", function()
    server.write_plugins(maru.dir .. "/plugins", {
      base = plugin("base", "1.2.0", [[M.exports = { greet = function(_, name) return "hello " .. name end }]]),
      user = { ["plugin.lua"] = [[
local M = { name = "user", version = "1.0.0", requires = { "base" }, allow = { exports = { "base.greet" } } }
M.routes = { ["GET /greet"] = function(app) return 200, { text = app.call("base.greet", "kim") } end }
return M
]] },
    })
    local output, status = maru:command_output("reload")
    assert.equal(0, status, output)
    assert.equal("hello kim", maru:get("/greet").json.text)
    server.write_plugins(maru.dir .. "/plugins", {
      base = plugin("base", "1.2.0", [[M.exports = { greet = function(_, name) return "welcome " .. name end }]]),
    })
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.equal("welcome kim", maru:get("/greet").json.text)
  end)
end)
