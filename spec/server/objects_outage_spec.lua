--- What happens to objects when their server fails, or maru does: nothing that was answered for is lost, what was there
--- stays whole, nothing is left behind, and it heals by itself.
local fault = require("spec.support.fault")
local server = require("spec.support.server")
local socket = require("socket")
local swift = require("spec.support.swift")

local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "o", version = "1.0.0", limits = { task = "300s" } }
local function reply(value, message, code)
  if not value then return 200, { message = message, code = code } end
  return 200, { value = value }
end
M.routes = {
  ["POST /put"] = function(app, req)
    local b = req:json()
    return reply(app.objects:put(b.key, b.bytes))
  end,
  ["POST /get"] = function(app, req) return reply(app.objects:get(req:json().key)) end,
  ["POST /stat"] = function(app, req) return reply(app.objects:stat(req:json().key)) end,
  ["POST /delete"] = function(app, req) return reply(app.objects:delete(req:json().key)) end,
  ["POST /sign"] = function(app, req)
    return reply(app.objects:presign(req:json().key, { method = "PUT", max_bytes = 10 }))
  end,
  -- Pieces of a mebibyte; says when `tell` are on their way, and goes on when there is an object `go`.
  ["POST /write"] = function(app, req)
    local b = req:json()
    local writer, message, code = app.objects:writer(b.key)
    if not writer then return reply(nil, message, code) end
    for i = 1, b.pieces do
      local ok, why, what = writer:write(string.rep("x", 1048576))
      if not ok then return reply(nil, why, what) end
      if i == b.tell then
        app.log:info("so far")
        repeat
          app.sleep(0.05)
          local go, _, code = app.objects:stat("go")
        until go or code ~= "not_found"
      end
    end
    return reply(writer:close())
  end,
}
return M
]==] }

local function post(node, path, body)
  local answer = node:post(path, body)
  assert.equal(200, answer.status, answer.error or answer.body)
  return answer.json
end

--- A request whose answer goes to a file, meanwhile.
local function begin(node, path, json)
  local out = node.dir .. "/answer"
  server.shell(("rm -f %s; (curl -s -m 300 -o %s.new -H 'content-type: application/json' -d '%s' %s%s; mv %s.new %s)"
    .. " >/dev/null 2>&1 &"):format(out, out, json, node.url, path, out, out))
  return function()
    return server.wait_for(function()
      return server.read_file(out)
    end, 300)
  end
end

local function told(node, after)
  assert.truthy(server.wait_for(function()
    return node:logs():find('"so far"', after or 1, true)
  end, 240), node:logs())
end

local function restarted(node, pid)
  assert.truthy(server.wait_for(function()
    return node:server_pid() ~= pid and node:get("/readyz").status == 200
  end, 40))
end

