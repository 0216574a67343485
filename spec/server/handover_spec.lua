--- What stop(app) returns is what the next start(app, previous) gets, also when one of them fails.
local server = require("spec.support.server")

--- A version that says in its answer what it was given; start and stop are Lua text.
local function version(n, start, stop)
  return { ["plugin.lua"] = ([[
local M = { name = "shop", version = "1.0.%d" }
M.start = function(app, previous)
  app.cache:incr("starts")
  app.cache:set("given", app.json.encode({ v = %d, previous = previous or app.json.null }))
  %s
end
M.stop = function(app)
  app.cache:incr("stops")
  %s
end
M.routes = { ["GET /v"] = function(app)
  return 200, { v = %d, starts = app.cache:get("starts"), stops = app.cache:get("stops") or 0,
    given = app.json.decode(app.cache:get("given")) }
end }
return M
]]):format(n, n, start or "", stop or ("return { from = %d }"):format(n), n) }
end

describe("the hand-over of a reload", function()
  local maru

  local function begin(files)
    maru = server.start({ plugins = { shop = files }, set = { "plugins.watch=false", "reload.start_time=500ms" } })
  end

  after_each(function()
    maru:stop()
  end)

  local function load(files, code)
    server.write_plugins(maru.dir .. "/plugins", { shop = files })
    local output, status = maru:command_output("reload shop")
    assert.equal(code or 0, status, output)
    return output
  end

  local function now()
    return maru:get("/v").json
  end

  it("carries the state from each generation to the next", function()
    begin(version(1))
    assert.is_userdata(now().given.previous)
    for n = 2, 4 do
      load(version(n))
      assert.same({ v = n, starts = n, stops = n - 1, given = { v = n, previous = { from = n - 1 } } }, now())
    end
  end)

  it("gives the old one its state back when the new one does not start", function()
    begin(version(1))
    local output = load(version(2, "error('no ink')"), 4)
    assert.truthy(output:find("shop/plugin.lua:%d+: no ink"), output)
    assert(server.wait_for(function()
      return now().starts == 3
    end))
    assert.same({ v = 1, starts = 3, stops = 1, given = { v = 1, previous = { from = 1 } } }, now())
    load(version(3))
    assert.same({ from = 1 }, now().given.previous)
  end)

  it("goes on without the state of a stop that raises, and says so", function()
    begin(version(1, nil, "error('cannot let go')"))
    load(version(2))
    assert.equal(2, now().v)
    assert.is_userdata(now().given.previous)
    assert.truthy(maru:logs():find("shop/plugin.lua:%d+: cannot let go"), maru:logs():sub(-1500))
  end)

  it("goes on without the state of a stop that never ends", function()
    begin(version(1, nil, "while true do app.sleep(0.01) end"))
    load(version(2))
    assert.equal(2, now().v)
    assert.is_userdata(now().given.previous)
    assert.truthy(maru:logs():find("shop/plugin.lua:%d+: stop%(%) took longer than 500 ms"), maru:logs():sub(-1500))
  end)

  it("goes on without a state that is no JSON", function()
    begin(version(1, nil, "return { print }"))
    load(version(2))
    assert.equal(2, now().v)
    assert.is_userdata(now().given.previous)
    assert.truthy(maru:logs():find("stop() of shop@", 1, true), maru:logs():sub(-1500))
  end)

  it("lets the old generation answer until the new one has started", function()
    begin(version(1))
    server.write_plugins(maru.dir .. "/plugins", { shop = version(2, "app.sleep(0.3)") })
    server.shell(("%s reload shop --set state.dir=%s/state >%s/reload 2>&1 &"):format(
      server.binary(), maru.dir, maru.dir))
    assert(server.wait_for(function()
      return now().given.v == 2 -- its start() runs
    end))
    assert.equal(1, now().v)
    assert(server.wait_for(function()
      return now().v == 2
    end))
  end)

  it("stops what serves when the server stops", function()
    begin(version(1, nil, "app.log:info('the lights are out')"))
    maru:signal("TERM")
    assert(server.wait_for(function()
      return maru:logs():find("the lights are out", 1, true)
    end))
  end)
end)
