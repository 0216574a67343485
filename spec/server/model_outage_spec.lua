--- What users of app.model see while a provider is killed, started again, frozen, slow, cut or refuses, under load: an
--- answer of the next provider or of the rules, none that hangs, no request that fails. Times are printed, not judged.
local fault = require("spec.support.fault")
local openai = require("spec.support.openai")
local server = require("spec.support.server")
local socket = require("socket")

local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "asker", version = "1.0.0" }
M.allow = { model = true }
M.limits = { task = "120s" }
M.model = { rules = function() return "by rule" end }
-- Six tasks ask without a pause, half of them for streams.
local state = { running = false, by = {}, failed = {}, broken = 0, slowest = 0 }
local function note(by, from, app)
  state.by[by] = (state.by[by] or 0) + 1
  state.slowest = math.max(state.slowest, app.now() - from)
end
local function chat(app)
  local from = app.now()
  local answer, message, code = app.model:chat({ messages = "x", timeout = "8s" })
  if answer then
    return note(answer.provider, from, app)
  end
  state.failed[code] = message
end
local function stream(app)
  local from, text = app.now(), ""
  for part in app.model:stream({ messages = "x", timeout = "8s" }) do
    if part.delta then
      text = text .. part.delta
    elseif part.result then
      note(part.result.provider, from, app)
    elseif text ~= "" then
      state.broken = state.broken + 1 -- cut behind its first words, and said so
    else
      state.failed[part.code] = part.error
    end
  end
end
M.routes = {
  ["POST /begin"] = function(app)
    state.running = true
    for task = 1, 6 do
      app.spawn(function()
        while state.running do
          (task % 2 == 0 and chat or stream)(app)
          app.sleep(0.01)
        end
      end)
    end
    return 200, {}
  end,
  ["POST /reset"] = function()
    state.by, state.failed, state.broken, state.slowest = {}, {}, 0, 0
    return 200, {}
  end,
  ["POST /end"] = function() state.running = false return 200, {} end,
  ["GET /state"] = function() return 200, state end,
}
return M
]==] }

describe("language models of which the first", function()
  local first, second, proxy, maru

  setup(function()
    first, second = openai.start(), openai.start()
    proxy = fault.proxy(first.port)
    local quick = { timeout = "0.6s", silence = "0.4s", rest = "0.5s", retries = 1 }
    local function provider(peer, name, url)
      local more = { name = name, url = url }
      for key, value in pairs(quick) do
        more[key] = value
      end
      return peer:provider("plain", more)
    end
    maru = server.start({ plugins = { asker = PLUGIN }, set = { "lanes.web=1", "model.providers=["
      .. provider(first, "first", "http://127.0.0.1:" .. proxy.port .. "/v1") .. ","
      .. provider(second, "second", second.url) .. "]" } })
    maru:post("/begin")
  end)

  teardown(function()
    maru:post("/end")
    maru:stop()
    proxy:stop()
    first:stop()
    second:stop()
  end)

  local function state()
    return maru:get("/state").json
  end

  local function driver(name)
    for _, one in ipairs(maru:admin("/drivers")) do
      if one.kind == "model" and one.driver == name then
        return one
      end
    end
  end

  --- Waits until so many more answers came from `by`.
  local function answered(by, count)
    maru:post("/reset")
    return assert(server.wait_for(function()
      return (state().by[by] or 0) >= count
    end), "no answers of " .. by .. ": " .. maru:get("/state").body)
  end

  --- Breaks, waits for answers of `by`, mends, and waits for the first one: what users saw, and how long it took.
  local function outage(what, by, break_it, mend_it)
    answered("first", 5)
    maru:post("/reset")
    break_it()
    assert(server.wait_for(function()
      return (state().by[by] or 0) >= 30
    end), what .. ": " .. maru:get("/state").body .. maru:logs():sub(-2000))
    local seen = state()
    local down = driver("first")
    mend_it()
    local from = socket.gettime()
    answered("first", 5)
    local heal = socket.gettime() - from
    assert.equal("up", driver("first").state)
    local counts = {}
    for name, count in pairs(seen.by) do
      counts[#counts + 1] = name .. " " .. count
    end
    table.sort(counts)
    print(("# %s: answers by %s, %d streams broke off, slowest %.2f s; %s; healed after %.2f s"):format(what,
      table.concat(counts, ", "), seen.broken, seen.slowest, down.state, heal))
    assert.same({}, seen.failed)
    assert.is_true(seen.slowest < 60, seen.slowest)
    return seen, down
  end

  it("was killed and started again", function()
    local _, down = outage("killed", "second", function() first:kill() end, function() first:launch(first.port) end)
    assert.equal("down", down.state)
    assert.truthy(down.error)
  end)

  it("is frozen", function()
    outage("SIGSTOP", "second", function() fault.pause(first.pid) end, function() fault.resume(first.pid) end)
  end)

  it("hangs behind its address", function()
    outage("frozen network", "second", function() proxy:freeze() end, function() proxy:heal() end)
  end)

  it("refuses connections", function()
    outage("refused", "second", function() proxy:refuse() end, function() proxy:heal() end)
  end)

  it("is too slow", function()
    outage("slow", "second", function() proxy:slow(700) end, function() proxy:heal() end)
  end)

  it("has its connections cut, over and over", function()
    answered("first", 5)
    maru:post("/reset")
    for _ = 1, 20 do
      proxy:cut()
      socket.sleep(0.05)
    end
    answered("first", 5)
    assert.same({}, state().failed)
  end)

  it("is away together with the second: the rules answer", function()
    outage("both refuse", "rules", function()
      proxy:refuse()
      second:kill()
    end, function()
      second:launch(second.port)
      proxy:heal()
    end)
    assert.equal(200, maru:get("/readyz").status) -- a model is never required
  end)
end)
