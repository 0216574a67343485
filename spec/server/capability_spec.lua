--- What plugins may reach: nothing that M.allow does not name, and no more than the operator accepted.
local cjson = require("cjson")
local server = require("spec.support.server")

local function shop(version, allow, rest)
  return { ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d" }
M.config = { base = { type = "string", default = "http://127.0.0.1:9/" } }
M.allow = { %s }
M.routes = { ["GET /v"] = function() return 200, { v = %d } end }
%s
return M
]]):format(version, allow, version, rest or "") }
end

local ONE, TWO = [[net = { "one.example:443" }]], [[net = { "one.example:443", "two.example:443" }, env = { "TWO" }]]

local function write(maru, version, allow, rest)
  server.write_plugins(maru.dir .. "/plugins", { shop = shop(version, allow, rest) })
end

local function version(maru)
  local json = maru:get("/v").json
  return json and json.v
end

local function step_of(plan, plugin)
  for _, step in ipairs(plan) do
    if step.plugin == plugin then
      return step
    end
  end
end

--- The newest line of the audit table, if it is about that.
local function newest_audit(maru, action)
  local entry = maru:admin("/audit").entries[1]
  return entry and entry.action == action and entry
end

local function start(allow, set, rest)
  set = set or {}
  set[#set + 1] = "plugins.watch=false"
  return server.start({ plugins = { shop = shop(1, allow, rest) }, set = set })
end

describe("a reload that widens what a plugin may reach", function()
  local maru

  after_each(function()
    maru:stop()
  end)

  it("is refused with what is new, and the old generation keeps serving", function()
    maru = start(ONE)
    write(maru, 2, TWO)
    for _, arguments in ipairs({ "reload", "reload shop" }) do
      local output, status = maru:command_output(arguments)
      assert.equal(4, status)
      assert.truthy(output:find("net two.example:443", 1, true), output)
      assert.truthy(output:find("env TWO", 1, true), output)
      assert.is_nil(output:find("one.example", 1, true), output)
      assert.truthy(output:find("maru reload shop --allow", 1, true), output)
      assert.truthy(output:find("keeps serving", 1, true), output)
      assert.equal(1, version(maru))
    end
    local row = maru:admin("/plugins")[1]
    assert.truthy(row.last_error.message:find("two.example", 1, true))
    assert.same({ net = { "one.example:443" }, fs = {}, env = {}, exec = {}, exports = {}, jobs = {}, events = {},
      on = {}, model = {}, mail = {} }, row.allow)
  end)

  it("is accepted with --allow, which the audit table remembers", function()
    maru = start(ONE)
    write(maru, 2, TWO)
    local output, status = maru:command_output("reload shop --allow")
    assert.equal(0, status, output)
    assert.truthy(output:find("+ net two.example:443", 1, true), output)
    assert.equal(2, version(maru))
    local entry = assert(server.wait_for(function()
      return newest_audit(maru, "reload.allow")
    end))
    assert.equal("shop + env TWO + net two.example:443", entry.target)
    assert.equal("200 ok", entry.result)
    assert.truthy(maru:logs():find("shop may reach more from now on: env TWO, net two.example:443", 1, true))
    write(maru, 3, TWO)
    assert.equal(0, select(2, maru:command_output("reload")))
    assert(server.wait_for(function()
      return newest_audit(maru, "reload")
    end))
    assert.equal(3, version(maru))
  end)

  it("is refused through the admin API with a plan that says so", function()
    maru = start(ONE)
    write(maru, 2, TWO)
    local answer = maru:admin("/plugins/shop/reload", "POST")
    assert.is_false(answer.ok)
    assert.is_true(answer.errors[1].refused)
    assert.same({ added = { "env TWO", "net two.example:443" }, removed = {} }, answer.plan[1].permissions)
    assert.is_true(maru:admin("/plugins/shop/reload?allow=true", "POST").ok)
    assert.equal(2, version(maru))
  end)

  it("is refused after SIGHUP and when files change by themselves", function()
    maru = server.start({ plugins = { shop = shop(1, ONE) } })
    write(maru, 2, TWO)
    assert(server.wait_for(function()
      return maru:logs():find("would reach more than was accepted: env TWO, net two.example:443", 1, true)
    end), maru:logs())
    local _, before = maru:logs():gsub("would reach more", "")
    maru:signal("HUP")
    assert(server.wait_for(function()
      return select(2, maru:logs():gsub("would reach more", "")) > before
    end), maru:logs())
    assert.equal(1, version(maru))
  end)

  it("goes through for plugins that plugins.trust names", function()
    maru = start(ONE, { "plugins.trust=other,shop" })
    write(maru, 2, TWO)
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.equal(2, version(maru))
  end)

  it("goes through when everything is trusted", function()
    maru = start(ONE, { "plugins.trust=*" })
    write(maru, 2, TWO)
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.equal(2, version(maru))
  end)
end)

describe("what a plugin may reach", function()
  local maru

  after_each(function()
    maru:stop()
  end)

  it("may become less at any time, and then not more again", function()
    maru = start(TWO)
    write(maru, 2, ONE)
    local output, status = maru:command_output("reload")
    assert.equal(0, status, output)
    assert.truthy(output:find("- net two.example:443", 1, true), output)
    assert.equal(2, version(maru))
    write(maru, 3, TWO)
    assert.equal(4, select(2, maru:command_output("reload")))
    write(maru, 4, [[net = { "*.example:443" }]])
    assert.equal(4, select(2, maru:command_output("reload")))
    assert.equal(2, version(maru))
  end)

  it("may follow the configuration, but not a new default of the plugin's own", function()
    local config = [[return { ["plugins.shop"] = { base = "http://%s/" } }]]
    local reference = [[net = { "config:base" }]]
    maru = server.start({ plugins = { shop = shop(1, reference) }, set = { "plugins.watch=false" },
      config = "return {}" })
    assert.same({ "127.0.0.1:9" }, maru:admin("/plugins")[1].allow.net)
    server.write_file(maru.dir .. "/maru.lua", config:format("10.0.0.1:8080"))
    local output, status = maru:command_output("reload")
    assert.equal(0, status, output)
    assert.truthy(output:find("+ net 10.0.0.1:8080  - net 127.0.0.1:9", 1, true), output)
    assert.is_true(maru:restart(), maru:logs())
    assert.same({ "10.0.0.1:8080" }, maru:admin("/plugins")[1].allow.net)
    server.write_file(maru.dir .. "/maru.lua", "return {}")
    local text = server.read_file(maru:plugin_path("shop")):gsub("127%.0%.0%.1:9", "evil.example")
    server.write_file(maru:plugin_path("shop"), text)
    output, status = maru:command_output("reload")
    assert.equal(4, status, output)
    assert.truthy(output:find("net evil.example:80", 1, true), output)
  end)

  it("is logged when a plugin is seen for the first time", function()
    maru = start(ONE)
    assert.truthy(maru:logs():find("shop is new and may reach: net one.example:443", 1, true))
    server.write_plugins(maru.dir .. "/plugins", { plain = { ["plugin.lua"] =
      [[return { name = "plain", version = "1.0.0" }]] } })
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.truthy(maru:logs():find("plain is new and reaches nothing outside", 1, true))
  end)

  it("is remembered over a restart, where the accepted bundle serves in place of a wider one", function()
    maru = start(ONE)
    write(maru, 2, TWO)
    assert.is_true(maru:restart(), maru:logs())
    assert.equal(1, version(maru))
    assert.truthy(maru:logs():find("shop would reach more than was accepted: env TWO, net two.example:443", 1, true))
    assert.truthy(maru:admin("/plugins")[1].last_error.message:find("maru reload shop --allow", 1, true))
    assert.equal(4, select(2, maru:command_output("reload")))
    assert.equal(0, select(2, maru:command_output("reload shop --allow")))
    assert.equal(2, version(maru))
    assert.is_true(maru:restart(), maru:logs())
    assert.equal(2, version(maru))
    local _, new = maru:logs():gsub("shop is new and may reach", "")
    assert.equal(1, new)
  end)

  it("keeps a server from starting when it grew and nothing accepted is kept", function()
    maru = start(ONE)
    maru:stop(true)
    server.shell("rm -rf " .. maru.dir .. "/state/generations")
    write(maru, 2, TWO)
    assert.is_falsy(maru:restart())
    assert.truthy(maru:logs():find("would reach more than was accepted", 1, true))
    maru.command = maru.command .. " --set plugins.trust=shop"
    assert.is_true(maru:restart(), maru:logs())
    assert.equal(2, version(maru))
  end)

  it("is remembered while a plugin is away", function()
    maru = start(ONE)
    server.shell("mv " .. maru.dir .. "/plugins/shop " .. maru.dir .. "/shop")
    local output = maru:command_output("reload")
    assert.truthy(output:find("- net one.example:443", 1, true), output)
    server.shell("mv " .. maru.dir .. "/shop " .. maru.dir .. "/plugins/shop")
    write(maru, 2, TWO)
    assert.equal(4, select(2, maru:command_output("reload")))
    assert.equal(404, maru:get("/v").status)
    write(maru, 3, ONE)
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.equal(3, version(maru))
  end)

  it("is in the plan, which is printed alike by check, reload and the admin API", function()
    maru = start(ONE)
    write(maru, 2, [[env = { "A" }]])
    local plan = maru:admin("/plan")
    assert.is_false(plan.ok)
    local step = step_of(plan.plan, "shop")
    assert.equal("replace", step.action)
    assert.same({ added = { "env A" }, removed = { "net one.example:443" } }, step.permissions)
    assert.truthy(plan.errors[1].message:find("env A", 1, true))
    assert.equal(1, version(maru))
    assert.equal(cjson.null, maru:admin("/plugins")[1].last_error)
    local tail = "files changed  + env A  - net one.example:443\n"
    local checked = maru:command_output("check --plan --set plugins.path=" .. maru.dir .. "/plugins")
    assert.truthy(checked:find(tail, 1, true), checked)
    local line = checked:match("(replace[^\n]*\n)")
    local reloaded = maru:command_output("reload --allow")
    assert.equal(line, reloaded:match("(replace[^\n]*\n)"))
    assert.equal(2, version(maru))
    assert.equal("keep", step_of(maru:admin("/plan").plan, "shop").action)
  end)

  it("may be what it was when an older generation comes back", function()
    maru = start(TWO)
    write(maru, 2, ONE)
    assert.equal(0, select(2, maru:command_output("reload")))
    assert.equal(2, version(maru))
    local output, status = maru:command_output("rollback shop")
    assert.equal(0, status, output)
    assert.equal(1, version(maru))
    assert.is_true(maru:restart(), maru:logs())
    assert.equal(1, version(maru))
    assert.same({ "TWO" }, maru:admin("/plugins")[1].allow.env)
  end)
end)
