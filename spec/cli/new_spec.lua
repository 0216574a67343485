--- `maru new plugin`: whatever parts are asked for, what it writes is right at once.
local server = require("spec.support.server")

local PARTS = { "route", "job", "socket", "page" }
local LUACHECKRC = "-- Made by maru from maru.d.lua, and renewed with it."

--- Every set of options, the empty one first: { {}, { "route" }, { "job" }, { "route", "job" }, … }.
local function variants()
  local all = { {} }
  for _, part in ipairs(PARTS) do
    for i = 1, #all do
      local longer = { unpack(all[i]) }
      longer[#longer + 1] = part
      all[#all + 1] = longer
    end
  end
  return all
end

local function flags(parts)
  return #parts > 0 and " --" .. table.concat(parts, " --") or ""
end

local function has(parts, wanted)
  for _, part in ipairs(parts) do
    if part == wanted then
      return true
    end
  end
  return false
end

describe("maru new plugin", function()
  local dir, set

  before_each(function()
    dir = server.make_dir()
    set = (" --set plugins.path=%s --set state.dir=%s.state"):format(dir, dir)
  end)

  after_each(function()
    server.shell("rm -rf " .. dir .. " " .. dir .. ".state")
  end)

  for _, parts in ipairs(variants()) do
    it("writes a plugin that passes check, luacheck and its spec:" .. (flags(parts) == "" and " no option"
      or flags(parts)), function()
      local output, status = server.maru("new plugin hello" .. flags(parts) .. set)
      assert.equal(0, status, output)
      output, status = server.maru("check --strict hello" .. set)
      assert.equal(0, status, output)
      output, status = server.shell("cd " .. dir .. " && luacheck --no-color .")
      assert.equal(0, status, output)
      output, status = server.shell("cd " .. dir .. "/hello && luacheck --no-color .")
      assert.equal(0, status, output)
      if has(parts, "page") then
        output, status = server.shell("node --check --input-type=module <" .. dir .. "/hello/public/page.js")
        assert.equal(0, status, output)
      end
      output, status = server.maru("test hello --reload" .. set)
      assert.equal(0, status, output)
      assert.truthy(output:find("0 failures / 0 errors", 1, true), output)
    end)
  end

  it("writes what was asked for and nothing else", function()
    server.maru("new plugin hello --socket" .. set)
    local source = server.read_file(dir .. "/hello/plugin.lua")
    assert.truthy(source:find("M.sockets", 1, true))
    for _, other in ipairs({ "M.routes", "M.jobs", "M.pages", "NAME", "@if", "@end" }) do
      assert.falsy(source:find(other, 1, true), other)
    end
    assert.falsy(server.read_file(dir .. "/hello/migrations/0001_lines.sql"))
    assert.falsy(server.read_file(dir .. "/hello/public/page.js"))
  end)

  it("keeps its lines short for a long name", function()
    local name = ("long_name_"):rep(3)
    local output, status = server.maru("new plugin " .. name .. " --route --job --socket --page" .. set)
    assert.equal(0, status, output)
    output, status = server.shell("cd " .. dir .. " && luacheck --no-color .")
    assert.equal(0, status, output)
  end)

  it("overwrites nothing and refuses names that are none", function()
    assert.equal(0, select(2, server.maru("new plugin hello" .. set)))
    local output, status = server.maru("new plugin hello --page" .. set)
    assert.equal(1, status)
    assert.truthy(output:find("is there already", 1, true), output)
    output, status = server.maru("new plugin Bad-Name" .. set)
    assert.equal(2, status)
    assert.truthy(output:find("Bad-Name", 1, true), output)
    assert.equal(2, select(2, server.maru("new thing hello" .. set)))
  end)

  it("gives editors the types, and keeps them as new as the program", function()
    local cjson = require("cjson")
    local types = server.maru("types")
    server.maru("new plugin hello" .. set)
    local settings = cjson.decode(server.read_file(dir .. "/hello/.luarc.json"))
    assert.equal("LuaJIT", settings["runtime.version"])
    assert.equal(types, server.read_file(dir .. "/hello/" .. settings["workspace.library"][1] .. "/maru.d.lua"))
    assert.equal(server.read_file("core/lua/maru/test/test.d.lua"), server.read_file(dir .. "/.maru/test.d.lua"))
    assert.same({ ".maru" }, cjson.decode(server.read_file(dir .. "/.luarc.json"))["workspace.library"])

    server.write_file(dir .. "/.maru/maru.d.lua", "---@meta maru\n")
    server.write_file(dir .. "/.luacheckrc", LUACHECKRC .. "\n")
    server.write_file(dir .. "/hello/.luacheckrc", "std = 'luajit'\n")
    assert.equal(0, select(2, server.maru("check" .. set)))
    assert.equal(types, server.read_file(dir .. "/.maru/maru.d.lua"))
    assert.truthy(server.read_file(dir .. "/.luacheckrc"):find("read_globals", 1, true))
    assert.equal("std = 'luajit'\n", server.read_file(dir .. "/hello/.luacheckrc"))
  end)

  it("leaves a folder alone in which it made nothing", function()
    server.write_plugins(dir, { own = { ["plugin.lua"] = 'return { name = "own", version = "1.0.0" }\n' } })
    assert.equal(0, select(2, server.maru("check" .. set)))
    assert.equal("own\n", (server.shell("ls -A " .. dir)))
  end)
end)

describe("a new plugin with every part", function()
  local maru

  setup(function()
    local dir = server.make_dir()
    server.maru(("new plugin hello --route --job --socket --page --set plugins.path=%s"):format(dir))
    maru = server.start({ plugins_path = dir })
    maru.made = dir
  end)

  teardown(function()
    server.shell("rm -rf " .. maru.made)
    maru:stop()
  end)

  it("answers, keeps and shows what it promises", function()
    assert.same({ lines = {} }, maru:get("/api/hello").json)
    assert.equal(422, maru:post("/api/hello", { text = "" }).status)
    assert.equal(201, maru:post("/api/hello", { text = "안녕" }).status)
    assert.equal("안녕", maru:get("/api/hello?limit=1").json.lines[1].text)
    local page = maru:get("/api/pages").json[1]
    assert.equal("/hello", page.path)
    assert.equal(200, maru:get(page.module).status)
  end)
end)
