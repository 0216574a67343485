--- What every driver of routes' rate limits has to do, through the real program. They follow cache.driver.
local cache = require("spec.support.cache")
local contract = require("spec.support.contract")
local server = require("spec.support.server")

local ONE = "its limits are one process's own"

--- Where a driver behaves otherwise on purpose, each with its reason.
local differs = {
  memory = {
    ["two nodes share one limit, whatever comes at once"] = ONE,
    ["a flood that was refused is refused here without asking"] = ONE,
    ["a route whose answers are kept waits for nobody"] = "nobody is waited for",
    ["while Redis is away each node's own limit holds"] = ONE,
  },
}

local LIMITED = [[
local M = { name = "limited", version = "1.0.0" }
local function ok() return 200, { ok = true } end
M.routes = {
  ["GET /few"] = { rate = "5/h", ok },
  ["GET /others"] = { rate = "5/h", ok },
  ["GET /crowd"] = { rate = "20/h", ok },
  ["GET /flood"] = { rate = "3/h", ok },
  ["GET /kept"] = { rate = "100/h", cache = "1h", ok },
  ["GET /away"] = { rate = "4/h", ok },
  ["GET /soon"] = { rate = "1/s", ok },
  ["GET /free"] = ok,
}
return M
]]

for _, driver in ipairs(cache.drivers(differs)) do
  describe("rate limits on " .. driver.name, function()
    local stage, case = contract.stage(driver, cache.OPTIONS)
    local maru, other

    local function statuses(node, path, count)
      local list = {}
      for i = 1, count do
        list[i] = node:get(path).status
      end
      return list
    end

    --- How many of so many requests at once to each of the nodes passed.
    local function passed(nodes, path, count)
      local words = {}
      for _, node in ipairs(nodes) do
        words[#words + 1] = ("-o /dev/null '%s%s?n=[1-%d]'"):format(node.url, path, count)
      end
      local output = server.shell("curl -s -Z --parallel-max 30 -w '%{http_code}\\n' " .. table.concat(words, " "))
      local seen = { ["200"] = 0, ["429"] = 0 }
      for line in output:gmatch("[^\n]+") do -- there is a line about progress among them
        if seen[line] then
          seen[line] = seen[line] + 1
        end
      end
      assert.are.equal(#nodes * count, seen["200"] + seen["429"], output)
      return seen["200"]
    end

    setup(function()
      local options = { plugins = { limited = { ["plugin.lua"] = LIMITED } } }
      maru = stage:node(options)
      other = driver.name ~= "memory" and stage:node(options)
    end)

    case("so many pass, and the next is told when to come again", function()
      assert.are.same({ 200, 200, 200, 200, 200, 429, 429 }, statuses(maru, "/few", 7))
      local answer = maru:get("/few")
      assert.are.equal("rate_limited", answer.json.code)
      local wait = tonumber(answer.headers["retry-after"])
      assert.is_true(wait > 0 and wait <= 720)
      assert.are.same({ 200 }, statuses(maru, "/others", 1)) -- routes are apart
      assert.are.same({ 200, 200 }, statuses(maru, "/free", 2))
    end)

    case("it is filled again with time", function()
      assert.are.equal(200, maru:get("/soon").status)
      assert.is_truthy(server.wait_for(function()
        return maru:get("/soon").status == 429
      end))
      assert.is_truthy(server.wait_for(function()
        return maru:get("/soon").status == 200
      end))
    end)

    case("two nodes share one limit, whatever comes at once", function()
      assert.are.equal(20, passed({ maru, other }, "/crowd", 40))
    end)

    case("a flood that was refused is refused here without asking", function()
      assert.are.equal(3, passed({ other }, "/flood", 3))
      assert.are.equal(429, maru:get("/flood").status)
      local function asked()
        return tonumber(stage.backend.db:call("INFO", "commandstats"):match("cmdstat_evalsha:calls=(%d+)"))
      end
      local before = asked()
      assert.are.same({ 429, 429, 429 }, statuses(maru, "/flood", 3))
      assert.are.equal(before, asked())
    end)

    case("a route whose answers are kept waits for nobody", function()
      local options = { plugins = { limited = { ["plugin.lua"] = LIMITED } }, set = { "cache.timeout=60s" } }
      local patient = stage:node(options)
      assert.are.equal(200, patient:get("/kept").status)
      stage.backend.db:call("CLIENT", "PAUSE", "300000", "WRITE")
      assert.are.same({ 200, 200, 200 }, statuses(patient, "/kept", 3))
      assert.are.equal(200, patient:get("/free").status)
      stage.backend.db:call("CLIENT", "UNPAUSE")
      patient:stop()
    end)

    case("while Redis is away each node's own limit holds", function()
      stage.backend.db:kill()
      assert.are.same({ 200, 200, 200, 200, 429 }, statuses(maru, "/away", 5))
      assert.are.same({ 200, 200, 200, 200, 429 }, statuses(other, "/away", 5))
      stage.backend.db:again()
    end)
  end)
end
