--- Back to a generation that served before: asked for, kept over restarts, given up for new files.
local server = require("spec.support.server")

local function version(n, rest)
  return {
    ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d" }
M.routes = { ["GET /v"] = function() return 200, { v = %d } end }
%s
return M
]]):format(n, n, rest or ""),
  }
end

describe("a rollback", function()
  local maru

  before_each(function()
    maru = server.start({ plugins = { shop = version(1) } })
  end)

  after_each(function()
    maru:stop()
  end)

  local function serves(n)
    return server.wait_for(function()
      local answer = maru:get("/v").json
      return answer and answer.v == n
    end)
  end

  local function save(n, rest)
    server.write_plugins(maru.dir .. "/plugins", { shop = version(n, rest) })
  end

  local function load(n, rest)
    save(n, rest)
    assert(serves(n), maru:logs())
  end

  local function run(command, code)
    local output, status = maru:command_output(command)
    assert.equal(code or 0, status, output)
    return output
  end

  local function show()
    return maru:admin("/plugins/shop")
  end

  --- What is kept, once the newest is on disk: it is written after the swap.
  local function kept(version_text)
    return assert(server.wait_for(function()
      local list = show().kept
      return list[1] and list[1].version == version_text and list
    end))
  end

  local function restart()
    maru:stop(true)
    maru:launch()
    local line
    assert(server.wait_for(function()
      line = (server.read_file(maru.dir .. "/out") or ""):match('"http":"([^"]+)"')
      return line
    end), maru:logs())
    maru.url = line
  end

  it("serves the newest kept generation that is not the one serving", function()
    load(2)
    load(3)
    kept("1.0.3")
    local output = run("rollback shop")
    assert.truthy(output:find("rolled back from", 1, true), output)
    assert.equal(2, maru:get("/v").json.v)
    run("rollback shop")
    assert.equal(1, maru:get("/v").json.v)
    output = run("rollback shop", 4)
    assert.truthy(output:find("no other generation that served well is kept", 1, true), output)
    assert.equal(1, maru:get("/v").json.v)
    output = run("rollback nobody", 4)
    assert.truthy(output:find("no plugin 'nobody' serves", 1, true), output)
  end)

  it("goes to the one whose hash is given, and says what it did", function()
    local first = show().generation
    load(2)
    load(3)
    kept("1.0.3")
    local third = show().generation
    run("rollback shop " .. first:sub(1, 8))
    assert.equal(1, maru:get("/v").json.v)
    local plugin = show()
    assert.equal(first, plugin.generation)
    assert.same({ third, first, "asked for by the operator" },
      { plugin.rolled_back.from, plugin.rolled_back.to, plugin.rolled_back.reason })
    assert.equal("rolled back", plugin.events[1].kind)
    local list = kept("1.0.1")
    assert.is_true(list[1].serving)
    assert.equal("asked for by the operator", list[2].failed)
    local text = ("rolled back from %s to %s: asked for by the operator"):format(third, first)
    assert.truthy(run("plugins"):find(text, 1, true))
    assert.truthy(run("plugins show shop"):find(text, 1, true))
    assert.truthy(run("rollback shop " .. first, 4):find("serves already", 1, true))
    assert.truthy(run("rollback shop 0123456789ab", 4):find("no kept generation of shop begins with", 1, true))
    assert.truthy(run("rollback shop nope", 2):find("content hash", 1, true))
    assert.truthy(run("rollback nobody", 4):find("nobody", 1, true))
  end)

  it("passes the folder over until it changes, also over a restart", function()
    load(2)
    kept("1.0.2")
    run("rollback shop")
    save(2)
    run("reload")
    assert.equal(1, maru:get("/v").json.v)
    restart()
    assert.equal(1, maru:get("/v").json.v)
    assert.truthy(maru:admin("/plugins")[1].rolled_back)
    load(3)
    assert.is_userdata(show().rolled_back)
    save(2)
    assert(serves(2))
  end)

  it("ends when the folder holds again what serves", function()
    load(2)
    kept("1.0.2")
    run("rollback shop")
    save(1)
    assert(server.wait_for(function()
      return type(show().rolled_back) == "userdata"
    end))
    load(2)
  end)

  it("is overridden by a reload of the plugin's name", function()
    load(2)
    kept("1.0.2")
    run("rollback shop")
    assert.equal(1, maru:get("/v").json.v)
    run("reload shop")
    assert.equal(2, maru:get("/v").json.v)
    assert.is_userdata(show().rolled_back)
    assert.is_userdata(kept("1.0.2")[1].failed)
  end)

  it("shows in the plan of a check", function()
    load(2)
    kept("1.0.2")
    run("rollback shop")
    local output, status = server.maru(("check --set state.dir=%s/state --set plugins.path=%s"):format(
      maru.dir, maru.plugins_path))
    assert.equal(0, status, output)
    assert.truthy(output:find("keep%s+shop.*rolled back from"), output)
  end)

  it("leaves the database as it is and warns of what the older one does not know", function()
    server.write_plugins(maru.dir .. "/plugins", { shop = {
      ["migrations/0001_lines.sql"] = "create table shop_lines (id integer primary key, text text);\n",
      ["plugin.lua"] = version(2)["plugin.lua"],
    } })
    assert(serves(2))
    kept("1.0.2")
    local output = run("rollback shop")
    assert.truthy(output:find("0001_lines.sql was applied and shop@%x+ does not know it"), output)
    assert.equal(1, maru:get("/v").json.v)
    run("reload shop")
    assert.equal(2, maru:get("/v").json.v)
  end)

  it("changes nothing when the kept one does not come up any more", function()
    load(2)
    server.write_plugins(maru.dir .. "/plugins", { friend = { ["plugin.lua"] =
      "return { name = \"friend\", version = \"1.0.0\" }\n" } })
    assert(server.wait_for(function()
      return #maru:admin("/plugins") == 2
    end))
    load(3, "M.requires = { \"friend\" }")
    load(4)
    kept("1.0.4")
    server.shell("rm -rf " .. maru.dir .. "/plugins/friend")
    assert(server.wait_for(function()
      return #maru:admin("/plugins") == 1
    end))
    local output = run("rollback shop", 4)
    assert.truthy(output:find("friend", 1, true), output)
    assert.equal(4, maru:get("/v").json.v)
    assert.is_userdata(show().rolled_back)
  end)

  it("keeps what is damaged on disk from serving", function()
    load(2)
    local hash = kept("1.0.2")[2].hash
    server.write_file(("%s/state/generations/shop.%s/shop/plugin.lua"):format(maru.dir, hash), "return {}\n")
    local output = run("rollback shop", 4)
    assert.truthy(output:find("not what was kept", 1, true), output)
    assert.equal(2, maru:get("/v").json.v)
  end)
end)