describe("objects in S3", function()
  local s3, proxy, hasty, node -- hasty gives up soon, so it is asked for small objects only

  local function start(...)
    return server.start({ plugins = { o = PLUGIN }, env = { MARU_OBJECTS_SECRET = s3.secret },
      set = { "objects.driver=s3", "objects.url=http://127.0.0.1:" .. proxy.port, "objects.bucket=" .. s3.bucket,
        "objects.key=" .. s3.id, ... } })
  end

  setup(function()
    s3 = swift.start()
    proxy = fault.proxy(s3.ports[4])
    hasty = start("objects.timeout=4s")
    node = start("objects.upload_ttl=1s", "objects.sweep=1s")
    assert(post(node, "/put", { key = "kept", bytes = "old" }).value)
  end)
  teardown(function()
    if hasty then hasty:stop() end
    if node then node:stop() end
    if proxy then proxy:stop() end
    if s3 then s3:stop() end
  end)

  local function eventually(on, path, body)
    return assert(server.wait_for(function()
      return post(on, path, body).value
    end, 60), path)
  end

  local function heals(on)
    local began = socket.gettime()
    eventually(on, "/put", { key = "healed", bytes = "x" })
    print(("# healed after %.1f s"):format(socket.gettime() - began))
    assert.falsy(on:get("/readyz").body:find('"kind":"objects"', 1, true))
    assert.equal("old", eventually(on, "/get", { key = "kept" }))
  end

  it("say so when it refuses or hangs, and heal", function()
    for _, how in ipairs({ "refuse", "freeze" }) do
      proxy[how](proxy)
      local answer = post(hasty, "/put", { key = "unsure", bytes = "new" }) -- it may arrive after all
      assert.truthy(answer.code == "io" or answer.code == "timeout", answer.message)
      local ready = hasty:get("/readyz")
      assert.equal(200, ready.status)
      assert.truthy(ready.body:find('"kind":"objects"', 1, true), ready.body)
      proxy:heal()
      heals(hasty)
    end
    proxy:slow(20)
    assert.truthy(post(node, "/put", { key = "slow", bytes = "x" }).value)
    proxy:heal()
  end)

  it("are known to be away and back again though nobody asks for one", function()
    local function told_of()
      return hasty:get("/readyz").body:find('"kind":"objects"', 1, true) ~= nil
    end
    proxy:refuse()
    assert.truthy(server.wait_for(told_of, 60), "it does not notice")
    local began = socket.gettime()
    proxy:heal()
    assert.truthy(server.wait_for(function() return not told_of() end, 60), "it does not heal")
    print(("# known to be back after %.1f s"):format(socket.gettime() - began))
  end)

  it("leave what was there when it is killed in the middle of an upload", function()
    local answer = begin(node, "/write", '{"key":"kept","pieces":20,"tell":12}')
    told(node)
    s3:kill()
    local text = answer()
    assert.truthy(text and text:find('"code":"', 1, true), tostring(text))
    s3:again()
    heals(node)
  end)

  it("go on being written, however slowly, and leave no parts behind when maru is killed meanwhile", function()
    local function swept()
      return node:logs():find("unfinished uploads of o were aborted", 1, true)
    end
    eventually(node, "/put", { key = "go", bytes = "x" }) -- what the case before left goes first
    server.wait_for(swept, 2)
    eventually(node, "/delete", { key = "go" })
    local before = #node:logs()
    local answer = begin(node, "/write", '{"key":"slow","pieces":20,"tell":12}')
    told(node, before)
    socket.sleep(3) -- older than objects.upload_ttl, and swept for
    eventually(node, "/put", { key = "go", bytes = "x" })
    local text = answer()
    assert.truthy(text and text:find('"size":20971520', 1, true), text)

    eventually(node, "/delete", { key = "go" })
    before = #node:logs()
    begin(node, "/write", '{"key":"kept","pieces":20,"tell":12}')
    told(node, before)
    local pid = node:server_pid()
    before = #node:logs()
    node:signal("KILL", pid)
    restarted(node, pid)
    assert.equal("old", eventually(node, "/get", { key = "kept" }))
    assert.truthy(server.wait_for(function()
      return node:logs():find("%d unfinished uploads of o were aborted", before)
    end, 60), node:logs())
  end)
end)

describe("moods of S3", function()
  it("are waited out, or explained", function()
    local dir = server.make_dir()
    local pid = server.shell(("node spec/support/s3_moody.mjs >%s/port 2>&1 & echo $!"):format(dir)):match("%d+")
    finally(function() server.shell(("kill -9 %s; rm -rf %s"):format(pid, dir)) end)
    local port = server.wait_for(function() return (server.read_file(dir .. "/port") or ""):match("^(%d+)\n") end, 20)
    local first = { ["plugin.lua"] = 'return { name = "a", version = "1.0.0" }' }
    local node = server.start({ plugins = { a = first, o = PLUGIN }, set = { "objects.driver=s3", "objects.bucket=b",
      "objects.key=k", "objects.secret=s", "objects.url=http://127.0.0.1:" .. port } })
    finally(function()
      node:stop()
      server.shell(("kill -9 %s; rm -rf %s"):format(pid, dir))
    end)
    for _, key in ipairs({ "busy", "broken" }) do
      local answer = post(node, "/put", { key = key, bytes = "x" })
      assert.truthy(answer.value, answer.message)
      assert.equal("3", answer.value.etag)
    end
    local answer = post(node, "/put", { key = "skew", bytes = "x" })
    assert.equal("forbidden", answer.code)
    assert.truthy(answer.message:find("clock is off by %d+ s ahead"), answer.message)
    assert.truthy(server.wait_for(function()
      return node:logs():find("5 unfinished uploads of o were aborted", 1, true)
    end, 20), "page by page, but for the one that has just begun: " .. node:logs())
  end)
end)

