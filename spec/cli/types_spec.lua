--- maru.d.lua and the program say the same: what is registered is declared, what is declared is there.
package.path = "core/lua/?.lua;" .. package.path

local cjson = require("cjson")
local server = require("spec.support.server")
local types = require("maru.check.types")
local words = require("maru.words")

local TEXT = server.read_file("core/lua/maru/maru.d.lua")
local declared = types.read(TEXT)
local registered = cjson.decode((server.maru("types --json")))

--- The names of one that are not names of the other, sorted.
local function missing(from, inside)
  local list = {}
  for name in pairs(from) do
    if type(name) == "string" and inside[name] == nil then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return table.concat(list, " ")
end

local function same(class, names, what)
  local fields = assert(declared.classes[class], "maru.d.lua declares no " .. class).fields
  assert.equal("", missing(names, fields), what .. " has what " .. class .. " of maru.d.lua lacks")
  assert.equal("", missing(fields, names), class .. " of maru.d.lua has what " .. what .. " lacks")
end

describe("maru.d.lua", function()
  it("is what `maru types` prints, and compiles", function()
    local output, status = server.maru("types")
    assert.equal(0, status)
    assert.equal(TEXT, output)
    assert(loadstring(TEXT))
  end)

  it("names only classes that it declares, and parameters that the function behind has", function()
    local params = {}
    for line in TEXT:gmatch("([^\n]*)\n") do
      for name in line:gmatch("maru%.%u%w*") do
        local alias = TEXT:find("@alias " .. name .. " ", 1, true)
        assert.truthy(declared.classes[name] or alias, line)
      end
      local param = line:match("^%-%-%-@param ([%w_]+)")
      if param then
        params[#params + 1] = param
      elseif not line:find("^%-%-") then
        for _, name in ipairs(params) do
          assert.truthy(line:find("[(, ]" .. name .. "[,) ]"), "@param " .. name .. " above " .. line)
        end
        params = {}
      end
    end
  end)

  it("declares every part of app and invents none", function()
    same("maru.App", registered.app, "app")
  end)

  it("declares every function of every noun and invents none", function()
    local count = 0
    for noun, functions in pairs(registered.app) do
      if type(functions) == "table" then
        local class = declared.variables["app." .. noun]
        assert.truthy(class, "maru.d.lua gives app." .. noun .. " no class")
        same(class, functions, "app." .. noun)
        count = count + 1
      end
    end
    assert.is_true(count >= 13, count .. " nouns")
  end)

  it("declares every method of every handle and invents none", function()
    same("maru.Stream", registered.stream, "a stream")
    same("maru.SocketHandle", registered.socket, "a socket")
    same("maru.Request", registered.request, "a request")
    same("maru.Subscription", registered.subscription, "a subscription")
    same("maru.HttpStream", registered.http_stream, "a streamed answer")
    same("maru.Floats", registered.floats, "floats")
    same("maru.Tx", registered.tx, "a transaction")
    same("maru.TxJobs", registered.tx.jobs, "tx.jobs")
    same("maru.TxWorkflows", registered.tx.workflows, "tx.workflows")
    same("maru.TxEvents", registered.tx.events, "tx.events")
  end)

  it("declares what a plugin has of Lua, no more and no less", function()
    same("maru.Lua", registered.globals, "a plugin's globals")
    for library, functions in pairs(registered.globals) do
      if type(functions) == "table" then
        same("maru.Lua." .. library, functions, library)
      end
    end
  end)

  it("names the modules that require finds", function()
    for module in pairs(registered.modules) do
      assert.truthy(TEXT:find(module, 1, true), module)
    end
  end)
end)

--- A plugin that says something of every kind, so that the contract looks at all of its keys.
local PLUGIN = {
  name = "all", version = "1.0.0", config = { size = "integer(1,2)?" }, limits = {}, allow = {},
  series = { line = { keys = { "a" }, values = { "b" } } },
  routes = { ["GET /all"] = { function() end } },
  jobs = { work = { function() end } },
  cron = { ["@daily"] = { job = "work" } },
  on = { ["all.topic"] = { function() end } },
  sockets = { ["/ws"] = { open = function() end } },
  pages = { { path = "/all", title = { ko = "전부", en = "all" }, module = "page.js" } },
}

--- What the contract knows under each path of keys: { routes = { summary = true, … } }.
local function known_options()
  local contract = require("maru.contract")
  local seen, only = {}, words.only
  words.only = function(keys, t, known, what) -- luacheck: ignore 122
    seen[keys[1] or ""] = seen[keys[1] or ""] or known
    return only(keys, t, known, what)
  end
  local ok, message = pcall(contract.read, PLUGIN, { name = "all", settings = {},
    source = function() return "" end, hash = function() return "" end, encode = cjson.encode })
  words.only = only -- luacheck: ignore 122
  assert(ok, type(message) == "table" and message.message or message)
  return seen
end

describe("options of a plugin.lua", function()
  local known = known_options()

  for keys, class in pairs({
    [""] = "maru.Plugin", limits = "maru.Limits", allow = "maru.Allow", series = "maru.SeriesDeclaration",
    routes = "maru.Route", jobs = "maru.JobDeclaration", cron = "maru.CronDeclaration",
    on = "maru.OnDeclaration", sockets = "maru.Socket",
  }) do
    it("are those of " .. class, function()
      same(class, assert(known[keys], "the contract never looked at " .. keys), "the contract's " .. keys)
    end)
  end

  it("of a field are those of maru.Field", function()
    local fields = require("maru.fields")
    local all = {}
    for name in pairs(fields.COMMON) do
      all[name] = true
    end
    for _, options in pairs(fields.TYPES) do
      for name in pairs(options) do
        all[name] = true
      end
    end
    same("maru.Field", all, "fields.lua")
  end)
end)

--- Every word of the lists `known[] = { … }` of a binding.
local function c_options(file)
  local all = {}
  for list in server.read_file(file):gmatch("known%[%] = (%b{})") do
    for name in list:gmatch('"([%w_]+)"') do
      all[name] = true
    end
  end
  return all
end

describe("options of a call", function()
  for class, file in pairs({
    ["maru.SendOptions"] = "core/bind/http_stream_lua.c", ["maru.PushOptions"] = "core/bind/jobs_lua.c",
    ["maru.SeriesOptions"] = "core/bind/series_lua.c", ["maru.Unique"] = "core/bind/jobs_unique_lua.c",
  }) do
    it("are those of " .. class, function()
      same(class, c_options(file), file)
    end)
  end

  it("of app.http are those of maru.HttpOptions", function()
    local list = server.read_file("core/lua/maru/client.lua"):match("local known = (%b{})")
    local all = {}
    for name in list:gmatch("([%w_]+) = true") do
      all[name] = true
    end
    same("maru.HttpOptions", all, "client.lua")
  end)
end)
