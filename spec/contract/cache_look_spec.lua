--- What operators see of the cache, with every driver: by the admin API and by `maru cache`.
local cache = require("spec.support.cache")
local cjson = require("cjson")
local contract = require("spec.support.contract")
local server = require("spec.support.server")

local NULL = cjson.null

--- Where a driver shows something else on purpose, each with its reason.
local differs = {
  memory = {
    ["shows what is not a plugin's, and changes nothing of it"] = "nobody else writes there",
    ["shows what this process keeps while the server is away"] = "there is no server",
  },
  redis = { ["a look keeps no entry alive, and counts as no hit"] = "Redis counts every read" },
}

local OPTIONS = { plugins = cache.OPTIONS.plugins, set = { "plugins.watch=false", "lanes.web=2", "lanes.job=1",
  "admin.listen=127.0.0.1:0", "cache.memory=8M" } }

local function encode(text)
  return (text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
end

for _, driver in ipairs(cache.drivers(differs)) do
  describe("the cache seen by an operator, on " .. driver.name, function()
    local stage, case = contract.stage(driver, OPTIONS)
    local maru

    setup(function()
      maru = stage:node()
    end)

    local function run(text, ...)
      return cache.run(maru, text, ...)
    end

    local function entry(key)
      return maru:admin("/cache/entry?key=" .. encode(key))
    end

    --- Every entry that a walk meets, page by page: by key, and how many pages there were.
    local function walk(query)
      local found, pages, after = {}, 0, ""
      repeat
        local page = maru:admin("/cache/entries?" .. query .. "&after=" .. after)
        for _, e in ipairs(page.entries) do
          found[e.key] = e
        end
        pages = pages + 1
        after = page.next
      until after == NULL
      return found, pages
    end

    local function keys(query)
      local list = {}
      for key in pairs((walk(query))) do
        list[#list + 1] = key
      end
      table.sort(list)
      return list
    end

    case("shows each kind of value with its size and time", function()
      run([[
        local c = app.cache
        c:set("kind:text", "글자") c:set("kind:number", 1.5) c:set("kind:yes", true)
        c:set("kind:table", { list = { 1, 2 }, who = "김" }, "1h") c:set("kind:bytes", "\255\0\1")]])
      local e = entry("one:kind:text")
      assert.same({ "one:kind:text", "one", "string", NULL, 6, false, "text", "글자", false },
        { e.key, e.plugin, e.type, e.ttl_ms, e.bytes, e.hidden, e.encoding, e.value, e.cut })
      assert.is_true(e.memory_bytes > 6)
      e = entry("one:kind:number")
      assert.same({ "number", "text", "1.5" }, { e.type, e.encoding, e.value })
      e = entry("one:kind:yes")
      assert.same({ "boolean", "true" }, { e.type, e.value })
      e = entry("one:kind:table")
      assert.same({ "table", "json" }, { e.type, e.encoding })
      assert.same({ list = { 1, 2 }, who = "김" }, cjson.decode(e.value))
      assert.is_true(e.ttl_ms > 3000000 and e.ttl_ms <= 3600000)
      e = entry("one:kind:bytes")
      assert.same({ "string", 3, "hex", "ff0001" }, { e.type, e.bytes, e.encoding, e.value })
    end)

    case("finds keys of every plugin, by their beginning and by patterns", function()
      run([[for _, key in ipairs({ "find:a1", "find:a2", "find:b1", "find*x" }) do app.cache:set(key, 1) end]])
      cache.run_as("two", maru, [[app.cache:set("find:a1", 2)]])
      assert.same({ "one:find:a1", "one:find:a2" }, keys("match=one:find:a"))
      assert.same({ "one:find:a1", "two:find:a1" }, keys("match=*:find:a1"))
      assert.same({ "one:find:a1", "one:find:b1" }, keys("match=one:find:?1"))
      assert.same({ "one:find:b1" }, keys("match=" .. encode("one:find:[^a]*")))
      assert.same({ "one:find*x" }, keys("match=one:find" .. encode("\\*") .. "*"))
      assert.same({ "two:find:a1" }, keys("plugin=two&match=find"))
      assert.same({}, keys("plugin=three"))
      assert.same("two", walk("plugin=two")["two:find:a1"].plugin)
    end)

    case("walks over all that is there page by page, while others come and go", function()
      run([[for i = 1, 3000 do app.cache:set("walk:" .. i, i) end]])
      local found, pages, after = {}, 0, ""
      repeat
        local page = maru:admin("/cache/entries?match=one:walk:&limit=100&after=" .. after)
        for _, e in ipairs(page.entries) do
          found[e.key] = true
        end
        run([[for i = 1, 100 do app.cache:set("other:" .. args[1] .. ":" .. i, i) end]], pages)
        pages = pages + 1
        assert.is_true(#page.entries <= 100 + 250)
        after = page.next
      until after == NULL
      local n = 0
      for _ in pairs(found) do
        n = n + 1
      end
      assert.equal(3000, n)
      assert.is_true(pages > 5)
    end)

    case("cuts a long value, and says so", function()
      run([[app.cache:set("long", ("가"):rep(100000))]])
      local e = entry("one:long")
      assert.same({ 300000, true, "text" }, { e.bytes, e.cut, e.encoding })
      assert.is_true(#e.value <= 256 * 1024 and #e.value > 256 * 1024 - 4)
      assert.equal(("가"):rep(#e.value / 3), e.value)
    end)

    case("knows an entry whose key is no text by its bytes", function()
      run([[app.cache:set("bin:\255\0", "x")]])
      local found
      for _, e in pairs((walk("match=one:bin:"))) do
        found = e
      end
      assert.equal("6f6e653a62696e3aff00", found.key_hex)
      assert.equal("x", maru:admin("/cache/entry?hex=" .. found.key_hex).value)
      assert.same({ deleted = true }, maru:admin("/cache/entry?hex=" .. found.key_hex, "DELETE"))
      assert.same({}, keys("match=one:bin:"))
    end)

    case("deletes an entry, and writes down who did and who was shown one", function()
      run([[app.cache:set("secret", "open sesame")]])
      assert.equal("open sesame", entry("one:secret").value)
      assert.same({ deleted = true }, maru:admin("/cache/entry?key=one:secret", "DELETE"))
      assert.equal(NULL, (run([[return app.cache:get("secret")]])))
      assert.equal(404, maru:admin("/cache/entry?key=one:secret", "DELETE").status)
      assert.equal(404, entry("one:secret").status)
      local written = server.wait_for(function()
        local seen = {}
        for _, line in ipairs(maru:admin("/audit?limit=50").entries) do
          if line.target == "one:secret" then
            seen[#seen + 1] = line.action .. " " .. line.result
          end
        end
        table.sort(seen)
        return #seen == 4 and seen
      end)
      assert.same({ "cache.delete 200 ok", "cache.delete 404 failed", "cache.read 200 ok", "cache.read 404 failed" },
        written)
    end)

    case("shows a viewer keys and no value, and lets it delete nothing", function()
      run([[app.cache:set("session", { user = "kim" }, "1h")]])
      local token = server.read_file(maru.dir .. "/state/viewer.token"):match("%x+")
      local function ask(path, method)
        return maru:request(maru.ready.admin_http .. "/admin/v1" .. path,
          { method = method, headers = { authorization = "Bearer " .. token } })
      end
      assert.equal("one:session", ask("/cache/entries?match=one:session").json.entries[1].key)
      local answer = ask("/cache/entry?key=one:session")
      assert.same({ true, "table", nil }, { answer.json.hidden, answer.json.type, answer.json.value })
      assert.falsy(answer.body:find("kim", 1, true))
      assert.equal(403, ask("/cache/entry?key=one:session", "DELETE").status)
      assert.equal("kim", (run([[return app.cache:get("session").user]])))
    end)

    case("refuses what it cannot understand", function()
      for _, path in ipairs({ "/cache/entry", "/cache/entry?hex=abc", "/cache/entry?hex=zz",
        "/cache/entry?key=a&hex=61",
        "/cache/entry?key=" .. ("k"):rep(600), "/cache/entries?after=nonsense", "/cache/entries?after=x12",
        "/cache/entries?limit=few", "/cache/entries?match=" .. ("k"):rep(600) }) do
        local answer = maru:admin(path)
        assert.equal(400, answer.status, path)
      end
      local other = driver.name == "memory" and "r12" or "m12"
      assert.equal(409, maru:admin("/cache/entries?after=" .. other).status)
    end)

    case("a look keeps no entry alive, and counts as no hit", function()
      run([[app.cache:set("first", 1) app.cache:get("first") app.cache:get("nothing")]])
      local before = maru:admin("/cache")
      for _ = 1, 5 do
        entry("one:first")
        walk("match=one:first")
      end
      local after = maru:admin("/cache")
      assert.same({ before.hits, before.misses }, { after.hits, after.misses })
    end)

    case("counts hits and misses of plugins, and the memory", function()
      local before = maru:admin("/cache")
      run([[app.cache:set("hit", ("x"):rep(5000)) app.cache:get("hit") app.cache:get("hit") app.cache:get("miss")]])
      local now = maru:admin("/cache")
      assert.same({ driver.name, false, 2, 1 },
        { now.driver, now.away, now.hits - before.hits, now.misses - before.misses })
      if driver.name == "memory" then
        assert.is_true(now.bytes >= before.bytes + 5000 and now.bytes < now.max_bytes)
        assert.is_true(now.entries > 0)
        assert.equal(NULL, now.redis)
      else
        assert.is_true(now.redis.keys > 0 and now.redis.used_bytes > 5000)
        assert.truthy(now.redis.version:find("^%d"))
        assert.equal("noeviction", now.redis.policy)
      end
    end)

    case("shows what is not a plugin's, and changes nothing of it", function()
      local db = stage.backend.db
      db:call("RPUSH", "maru:cache:one:foreign", "a", "b")
      local e = entry("one:foreign")
      assert.same({ "other", 0 }, { e.type, e.bytes })
      db:call("SET", "other:cache:one:x", "sx")
      assert.same({}, keys("match=*:cache:one:x"))
    end)

    case("is looked at by `maru cache`", function()
      run([[app.cache:set("cli", { a = 1 }, "1h")]])
      assert.truthy(maru:command_output("cache"):find("driver%s+" .. driver.name))
      local list = maru:command_output("cache keys one:cli")
      assert.truthy(list:find("table%s+7%s+%d+%s+3[56]%d%d.%ds  one:cli\n"), list)
      assert.truthy(maru:command_output("cache keys cl --plugin one"):find("one:cli", 1, true))
      assert.truthy(maru:command_output("cache get one:cli"):find('value%s+{"a":1}'))
      maru:command_output("cache delete one:cli")
      assert.truthy(maru:command_output("cache get one:cli"):find("no such entry", 1, true))
    end)

    case("shows what this process keeps while the server is away", function() -- the last: it stays away
      run([[for i = 1, 900 do app.cache:set("before:" .. i, i) end]])
      local cursor = maru:admin("/cache/entries?match=one:before:&limit=1").next
      stage.backend.db:kill()
      assert.truthy(server.wait_for(function()
        return maru:admin("/cache").away
      end))
      run([[app.cache:set("meanwhile", "kept here")]])
      assert.same({ "one:meanwhile" }, keys("match=one:"))
      assert.equal("kept here", entry("one:meanwhile").value)
      assert.equal(409, maru:admin("/cache/entries?match=one:before:&after=" .. cursor).status)
      assert.equal(NULL, maru:admin("/cache").redis)
      assert.same({ deleted = true }, maru:admin("/cache/entry?key=one:meanwhile", "DELETE"))
    end)
  end)
end