describe("addresses that maru answers for S3", function()
  it("say what failed, and nothing of what S3 said", function()
    local dir = server.make_dir()
    local pid = server.shell(("node spec/support/s3_moody.mjs >%s/port 2>&1 & echo $!"):format(dir)):match("%d+")
    finally(function() server.shell(("kill -9 %s; rm -rf %s"):format(pid, dir)) end)
    local port = server.wait_for(function() return (server.read_file(dir .. "/port") or ""):match("^(%d+)\n") end, 30)
    local node = server.start({ plugins = { o = PLUGIN }, set = { "objects.driver=s3", "objects.bucket=b",
      "objects.key=k", "objects.secret=s", "objects.timeout=2s", "objects.url=http://127.0.0.1:" .. port } })
    finally(function()
      node:stop()
      server.shell(("kill -9 %s; rm -rf %s"):format(pid, dir))
    end)
    local function put(key)
      local url = node.url .. post(node, "/sign", { key = key }).value
      local text = server.shell(("curl -s -m 60 -w '%%{http_code}' -X PUT -d x '%s'"):format(url))
      return text:sub(-3), text
    end
    assert.equal("200", (put("fine")))
    for key, status in pairs({ denied = "502", skew = "502", silent = "504" }) do
      local got, text = put(key)
      assert.equal(status, got, text)
      for _, word in ipairs({ "S3", "arn:", "clock", "o/", key }) do
        assert.falsy(text:find(word, 1, true), text)
      end
    end
    assert.truthy(node:logs():find("arn:aws", 1, true), "the log has it")
  end)
end)

describe("objects in a folder", function()
  it("leave no files behind that nobody writes any more", function()
    local node = server.start({ plugins = { o = PLUGIN }, set = { "objects.sweep=100ms", "objects.upload_ttl=1h" } })
    finally(function() node:stop() end)
    local tmp = node.dir .. "/state/objects/tmp/"
    local answer = begin(node, "/write", '{"key":"kept","pieces":4,"tell":2}')
    told(node)
    server.write_file(tmp .. "left-behind", "x")
    server.shell("touch -d '2 hours ago' " .. tmp .. "*") -- also the one that comes slowly
    assert.truthy(server.wait_for(function() return not server.read_file(tmp .. "left-behind") end, 60))
    assert.truthy(server.wait_for(function()
      return node:logs():find("1 files of unfinished uploads were tidied up", 1, true)
    end, 60), node:logs())
    post(node, "/put", { key = "go", bytes = "x" })
    assert.truthy(answer():find('"value"', 1, true))
    assert.equal(4 * 1048576, #post(node, "/get", { key = "kept" }).value)
    assert.equal(4 * 1048576, post(node, "/stat", { key = "kept" }).value.size)
  end)

  it("are whole, and nothing else is there, after maru was killed in the middle of an upload", function()
    local node = server.start({ plugins = { o = PLUGIN } })
    finally(function() node:stop() end)
    assert(post(node, "/put", { key = "kept", bytes = "old" }).value)
    begin(node, "/write", '{"key":"kept","pieces":4,"tell":2}')
    told(node)
    local function files()
      return tonumber(server.shell(("find %s/state/objects -type f | wc -l"):format(node.dir)):match("%d+"))
    end
    assert.equal(2, files())
    local pid = node:server_pid()
    node:signal("KILL", pid)
    restarted(node, pid)
    assert.equal("old", post(node, "/get", { key = "kept" }).value)
    assert.equal(1, files())
  end)
end)
