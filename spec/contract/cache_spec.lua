--- What every driver of app.cache has to do, through the real program.
local cache = require("spec.support.cache")
local cjson = require("cjson")
local contract = require("spec.support.contract")
local server = require("spec.support.server")

local NULL = cjson.null
local ONE = "its memory is one process's own"

--- Where a driver behaves otherwise on purpose, each with its reason.
local differs = {
  memory = {
    ["what one node keeps, another finds"] = ONE,
    ["counts of several nodes add up"] = ONE,
    ["a restart keeps what was kept"] = ONE,
  },
  redis = {
    ["the least recently used goes when there is no room"] = "what goes is the server's to say: maxmemory-policy",
  },
}

for _, driver in ipairs(cache.drivers(differs)) do
  describe("app.cache on " .. driver.name, function()
    local stage, case = contract.stage(driver, cache.OPTIONS)
    local maru

    local function run(text, ...)
      return cache.run(maru, text, ...)
    end

    setup(function()
      maru = stage:node()
    end)

    case("keeps what JSON can hold, exactly", function()
      assert.are.same({ true, "text", true, 1.5, true, false, true, { a = { 1, { b = NULL } } } }, { run([[
        local c = app.cache
        return c:set("s", "text"), c:get("s"), c:set("n", 1.5), c:get("n"), c:set("b", false), c:get("b"),
          c:set("t", { a = { 1, { b = app.json.null } } }), c:get("t")]]) })
    end)

    case("tells numbers from their text, and keeps every byte and every digit", function()
      assert.are.same({ "string", "number", true, true, true, true, 0 }, { run([[
        local c = app.cache
        local bytes = {}
        for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
        bytes = table.concat(bytes)
        c:set("s", "12") c:set("n", 12) c:set("bytes", bytes)
        c:set("pi", math.pi) c:set("big", 2 ^ 53) c:set("tiny", 5e-324) c:set("empty", "")
        return type(c:get("s")), type(c:get("n")), c:get("bytes") == bytes, c:get("pi") == math.pi,
          c:get("big") == 2 ^ 53, c:get("tiny") == 5e-324, #c:get("empty")]]) })
    end)

    case("answers nil for what is not there", function()
      assert.are.same({ NULL, false }, { run([[return app.cache:get("none"), app.cache:delete("none")]]) })
    end)

    case("sets many at once, each as it is set alone", function()
      assert.are.same({ true, "v1", 200, false, { a = 1 }, true, 0, true }, { run([[
        local c, list = app.cache, {}
        for i = 1, 200 do list[i] = { "many" .. i, i == 1 and "v1" or i } end
        list[201], list[202] = { "many-b", false }, { "many-t", { a = 1 } }
        return c:set_many(list, "1m"), c:get("many1"), c:get("many200"), c:get("many-b"), c:get("many-t"),
          c:set_many({}), #c:keys("none-of-these"), c:set_many({ { "many1", "short" } }, 0.05)]]) })
      assert.is_truthy(server.wait_for(function()
        return run([[return app.cache:get("many1")]]) == NULL
      end, 30))
    end)

    case("refuses a list of many that has something wrong in it, and sets none of it", function()
      local function wrong(list)
        return (run("local ok, message = pcall(app.cache.set_many, app.cache, " .. list .. ") "
          .. "return ok and '' or tostring(message)"))
      end
      assert.matches("list must be a table", wrong("5"))
      assert.matches("must be a table, got 5", wrong("{ { 'wrong1', 1 }, 5 }"))
      assert.matches("key must be a string", wrong("{ { 'wrong1', 1 }, { {}, 1 } }"))
      assert.matches("value must be a boolean, a number, a string or a table", wrong("{ { 'wrong1', 1 }, { 'b' } }"))
      assert.matches("at most %d+ bytes", wrong("{ { 'wrong1', 1 }, { ('x'):rep(100000), 1 } }"))
      assert.are.same({ NULL }, { run([[return app.cache:get("wrong1")]]) })
    end)

    case("adds only what is absent", function()
      assert.are.same({ true, false, 1, true, true, 2 }, { run([[
        local c = app.cache
        return c:add("add", 1), c:add("add", 2), c:get("add"), c:delete("add"), c:add("add", 2), c:get("add")]]) })
    end)

    case("lets an entry go when its time is over", function()
      assert.are.equal(1, (run([[
        local value
        for _, ttl in ipairs({ "60ms", "1s", "15s" }) do -- one that has not passed before it is asked for
          app.cache:set("short", 1, ttl)
          value = app.cache:get("short")
          if value then break end
        end
        return value]])))
      assert.is_true((run([[
        for _ = 1, 3000 do
          if app.cache:get("short") == nil then return true end
          app.sleep(0.01)
        end]])))
      assert.is_true((run([[return app.cache:add("short", 2)]])))
    end)

    case("forgets the time of an entry that is set again without one", function()
      assert.are.equal(2, (run([[
        app.cache:set("again", 1, "50ms") app.cache:set("again", 2) app.sleep(0.12)
        return app.cache:get("again")]])))
    end)

    case("counts, from absent too, by any number", function()
      assert.are.same({ 1, 3, 0.5, -2 }, { run([[
        local c = app.cache
        return c:incr("count"), c:incr("count", 2), c:incr("count", -2.5), c:incr("other", -2)]]) })
    end)

    case("counts on from a number that was set, and refuses what is none", function()
      assert.are.same({ 8, NULL, "the value is not a number", "invalid", "x" }, { run([[
        local c = app.cache
        c:set("seven", 7) c:set("word", "x")
        local sum = c:incr("seven")
        local no, message, code = c:incr("word")
        return sum, no, message, code, c:get("word")]]) })
    end)

    case("counts a counter's time from the first count", function()
      assert.is_true((run([[
        app.cache:incr("window", 1, "80ms")
        for _ = 1, 1000 do
          if app.cache:incr("window", 1, "1h") == 1 then return true end
          app.sleep(0.005)
        end]])))
    end)

    case("loses no count of many tasks on several lanes", function()
      local text = [[
        local left = 50
        for _ = 1, 50 do
          app.spawn(function()
            for _ = 1, 10 do app.cache:incr("sum") end
            left = left - 1
          end)
        end
        while left > 0 do app.sleep(0.002) end]]
      for _ = 1, 4 do
        run(text)
      end
      assert.are.equal(2000, (run([[return app.cache:get("sum")]])))
    end)

    case("finds keys by what they begin with, whatever that means elsewhere", function()
      assert.are.same({ 2, 1, 1, 0, 3 }, { run([==[
        local c = app.cache
        for _, key in ipairs({ "k[1]*a", "k[1]*b", "k?", "k1" }) do c:set(key, 1) end
        return #c:keys("k[1]*"), #c:keys("k?"), #c:keys("k1"), #c:keys("k[2]"), #c:keys("k", 3)]==]) })
      assert.are.equal("k?", (run([[return app.cache:keys("k?")[1] ]])))
    end)

    case("finds thousands of keys, each once", function()
      assert.are.same({ 2500, true }, { run([[
        for i = 1, 2500 do app.cache:set("many:" .. i, i) end
        local keys, seen = app.cache:keys("many:", 10000), {}
        local once = true
        for _, key in ipairs(keys) do once = once and not seen[key] seen[key] = true end
        return #keys, once]]) })
    end)

    case("keeps plugins apart", function()
      run([[app.cache:set("mine", "of one")]])
      assert.are.same({ NULL, 0 }, { cache.run_as("two", maru, [[
        for _, key in ipairs({ "mine", "one:mine", ":mine", "../one:mine" }) do
          if app.cache:get(key) ~= nil then return key end
        end
        return nil, #app.cache:keys("mine")]]) })
      cache.run_as("two", maru, [[app.cache:set("mine", "of two") app.cache:delete("one:mine")]])
      assert.are.equal("of one", (run([[return app.cache:get("mine")]])))
    end)

    case("refuses keys and values that are too large, with the same words", function()
      assert.are.same({ NULL, "limit", true }, { run([[
        local stored, _, code = app.cache:set("large", ("x"):rep(5 * 1024 * 1024))
        local _, message = pcall(app.cache.get, app.cache, ("k"):rep(600))
        return stored, code, message:find("app.cache:get(key): a key has at most 508 bytes", 1, true) ~= nil]]) })
    end)

    case("keeps a megabyte", function()
      assert.is_true((run([[
        local text = ("0123456789abcdef"):rep(65536)
        app.cache:set("megabyte", text)
        return app.cache:get("megabyte") == text]])))
    end)

    case("refuses a task that cannot wait, in the same places", function()
      assert.are.same({ "waiting in tx", "waiting in a callback", "waiting in a coroutine" }, { run([[
        local got = {}
        local function try(where, find, fn)
          local ok, message = fn()
          got[#got + 1] = not ok and message:find(find, 1, true) and "waiting in " .. where or tostring(message)
        end
        try("tx", "only tx may wait inside store:tx", function()
          return pcall(app.store.tx, app.store, function() app.cache:get("x") end)
        end)
        try("a callback", "cannot wait inside a C callback", function()
          return pcall(string.gsub, "a", "a", function() app.cache:set("x", 1) end)
        end)
        try("a coroutine", "cannot wait inside a coroutine", function()
          return coroutine.resume(coroutine.create(function() app.cache:incr("x") end))
        end)
        return unpack(got)]]) })
    end)

    case("names the right usage for a wrong argument", function()
      local one, two = run([[
        local _, one = pcall(app.cache.set, app.cache, "k")
        local _, two = pcall(app.cache.incr, app.cache, "k", "1")
        return one, two]])
      assert.is_truthy(one:find("app.cache:set(key, value, [ttl]): value must be a boolean", 1, true), one)
      assert.is_truthy(two:find("app.cache:incr(key, [by], [ttl]): by must be a number", 1, true), two)
    end)

    case("what one node keeps, another finds", function()
      local other = stage:node()
      run([[app.cache:set("shared", { from = "first" })]])
      assert.are.same({ from = "first" }, (cache.run(other, [[return app.cache:get("shared")]])))
      cache.run(other, [[app.cache:delete("shared")]])
      assert.are.equal(NULL, (run([[return app.cache:get("shared")]])))
      other:stop()
    end)

    case("counts of several nodes add up", function()
      local other = stage:node()
      local text = [[for _ = 1, 100 do app.cache:incr("nodes") end return true]]
      run(text)
      cache.run(other, text)
      assert.are.equal(200, (run([[return app.cache:get("nodes")]])))
      other:stop()
    end)

    case("a restart keeps what was kept", function()
      run([[app.cache:set("kept", 1)]])
      maru:kill()
      maru = stage:node()
      assert.are.equal(1, (run([[return app.cache:get("kept")]])))
    end)

    case("the least recently used goes when there is no room", function()
      local small = stage:node({ set = { "cache.memory=1M" } })
      assert.are.same({ NULL, true }, { cache.run(small, [[
        local text = ("x"):rep(1000)
        for i = 1, 3000 do app.cache:set("room:" .. i, text) end
        return app.cache:get("room:1"), app.cache:get("room:3000") == text]]) })
      small:stop()
    end)
  end)
end

describe("cache.driver", function()
  it("says what is wrong with its settings, and no password", function()
    for setting, message in pairs({
      ["cache.driver=memcached"] = "cache.driver: must be memory or redis",
      ["cache.driver=redis"] = "cache.url: cache.driver",
      ["cache.url=redis://:secret@h/x"] = "cache.url: the port or the number of the database is wrong",
    }) do
      local set = { setting }
      if setting:find("url") then
        set[2] = "cache.driver=redis"
      end
      local maru, log = server.try_start({ set = set })
      assert.is_nil(maru)
      assert.is_truthy(log:find(message, 1, true), log)
      assert.is_nil(log:find("secret", 1, true))
    end
  end)
end)
