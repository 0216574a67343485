--- What every driver of the locks of app.cache has to do, through the real program.
local cache = require("spec.support.cache")
local cjson = require("cjson")
local contract = require("spec.support.contract")
local server = require("spec.support.server")

local NULL = cjson.null
local ONE = "its locks are one process's own"

--- Where a driver behaves otherwise on purpose, each with its reason.
local differs = {
  memory = {
    ["one node's lock keeps another node out"] = ONE,
    ["a killed process's lock ends with its time"] = ONE,
    ["fences grow over nodes"] = ONE,
    ["fences grow after everything in the server was lost"] = ONE,
    ["a lock without a time of its own is renewed"] = "it ends with its process, not with time",
  },
}

local GENERATIONS = [[
local M = { name = "holder", version = "1.0.%d" }
M.start = function(app) assert(app.cache:lock("of a generation") or %s) end
M.routes = { ["GET /holder"] = function() return 200, { v = %d } end }
return M
]]

for _, driver in ipairs(cache.drivers(differs)) do
  describe("locks on " .. driver.name, function()
    local stage, case = contract.stage(driver, cache.OPTIONS)
    local maru

    local function run(text, ...)
      return cache.run(maru, text, ...)
    end

    setup(function()
      maru = stage:node()
    end)

    case("one holder until it is given back", function()
      assert.are.same({ "string", 32, NULL, false, true, false, "string" }, { run([[
        local c = app.cache
        local token = c:lock("l", "1m")
        local none, message = c:lock("l", "1m")
        assert(none == nil and message == nil)
        return type(token), #token, none, c:unlock("l", "another"), c:unlock("l", token), c:unlock("l", token),
          type(c:lock("l", "1m"))]]) })
    end)

    case("a fence that is larger each time, over all names", function()
      assert.is_true((run([[
        local last = 0
        for i = 1, 300 do
          local token, fence = app.cache:lock("fenced" .. i % 3)
          if not token or fence <= last or fence ~= math.floor(fence) then return "fence " .. tostring(fence) end
          last = fence
          app.cache:unlock("fenced" .. i % 3, token)
        end
        return true]])))
    end)

    case("ends with its time, and its token opens nothing then", function()
      assert.are.same({ true, false, true }, { run([[
        local first, fence = app.cache:lock("brief", "60ms")
        for _ = 1, 500 do
          local second, higher = app.cache:lock("brief", "1m")
          if second then return higher > fence, app.cache:unlock("brief", first), app.cache:unlock("brief", second) end
          app.sleep(0.01)
        end]]) })
    end)

    case("one of many tasks at a time", function()
      assert.are.same({ 40, 1 }, { run([[
        local inside, most, done, left = 0, 0, 0, 40
        for _ = 1, 40 do
          app.spawn(function()
            local token
            repeat
              token = app.cache:lock("narrow", "1m")
              if not token then app.sleep(0.002) end
            until token
            inside = inside + 1
            most = math.max(most, inside)
            app.sleep(0.001)
            inside = inside - 1
            done = done + 1
            app.cache:unlock("narrow", token)
            left = left - 1
          end)
        end
        while left > 0 do app.sleep(0.01) end
        return done, most]]) })
    end)

    case("plugins do not see each other's", function()
      assert.are.equal("string", (run([[return type((app.cache:lock("same", "1m")))]])))
      assert.are.equal("string", (cache.run_as("two", maru, [[return type((app.cache:lock("same", "1m")))]])))
    end)

    case("a generation's locks go with it", function()
      local files = { ["plugin.lua"] = GENERATIONS:format(1, "nil", 1) }
      local node = stage:node({ plugins = { holder = files } })
      local path = node.dir .. "/plugins/holder/plugin.lua"
      server.write_file(path, GENERATIONS:format(2, "app.sleep(0)", 2))
      local output = server.maru("reload holder --set state.dir=" .. node.dir .. "/state")
      assert.is_truthy(output:find("holder"), output)
      assert.is_truthy(server.wait_for(function()
        server.write_file(path, GENERATIONS:format(3, "nil", 3) .. "\n-- " .. os.time())
        return select(2, server.maru("reload holder --set state.dir=" .. node.dir .. "/state")) == 0
      end), node:logs())
      node:stop()
    end)

    case("one node's lock keeps another node out", function()
      local other = stage:node()
      local token = run([[return (app.cache:lock("both", "1m"))]])
      assert.are.equal(NULL, (cache.run(other, [[return (app.cache:lock("both", "1m"))]])))
      assert.is_true((cache.run(other, [[return app.cache:unlock("both", args[1])]], token)))
      assert.are.equal("string", (cache.run(other, [[return type((app.cache:lock("both", "1m")))]])))
      other:stop()
    end)

    case("a process that stops gives back what it held", function()
      local node = stage:node()
      assert.are.equal("string", type((cache.run(node, [[return (app.cache:lock("stopped", "1h"))]]))))
      node:signal("TERM")
      assert.is_truthy(server.wait_for(function()
        return not server.alive(node.pid)
      end))
      assert.are.equal("string", type((run([[return (app.cache:lock("stopped", "1h"))]]))))
      node:stop()
    end)

    case("a killed process's lock ends with its time", function()
      local node = stage:node()
      cache.run(node, [[return (app.cache:lock("killed", "400ms"))]])
      node:kill()
      assert.is_truthy(server.wait_for(function()
        return type((run([[return (app.cache:lock("killed", "1m"))]]))) == "string"
      end))
      node:stop()
    end)

    case("a lock without a time of its own is renewed", function()
      run([[app.cache:lock("lease")]])
      local lease = tonumber(stage.backend.db:call("PTTL", "maru:lock:one:lease"))
      assert.is_true(lease > 0 and lease <= 30000)
      stage.backend.db:call("PEXPIRE", "maru:lock:one:lease", "15000")
      assert.is_truthy(server.wait_for(function()
        return tonumber(stage.backend.db:call("PTTL", "maru:lock:one:lease")) > 15000
      end))
    end)

    case("fences grow over nodes", function()
      local other = stage:node()
      local _, one = run([[return app.cache:lock("f1", "1m")]])
      local _, two = cache.run(other, [[return app.cache:lock("f2", "1m")]])
      local _, three = run([[return app.cache:lock("f3", "1m")]])
      assert.is_true(one < two and two < three)
      other:stop()
    end)

    case("fences grow after everything in the server was lost", function()
      local _, before = run([[return app.cache:lock("lost", "1m")]])
      stage.backend.db:call("FLUSHALL")
      local token, after = run([[return app.cache:lock("lost", "1m")]])
      assert.are.equal("string", type(token))
      assert.is_true(after > before)
    end)
  end)
end
