--- What every driver of app.objects has to do, through the real program.
---
--- A driver is a line of DRIVERS (spec/support/contract.lua).
local contract = require("spec.support.contract")
local server = require("spec.support.server")
local swift = require("spec.support.swift")

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "o", version = "1.0.0", limits = { task = "60s" } }
local function reply(app, value, message, code)
  if value == nil or value == false then return 200, { message = message, code = code } end
  return 200, { value = value, more = message }
end
local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
M.routes = {
  ["POST /put"] = function(app, req)
    local b = req:json()
    local bytes = b.bytes or string.rep("x", b.size or 0)
    if b.hex then bytes = b.hex:gsub("..", function(h) return string.char(tonumber(h, 16)) end) end
    return reply(app, app.objects:put(b.key, bytes, b.options))
  end,
  ["POST /get"] = function(app, req)
    local b = req:json()
    local bytes, info, code = app.objects:get(b.key, b.options)
    if not bytes then return 200, { message = info, code = code } end
    return 200, { hex = #bytes <= 4096 and hex(bytes) or nil, n = #bytes, sha = app.crypto.sha256(bytes), info = info }
  end,
  ["POST /stat"] = function(app, req) return reply(app, app.objects:stat(req:json().key)) end,
  ["POST /delete"] = function(app, req) return reply(app, app.objects:delete(req:json().key)) end,
  ["POST /many"] = function(app, req) return reply(app, app.objects:delete_many(req:json().keys)) end,
  ["POST /presign"] = function(app, req)
    local b = req:json()
    return reply(app, app.objects:presign(b.key, b.options))
  end,
  ["POST /list"] = function(app, req)
    local b = req:json()
    return reply(app, app.objects:list(b.prefix, b.options))
  end,
  ["POST /write"] = function(app, req)
    local b = req:json()
    local writer, message, code = app.objects:writer(b.key, b.options)
    if not writer then return 200, { message = message, code = code } end
    local piece = string.rep("0123456789abcdef", 4096)
    for _ = 1, b.pieces do assert(writer:write(piece)) end
    if b.abort then writer:abort() return 200, { value = "aborted" } end
    if b.forget then return 200, { value = "forgotten" } end
    if b.raise then error("on purpose") end
    return reply(app, writer:close())
  end,
  ["POST /read"] = function(app, req)
    local b = req:json()
    local reader, message, code = app.objects:reader(b.key, b.options)
    if not reader then return 200, { message = message, code = code } end
    local n, pieces, refused = 0, 0, nil
    if b.close_under then
      app.spawn(function() refused = select(2, pcall(reader.close, reader)) end)
    end
    while true do
      local bytes, why, what = reader:read()
      if not bytes then
        if why then return 200, { message = why, code = what, n = n } end
        break
      end
      n, pieces = n + #bytes, pieces + 1
      if b.put_between and pieces == 1 then assert(app.objects:put(b.key, "new")) end
      if b.stop_after == pieces then reader:close() return 200, { n = n, closed = true } end
    end
    return 200, { n = n, pieces = pieces, info = reader.info, refused = refused }
  end,
  ["POST /wrong"] = function(app, req)
    local ok, message = pcall(loadstring("local app = ... return " .. req:json().call), app)
    return 200, { ok = ok, message = tostring(message) }
  end,
}
return M
]==],
}
local OTHER = { ["plugin.lua"] = [==[
local M = { name = "other", version = "1.0.0" }
M.routes = { ["POST /other"] = function(app, req)
  local bytes, message, code = app.objects:get(req:json().key)
  return 200, { bytes = bytes, message = message, code = code }
end }
return M
]==] }

-- The same bucket, by addresses in which the bucket is a part of the host.
local function virtual_host(driver)
  return {
    name = "s3 by virtual host",
    open = function()
      local backend = driver.open()
      backend.settings[2] = "objects.url=http://localhost:" .. backend.s3.ports[4]
      table.insert(backend.settings, "objects.path_style=false")
      return backend
    end,
    differs = driver.differs,
    only = { "keeps bytes", "says what is not", "lists by key", "folds keys", "deletes many", "gives addresses" },
  }
