--- Generations of one plugin that live at the same time: pinned by their tasks, bounded in number.
local server = require("spec.support.server")

local function version(n)
  return {
    ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d" }
M.routes = {
  ["GET /v"] = function() return 200, { v = %d } end,
  ["GET /slow"] = function(app) assert(app.sleep(60)) return 200, { v = %d } end,
}
return M
]]):format(n, n, n),
  }
end

describe("generations of a plugin", function()
  local maru

  after_each(function()
    maru:stop()
  end)

  local function start(...)
    maru = server.start({ plugins = { shop = version(0) }, set = { "plugins.watch=false", ... } })
  end

  local function load(n)
    server.write_plugins(maru.dir .. "/plugins", { shop = version(n) })
    local output, status = maru:command_output("reload shop")
    assert.equal(0, status, output)
    assert.equal(n, maru:get("/v").json.v)
  end

  --- A request that pins the generation of now; its answer goes to a file.
  local function hold(n)
    local file = maru.dir .. "/held" .. n
    server.shell(("curl -sS -w ' %%{http_code}' %s/slow >%s 2>&1 &"):format(maru.url, file))
    assert(server.wait_for(function()
      return maru:admin("/plugins/shop").tasks > 0
    end))
    return function(seconds)
      return server.wait_for(function()
        local text = server.read_file(file) or ""
        return text:match("%d%d%d$") and text
      end, seconds)
    end
  end

  local function live()
    return maru:admin("/plugins/shop").generations
  end

  it("are at most as many as allowed; the oldest ends at once, the others go on", function()
    start("reload.generations=3")
    local held = {}
    for n = 0, 2 do
      held[n] = hold(n)
      load(n + 1)
    end
    assert(held[0](), "the oldest was not ended: " .. maru:logs())
    assert(server.wait_for(function()
      return live() == 3
    end), tostring(live()))
    assert.is_nil(held[1](0.2))
    assert.is_nil(held[2](0.2))
    local events = maru:admin("/plugins/shop").events
    local ended
    for _, event in ipairs(events) do
      ended = ended or (event.kind == "ended" and event)
    end
    assert.truthy(ended and ended.text:find("more than 3 generations", 1, true))
  end)

  it("end after reload.drain, and then there is one", function()
    start("reload.drain=500ms")
    local held = hold(0)
    load(1)
    assert.equal(2, live())
    assert(held(), maru:logs())
    assert(server.wait_for(function()
      return live() == 1
    end))
  end)

  it("do not pile up over fifty reloads", function()
    start()
    for n = 1, 50 do
      load(n)
    end
    assert(server.wait_for(function()
      return live() == 1
    end))
  end)
end)
