--- One broken plugin for each stage a change can fail at: refused by name, place and generation, while the
--- old one serves; and at a start the same place, with an exit code.
local server = require("spec.support.server")

local GOOD = [[
local M = { name = "shop", version = "1.0.0" }
M.routes = { ["GET /v"] = function() return 200, { v = 1 } end }
return M
]]

--- A plugin with a part of its own at line 3.
local function with(part)
  return [[
local M = { name = "shop", version = "2.0.0" }
M.routes = { ["GET /v"] = function() return 200, { v = 2 } end }
]] .. part .. "\nreturn M\n"
end

local SET = { "plugins.watch=false", "reload.start_time=1s" }

--- name, the broken plugin's files (or a function that breaks the folder), where the message points, and what it says
local STAGES = {
  { "cannot be read", function(folder)
    server.shell("mkdir -p " .. folder .. "/public && truncate -s 70M " .. folder .. "/public/big.bin")
  end, "shop", "67108864 bytes", unread = true },
  { "does not parse", { ["plugin.lua"] = "local M = {}\nM.routes = { [\"GET /v\"] = }\nreturn M\n" },
    "shop/plugin.lua:2:", "unexpected symbol" },
  { "does not parse in a module", {
    ["plugin.lua"] = with('require("parts")'), ["parts.lua"] = "local t = {}\n\nreturn t t\n",
  }, "shop/parts.lua:3:", "<eof>" },
  { "raises while loading", { ["plugin.lua"] = with("local nothing = nil\nM.x = nothing.y") },
    "shop/plugin.lua:4:", "nothing" },
  { "loads for ever", { ["plugin.lua"] = with("while true do end") }, "shop/plugin.lua:3:", "loading took longer" },
  { "is too large while loading", {
    ["plugin.lua"] = with("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end"),
  }, "shop/plugin.lua", "memory limit" },
  { "breaks the contract", { ["plugin.lua"] = with("M.rutes = {}") }, "shop/plugin.lua:3:", "routes" },
  { "has a wrong option", { ["plugin.lua"] = with("M.jobs = { mail = { retries = -1, function() end } }") },
    "shop/plugin.lua:3:", "retries" },
  { "gets a wrong configuration", { ["plugin.lua"] = with("M.config = { size = { type = \"integer\", max = 3 } }") },
    "size", "at most 3", config = true },
  { "requires what is not there", { ["plugin.lua"] = with("M.requires = { \"accounts >= 2\" }") },
    "shop/plugin.lua:3:", "accounts" },
  { "takes another plugin's route", { ["plugin.lua"] = with("M.routes[\"GET /other\"] = function() end") },
    "shop/plugin.lua:3:", "other" },
  { "has a schedule that is none", {
    ["plugin.lua"] = with("M.cron = { [\"61 * * * *\"] = { id = \"x\", function() end } }"),
  }, "shop/plugin.lua:3:", "61 * * * *" },
  { "has a migration that fails", { ["plugin.lua"] = with(""),
    ["migrations/0001_a.sql"] = "create table shop_a (id integer);\n\ncreate tabel shop_b (id integer);\n" },
    "shop/migrations/0001_a.sql:3", "tabel" },
  { "raises in start", { ["plugin.lua"] = with("M.start = function()\n  error(\"no ink\")\nend") },
    "shop/plugin.lua:4:", "no ink" },
  { "never ends its start", {
    ["plugin.lua"] = with("M.start = function(app)\n  while true do app.sleep(0.01) end\nend"),
  }, "shop/plugin.lua:3", "start() took longer than 1000 ms" },
  { "runs out of memory in start", {
    ["plugin.lua"] = with("M.limits = { memory = \"4M\" }\nM.start = function()\n"
      .. "  local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end\nend"),
  }, "shop/plugin.lua:4", "start() ran out of memory" },
}

local OTHER = { ["plugin.lua"] =
  "return { name = \"other\", version = \"1.0.0\", routes = { [\"GET /other\"] = function() return 200, {} end } }\n" }

local function break_it(folder, files)
  if type(files) == "function" then
    files(folder)
  else
    server.write_plugins((folder:match("^(.*)/[^/]+$")), { shop = files })
  end
end

local function start(stage)
  return { plugins = { shop = { ["plugin.lua"] = GOOD }, other = OTHER }, set = SET,
    config = stage.config and 'return { plugins = { shop = {} } }\n' or nil }
end

describe("a plugin that", function()
  for _, stage in ipairs(STAGES) do
    local name, files, place, says = stage[1], stage[2], stage[3], stage[4]

    describe(name, function()
      it("is refused while the old one serves", function()
        local maru = server.start(start(stage))
        finally(function()
          maru:stop()
        end)
        local kept = maru:admin("/plugins/shop").generation
        if stage.config then
          server.write_file(maru.dir .. "/maru.lua", "return { plugins = { shop = { size = 9 } } }\n")
        end
        break_it(maru.dir .. "/plugins/shop", files)
        local output, status = maru:command_output("reload shop")
        assert.equal(4, status, output)
        assert.truthy(output:find(place, 1, true) and output:find(says, 1, true), output)
        assert.truthy(output:find("shop@" .. kept .. " keeps serving", 1, true), output)
        if not stage.unread then
          local refused = output:match("shop@(%x+) is refused")
          assert(refused and #refused == 12 and refused ~= kept, output)
        end
        assert.equal(1, maru:get("/v").json.v)
        local plugin = maru:admin("/plugins/shop")
        assert.same({ kept, "serving" }, { plugin.generation, plugin.state })
        local refused
        for _, event in ipairs(plugin.events) do
          refused = refused or event.kind == "refused" and event
        end
        assert(refused.text:find(place, 1, true), refused.text)
      end)

      it("stops the start", function()
        local dir = server.make_dir()
        finally(function()
          server.shell("rm -rf " .. dir)
        end)
        server.write_plugins(dir, { shop = { ["plugin.lua"] = GOOD }, other = OTHER })
        break_it(dir .. "/shop", files)
        local config = dir .. "/maru.lua"
        server.write_file(config, stage.config and "return { plugins = { shop = { size = 9 } } }\n" or "return {}\n")
        local words = { "timeout 30", server.binary(), "serve -c", config, "--set http.listen=127.0.0.1:0",
          "--set https.listen=", "--set state.dir=" .. dir .. "/state", "--set plugins.path=" .. dir }
        for _, set in ipairs(SET) do
          words[#words + 1] = "--set " .. set
        end
        local output, status = server.shell(table.concat(words, " "))
        assert.equal(4, status, output)
        assert.truthy(output:find(place, 1, true) and output:find(says, 1, true), output)
      end)
    end)
  end
end)