end

local LARGE = "find %s/state/objects -type f ! -path '*/objects/tmp/*' -size +100k"

local shared -- one Swift for all that need it

local DRIVERS = {
  {
    name = "directory",
    corrupt = function(node)
      local file = server.shell(LARGE:format(node.dir)):match("^[^\n]+")
      local _, status = server.shell("printf X | dd bs=1 seek=7 conv=notrunc status=none of=" .. file)
      assert.equal(0, status)
    end,
    differs = {},
  },
  {
    name = "s3",
    open = function()
      shared = shared or swift.start()
      local s3 = shared
      return {
        settings = { "objects.driver=s3", "objects.url=" .. s3.url, "objects.bucket=" .. s3.bucket },
        s3 = s3,
        env = { AWS_ACCESS_KEY_ID = s3.id, AWS_SECRET_ACCESS_KEY = s3.secret },
      }
    end,
    differs = {
      ["a reader of an object that is replaced"] = "S3 keeps no old bytes: it is told so (conflict)",
      ["presigned addresses"] = "S3's own host answers, but for a PUT with max_bytes, which S3 cannot bound",
    },
  },
}

table.insert(DRIVERS, virtual_host(DRIVERS[2]))

teardown(function()
  if shared then shared:stop() end
end)

for _, driver in ipairs(DRIVERS) do
  describe("app.objects, " .. driver.name, function()
    local stage = contract.stage(driver, { plugins = { o = PLUGIN, other = OTHER } })
    local node

    local all_of_them = it
    local function it(name, test) -- luacheck: ignore
      for _, begins in ipairs(driver.only or { "" }) do
        if name:find(begins, 1, true) == 1 then
          all_of_them(name, test)
        end
      end
    end

    local function call(path, body)
      local answer = node:post(path, body)
      assert.equal(200, answer.status, answer.error or answer.body)
      return answer.json
    end

    setup(function()
      node = stage:node()
    end)

    it("keeps bytes of every kind under keys of every kind", function()
      local keys = { "a", "a/b", "a/../b", "//", "한글 이름.png", "x?y=1&z#%41", ("k"):rep(900), "\239\191\189",
        ".", ".." }
      for i, key in ipairs(keys) do
        local info = call("/put", { key = key, hex = ("00ff0a%02x"):format(i), options = { type = "image/png" } }).value
        assert.equal(4, info.size)
        assert.equal("image/png", info.type)
        assert.equal(key, info.key)
      end
      for i, key in ipairs(keys) do
        local got = call("/get", { key = key })
        assert.equal(("00ff0a%02x"):format(i), got.hex, key)
        assert.equal("image/png", got.info.type)
      end
      assert.equal(0, call("/put", { key = "empty", bytes = "" }).value.size)
      assert.equal(0, call("/get", { key = "empty" }).n)
      assert.equal("application/octet-stream", call("/stat", { key = "empty" }).value.type)
    end)

    it("brings back bytes that look like a server's own words", function()
      local text = '<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>'
      assert.truthy(call("/put", { key = "error.xml", bytes = text }).value)
      local got = call("/get", { key = "error.xml" })
      assert.equal(#text, got.n, got.message)
      assert.equal(#text, call("/read", { key = "error.xml" }).n)
      call("/delete", { key = "error.xml" })
    end)

    it("replaces as a whole, and says by the etag that the bytes are others", function()
      local first = call("/put", { key = "etag", bytes = "one" }).value
      local second = call("/put", { key = "etag", bytes = "two" }).value
      local third = call("/put", { key = "etag", bytes = "one" }).value
      assert.not_equal(first.etag, second.etag)
      assert.equal(first.etag, third.etag)
      assert.equal("exists", call("/put", { key = "etag", bytes = "x", options = { if_absent = true } }).code)
      assert.equal("6f6e65", call("/get", { key = "etag" }).hex)
    end)

    it("says what is not there", function()
      for _, path in ipairs({ "/get", "/stat", "/delete", "/read" }) do
        local answer = call(path, { key = "nothing" })
        assert.equal("not_found", answer.code, path)
        assert.truthy(answer.message:find("nothing", 1, true))
      end
      call("/put", { key = "gone", bytes = "x" })
      assert.is_true(call("/delete", { key = "gone" }).value)
      assert.equal("not_found", call("/get", { key = "gone" }).code)
      assert.equal("not_found", call("/delete", { key = "gone" }).code)
    end)

    it("gives parts", function()
      call("/put", { key = "part", bytes = "0123456789" })
      assert.equal("323334", call("/get", { key = "part", options = { from = 2, n = 3 } }).hex)
      assert.equal("3839", call("/get", { key = "part", options = { from = 8, n = 100 } }).hex)
      assert.equal("invalid", call("/get", { key = "part", options = { from = 10 } }).code)
      assert.equal(4, call("/read", { key = "part", options = { from = 6 } }).n)
    end)

    it("lists by key, page by page, and nothing of another plugin", function()
      for i = 1, 25 do
        call("/put", { key = ("list/%02d"):format(i), bytes = tostring(i) })
      end
      call("/put", { key = "list", bytes = "x" })
      call("/put", { key = "lisu", bytes = "x" })
      local seen, after = {}, nil
      repeat
        local page = call("/list", { prefix = "list/", options = { limit = 10, after = after } }).value
        for _, info in ipairs(page.objects) do
          seen[#seen + 1] = info.key
        end
        after = page.after
      until not after
      assert.equal(25, #seen)
      assert.equal("list/01", seen[1])
      assert.equal("list/25", seen[25])
      assert.same({}, call("/list", { prefix = "no such" }).value.objects)
      assert.equal("not_found", node:post("/other", { key = "list" }).json.code)
    end)

    it("folds keys that have a delimiter, page by page", function()
      for _, key in ipairs({ "t/a", "t/b/1", "t/b/2", "t/b/3", "t/c", "t/d/", "t/d/e/f", "t/한/글", "t/z" }) do
        call("/put", { key = key, bytes = "x" })
      end
      local objects, prefixes, after = {}, {}, nil
      repeat
        local page = call("/list", { prefix = "t/", options = { limit = 2, delimiter = "/", after = after } }).value
        for _, info in ipairs(page.objects) do
          objects[#objects + 1] = info.key
        end
        for _, prefix in ipairs(page.prefixes) do
          prefixes[#prefixes + 1] = prefix
        end
        after = page.after
      until not after
      assert.same({ "t/a", "t/c", "t/z" }, objects)
      assert.same({ "t/b/", "t/d/", "t/한/" }, prefixes)
      assert.same({ "t/d/e/" }, call("/list", { prefix = "t/d/", options = { delimiter = "/" } }).value.prefixes)
    end)

    it("deletes many at once, also what is not there", function()
      for i = 1, 5 do
        call("/put", { key = "many/<&>" .. i, bytes = "x" })
      end
      local keys = { "many/<&>1", "many/<&>2", "many/<&>3", "many/<&>4", "many/none" }
      assert.equal(5, call("/many", { keys = keys }).value)
      local left = call("/list", { prefix = "many/" }).value.objects
      assert.equal(1, #left)
      assert.equal("many/<&>5", left[1].key)
      assert.equal(0, call("/many", { keys = {} }).value)
    end)

    it("gives addresses with which anybody reads or writes one object for a while", function()
      local dir = server.make_dir()
      local function curl(arguments, url)
        if url:find("^/") then
          url = node.url .. url
        end
        local text = server.shell(("curl -s -o %s/body -D %s/head -w '%%{http_code}' %s '%s'")
          :format(dir, dir, arguments, url))
        return text, server.read_file(dir .. "/body") or "", (server.read_file(dir .. "/head") or ""):lower()
      end
      local function sign(key, options)
        return call("/presign", { key = key, options = options }).value
      end
      local key, page = "서명/a b+c.html", "<script>alert(1)</script>"
      server.write_file(dir .. "/page", page)
      local put = sign(key, { method = "PUT", content_type = "text/html", max_bytes = 100 })
      local status, body, _ = curl(("-X PUT -H 'content-type: text/html' -T %s/page"):format(dir), put)
      assert.equal("200", status, body)
      assert.equal(#page, call("/stat", { key = key }).value.size)
      assert.equal("text/html", call("/stat", { key = key }).value.type)
      assert.equal("403", (curl(("-X PUT -H 'content-type: image/png' -T %s/page"):format(dir), put)))
      server.write_file(dir .. "/long", ("x"):rep(101))
      assert.equal("413", (curl(("-X PUT -H 'content-type: text/html' -T %s/long"):format(dir), put)))
      assert.equal(#page, call("/stat", { key = key }).value.size)

      local plain = sign("direct", { method = "PUT" })
      assert.equal("200", (curl(("-X PUT -T %s/long"):format(dir), plain)))
      assert.equal(101, call("/stat", { key = "direct" }).value.size)

      local get = sign(key, { name = "이름.html" })
      local head
      status, body, head = curl("", get)
      assert.equal("200", status, body)
      assert.equal(page, body)
      assert.truthy(head:find("content%-disposition: attachment; filename%*=utf%-8''%%ec"), head)
      assert.truthy(head:find("content-length: " .. #page, 1, true), head)
      status, body, head = curl("-H 'range: bytes=1-6'", get)
      assert.equal("206", status)
      assert.equal("script", body)
      assert.truthy(head:find(("content-range: bytes 1-6/%d"):format(#page), 1, true), head)
      assert.equal("416", (curl("-H 'range: bytes=1000-'", get)))
      local etag = head:match('etag: ("[^"]+")')
      assert.equal("304", (curl(("-H 'if-none-match: %s'"):format(etag), get)))
      assert.equal("404", (curl("", sign("nothing at all"))))
      -- the method, the key and the time are a part of it
      assert.equal("403", (curl(("-X PUT -T %s/long"):format(dir), get)))
      assert.equal("403", (curl("", put)))
      assert.equal("403", (curl("", (get:gsub("a%%20b", "a%%20c")))))
      local short = sign(key, { expires = 1 })
      assert.truthy(server.wait_for(function()
        return curl("", short) == "403"
      end))
      -- a stranger's page is not run by who looks at it
      for _, options in ipairs({ { inline = true }, { inline = true, content_type = "text/html" } }) do
        head = select(3, curl("", sign(key, options)))
        assert.truthy(head:find("content-disposition: attachment", 1, true), "a page is never shown: " .. head)
      end
      status, _, head = curl("", sign(key, { inline = true, content_type = "image/png" }))
      assert.equal("200", status)
      assert.truthy(head:find("content-disposition: inline", 1, true), head)
      assert.truthy(head:find("content-type: image/png", 1, true), head)
      if not driver.differs["presigned addresses"] then
        status, _, head = curl("-I", get)
        assert.equal("200", status)
        assert.truthy(head:find("content-length: " .. #page, 1, true), head)
        head = select(3, curl("", sign(key, { inline = true })))
        assert.truthy(head:find("x-content-type-options: nosniff", 1, true))
        assert.truthy(head:find("content-security-policy: sandbox", 1, true))
        call("/put", { key = "p.png", bytes = "png", options = { type = "image/png" } })
        head = select(3, curl("", sign("p.png", { inline = true })))
        assert.truthy(head:find("content-disposition: inline", 1, true), head)
        call("/write", { key = "large", pieces = 100 })
        status = curl("", sign("large"))
        assert.equal("200", status)
        assert.equal(100 * 65536, #server.read_file(dir .. "/body"))
        assert.equal("400", (curl("", "/objects/o?key=large")))
        local other = sign("large"):gsub("/objects/o", "/objects/other")
        assert.equal("403", (curl("", other)))
        call("/delete", { key = "large" })
      end
      assert.equal("invalid", call("/presign", { key = "a\nb" }).code)
      local wrong = call("/wrong", { call = 'app.objects:presign("k", { method = "DELETE" })' })
      assert.truthy(wrong.message:find('method is "GET" or "PUT"', 1, true), wrong.message)
      wrong = call("/wrong", { call = 'app.objects:presign("k", { expires = 604801 })' })
      assert.truthy(wrong.message:find("expires", 1, true), wrong.message)
      server.shell("rm -rf " .. dir)
    end)

    it("keeps nothing of bytes that are not those that were announced", function()
      local sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" -- of "hello"
      assert.equal(5, call("/put", { key = "sum", bytes = "hello", options = { sha256 = sum:upper() } }).value.size)
      local wrong = call("/put", { key = "sum", bytes = "hullo", options = { sha256 = sum } })
      assert.equal("conflict", wrong.code)
      assert.truthy(wrong.message:find("other bytes than were announced", 1, true), wrong.message)
      assert.equal("conflict", call("/write", { key = "sum", pieces = 2, options = { sha256 = sum } }).code)
      assert.equal("68656c6c6f", call("/get", { key = "sum" }).hex)
      assert.equal("invalid", call("/put", { key = "sum", bytes = "hello", options = { sha256 = "2cf2" } }).code)
      assert.equal("invalid", call("/write", { key = "sum", pieces = 1, options = { sha256 = "2cf2" } }).code)

      local md5, sha = "XUFAKrxLKna5cZ2REBfFkg==", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
      local function put(bytes, header)
        local url = call("/presign", { key = "sent", options = { method = "PUT", max_bytes = 100 } }).value
        return (server.shell(("curl -s -o /dev/null -w '%%{http_code}' -X PUT -H '%s' -d '%s' '%s%s'")
          :format(header, bytes, url:find("^/") and node.url or "", url)))
      end
      assert.equal("200", put("hello", "content-md5: " .. md5))
      assert.equal("200", put("hello", "x-amz-checksum-sha256: " .. sha))
      assert.equal("400", put("hullo", "content-md5: " .. md5))
      assert.equal("400", put("hullo", "x-amz-checksum-sha256: " .. sha))
      assert.equal("400", put("hello", "x-amz-checksum-sha256: " .. md5))
      assert.equal("68656c6c6f", call("/get", { key = "sent" }).hex)
    end)

    it("writes and reads in pieces", function()
      local info = call("/write", { key = "big", pieces = 300, options = { type = "text/plain" } }).value
      assert.equal(300 * 65536, info.size)
      local read = call("/read", { key = "big" })
      assert.equal(300 * 65536, read.n)
      assert.truthy(read.pieces > 1)
      assert.equal("text/plain", read.info.type)
      assert.equal(call("/get", { key = "big" }).info.etag, info.etag)
      assert.is_true(call("/read", { key = "big", stop_after = 2 }).closed)
    end)

    it("keeps nothing of a writer that was given up, forgotten or whose handler failed", function()
      assert.equal("aborted", call("/write", { key = "never", pieces = 3, abort = true }).value)
      assert.equal("forgotten", call("/write", { key = "never", pieces = 3, forget = true }).value)
      assert.equal(500, node:post("/write", { key = "never", pieces = 3, raise = true }).status)
      assert.equal("not_found", call("/stat", { key = "never" }).code)
      call("/put", { key = "kept", bytes = "old" })
      call("/write", { key = "kept", pieces = 3, forget = true })
      assert.equal("6f6c64", call("/get", { key = "kept" }).hex)
      assert.equal("exists", call("/write", { key = "kept", pieces = 1, options = { if_absent = true } }).code)
      assert.equal("6f6c64", call("/get", { key = "kept" }).hex)
    end)

    it("lets a reader end with the object that it began", function()
      call("/write", { key = "while", pieces = 100 })
      local read = call("/read", { key = "while", put_between = true })
      if driver.differs["a reader of an object that is replaced"] then
        assert.equal("conflict", read.code)
      else
        assert.equal(100 * 65536, read.n)
      end
      assert.equal(3, call("/get", { key = "while" }).n)
    end)

    it("does not close a reader under a task that waits in it", function()
      call("/write", { key = "under", pieces = 100 })
      local read = call("/read", { key = "under", close_under = true })
      assert.truthy(read.refused:find("reader:close(): another call of it is under way", 1, true), read.refused)
      assert.equal(100 * 65536, read.n)
      call("/delete", { key = "under" })
    end)

    it("refuses keys, types and sizes over their bounds, and mistakes with the usage", function()
      assert.equal("limit", call("/put", { key = "", bytes = "x" }).code)
      assert.equal("limit", call("/put", { key = ("k"):rep(901), bytes = "x" }).code)
      assert.equal("invalid", call("/put", { key = "a\nb", bytes = "x" }).code)
      assert.equal("invalid", call("/put", { key = "t", bytes = "x", options = { type = "image/\226\130\172" } }).code)
      local wrong = call("/wrong", { call = 'app.objects:put("k")' })
      assert.is_false(wrong.ok)
      assert.truthy(wrong.message:find("app.objects:put(key, bytes, [options]): bytes must be", 1, true), wrong.message)
      wrong = call("/wrong", { call = 'app.objects:put("k", "x", { typ = "a/b" })' })
      assert.truthy(wrong.message:find("unknown option typ; did you mean 'type'?", 1, true), wrong.message)
      wrong = call("/wrong", { call = 'app.objects:list("", { limit = 1001 })' })
      assert.truthy(wrong.message:find("limit", 1, true), wrong.message)
    end)

    it("does not give out bytes that are not those that were put", function()
      if not driver.corrupt then
        return pending("the server's own business")
      end
      call("/put", { key = "bad", size = 200000 })
      for _, key in ipairs({ "big", "while" }) do
        call("/delete", { key = key })
      end
      assert.truthy(server.wait_for(function() -- what was replaced or deleted is removed behind the answer
        local _, count = server.shell(LARGE:format(node.dir)):gsub("\n", "")
        return count == 1
      end))
      driver.corrupt(node)
      assert.equal("corrupt", call("/get", { key = "bad" }).code)
      assert.equal("corrupt", call("/read", { key = "bad" }).code)
      assert.equal(200000, call("/put", { key = "bad", size = 200000 }).value.size)
      assert.equal(200000, call("/get", { key = "bad" }).n)
    end)

    it("has what it answered for after kill -9, and leaves nothing else behind", function()
      for i = 1, 20 do
        call("/put", { key = "kill/" .. i, bytes = "v" .. i })
        if i % 2 == 0 then
          call("/put", { key = "kill/" .. i, bytes = "w" .. i })
        end
      end
      local pid = node:server_pid()
      node:signal("KILL", pid)
      assert.truthy(server.wait_for(function()
        return node:server_pid() ~= pid and node:get("/readyz").status == 200
      end))
      for i = 1, 20 do
        assert.equal(2 + (i >= 10 and 1 or 0), call("/get", { key = "kill/" .. i }).n)
      end
      local all, after = 0, nil
      repeat
        local page = call("/list", { prefix = "", options = { after = after } }).value
        all, after = all + #page.objects, page.after
      until not after
      if driver.name == "directory" then
        local files = tonumber(server.shell(("find %s/state/objects -type f | wc -l"):format(node.dir)):match("%d+"))
        assert.equal(all, files)
      end
    end)
  end)
end
