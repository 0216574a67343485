--- A plugin that goes on with an object's stream after its deadline came in the middle of a call of it.
local server = require("spec.support.server")

local PLUGIN = [[
local M = { name = "late", version = "1.0.0" }
M.limits = { task = "300ms" }
M.routes = {
  ["GET /late/write"] = function(app)
    local writer, piece = assert(app.objects:writer("k")), ("x"):rep(65536)
    while true do
      writer:write(piece)
    end
  end,
  ["GET /late/close"] = function(app)
    local writer, piece = assert(app.objects:writer("k")), ("x"):rep(65536)
    while writer:write(piece) do end
    writer:close()
    return 200, "closed"
  end,
  ["GET /late/read"] = function(app)
    while true do
      local reader = assert(app.objects:reader("big"))
      while reader:read() ~= "" do end
    end
  end,
  ["GET /late/put"] = function(app)
    return 200, assert(app.objects:put("big", ("x"):rep(4000000)))
  end,
  ["GET /late/foreign"] = function(app)
    local writer = assert(app.objects:writer("k"))
    local reader = assert(app.objects:reader("big"))
    local said = {}
    for i, call in ipairs({
      function() writer.abort(reader.raw) end,
      function() reader.raw.close(writer) end,
      function() writer.abort(app.json.null) end,
    }) do
      said[i] = select(2, pcall(call))
    end
    writer:abort()
    reader:close()
    return 200, said
  end,
}
return M
]]

describe("an object's stream", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { late = { ["plugin.lua"] = PLUGIN } } })
    assert.equal(200, maru:get("/late/put").status)
  end)

  teardown(function()
    maru:stop()
  end)

  for _, path in ipairs({ "write", "close", "read" }) do
    it("outlives a " .. path .. " whose answer nobody waits for any more", function()
      local pid = maru:server_pid()
      for _ = 1, 5 do
        assert.is_true(maru:get("/late/" .. path).status >= 500)
      end
      assert.equal(200, maru:get("/late/put").status)
      assert.equal(pid, maru:server_pid())
    end)
  end

  it("is not taken for another handle", function()
    local said = maru:get("/late/foreign").json
    assert.truthy(said[1]:find("app.objects.writer expected", 1, true), said[1])
    assert.truthy(said[2]:find("app.objects.reader expected", 1, true), said[2])
    assert.truthy(said[3]:find("app.objects.writer expected", 1, true), said[3])
  end)
end)
