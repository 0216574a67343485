--- Objects that are bigger than memory: up and down in pieces, on both drivers, in memory that does not grow with
--- them. OBJECT_GB says how big (0.1 here; 10 is what the drivers are made for); the memory is printed.
local server = require("spec.support.server")
local swift = require("spec.support.swift")

local GB = tonumber(os.getenv("OBJECT_GB") or "0.1")
local MIB = 1024 * 1024
local MOST_MIB = 100 -- of the whole process, whatever the size

local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "big", version = "1.0.0", limits = { task = "3600s" } }
local rest = string.rep("0123456789abcdef", 65535)
M.routes = {
  ["POST /up"] = function(app, req)
    local writer = assert(app.objects:writer("big"))
    for i = 1, req:json().pieces do
      assert(writer:write(string.format("%016d", i) .. rest))
    end
    return 200, assert(writer:close())
  end,
  ["POST /down"] = function(app)
    local reader = assert(app.objects:reader("big"))
    local n = 0
    while true do
      local bytes, message = reader:read()
      if not bytes then
        return 200, { n = n, message = message }
      end
      n = n + #bytes
    end
  end,
  ["POST /part"] = function(app, req)
    return 200, { bytes = assert(app.objects:get("big", { from = req:json().from, n = 16 })) }
  end,
  ["POST /gone"] = function(app) return 200, { gone = app.objects:delete("big") } end,
  ["POST /address"] = function(app) return 200, { url = assert(app.objects:presign("big")) } end,
}
return M
]==] }

local shared

local DRIVERS = {
  { name = "directory", settings = function() return {} end },
  {
    name = "s3",
    settings = function()
      shared = swift.start()
      return { "objects.driver=s3", "objects.url=" .. shared.url, "objects.bucket=" .. shared.bucket,
        "objects.key=" .. shared.id, "objects.secret=" .. shared.secret }
    end,
  },
}

local function peak(node)
  local status = server.read_file("/proc/" .. node:server_pid() .. "/status")
  return tonumber(status:match("VmHWM:%s+(%d+)")) / 1024
end

for _, driver in ipairs(DRIVERS) do
  describe("a big object, " .. driver.name, function()
    local node

    local function call(path, body)
      local text = server.shell(("curl -s -m 3500 -H 'content-type: application/json' -d '%s' %s%s")
        :format(body or "{}", node.url, path))
      return text
    end

    setup(function()
      node = server.start({ plugins = { big = PLUGIN }, set = driver.settings() })
    end)
    teardown(function()
      if node then node:stop() end
      if shared then shared:stop() end
      shared = nil
    end)

    it("goes up and down in memory of its own size", function()
      local pieces = math.max(1, math.floor(GB * 1024))
      local began = require("socket").gettime()
      local answer = call("/up", ('{"pieces":%d}'):format(pieces))
      assert.equal(pieces * MIB, tonumber(answer:match('"size":(%d+)')), answer .. node:logs())
      local up = peak(node)
      local middle = require("socket").gettime()
      answer = call("/down")
      assert.equal(pieces * MIB, tonumber(answer:match('"n":(%d+)')), answer .. node:logs())
      local down = peak(node)
      local ended = require("socket").gettime()
      for _, i in ipairs({ 1, math.ceil(pieces / 2), pieces }) do
        assert.truthy(call("/part", ('{"from":%d}'):format((i - 1) * MIB)):find(("%016d"):format(i), 1, true))
      end
      local url = call("/address"):match('"url":"([^"]+)"'):gsub("\\/", "/")
      if url:find("^/") then -- else it is not maru that answers
        local n = server.shell(("curl -s -m 3500 '%s%s' | wc -c"):format(node.url, url))
        assert.equal(pieces * MIB, tonumber(n:match("%d+")))
      end
      local all = peak(node)
      print(("# %s: %d MiB up in %.1f s, down in %.1f s; peak RSS %.0f, %.0f MiB, by an address %.0f MiB")
        :format(driver.name, pieces, middle - began, ended - middle, up, down, all))
      call("/gone")
      if not os.getenv("SPEC_PRESET") then -- a sanitizer keeps what was freed
        assert.truthy(all < MOST_MIB, all .. " MiB")
      end
    end)
  end)
end
