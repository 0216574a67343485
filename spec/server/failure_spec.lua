--- A plugin that errs, wherever it errs, takes nothing else down and says where.
local server = require("spec.support.server")

local GOOD = { ["plugin.lua"] = [[
return { name = "good", version = "1.0.0", routes = { ["GET /good"] = function() return 200, { ok = true } end } }
]] }

local BAD = { ["plugin.lua"] = [[
local M = { name = "bad", version = "1.0.0", limits = { memory = "8M", task = "500ms" } }

M.routes = {
  ["GET /raise"] = function() error("ink is dry") end,
  ["GET /raise-table"] = function() error({}) end,
  ["GET /raise-nil"] = function() error(nil) end,
  ["GET /index-nil"] = function() local t = nil; return 200, t.x end,
  ["GET /memory"] = function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end end,
  ["GET /rep"] = function() return 200, ("x"):rep(1e9) end,
  ["GET /deep"] = function() local function f() return 1 + f() end return 200, f() end,
  ["GET /slow"] = function(app) assert(app.sleep(60)) return 200, {} end,
  ["GET /nothing"] = function() end,
  ["GET /odd"] = function() return "yes", {} end,
  ["GET /nan"] = function() return 200, { x = 0/0 } end,
  ["GET /fail"] = function(app) error(app.fail(409, "taken", "somebody has it", { by = "kim" })) end,
  ["GET /fine"] = function() return 200, { ok = true } end,
  ["POST /push"] = function(app) return 202, { id = assert(app.jobs:push("explode", {})) } end,
  ["GET /job/{id}"] = { path = { id = "integer" }, function(app, req)
    return 200, app.jobs:get(req.params.id) or {}
  end },
}
M.jobs = { explode = { retries = 0, function() error("the job is dry") end } }
M.cron = { ["@every 1s"] = { id = "tick", function() error("the clock is dry") end } }
return M
]] }

describe("a plugin that errs while it serves", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { good = GOOD, bad = BAD }, set = { "plugins.quarantine_kills=100" } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function problem(path, status)
    local answer = maru:get(path)
    assert.equal(status, answer.status, path .. " " .. answer.body)
    assert.equal("application/problem+json", answer.headers["content-type"])
    assert.equal(status, answer.json.status)
    return answer.json
  end

  it("answers 500 with file and line in development, and logs the traceback", function()
    assert.truthy(problem("/raise", 500).detail:find("bad/plugin.lua:4: ink is dry", 1, true))
    assert.truthy(problem("/index-nil", 500).detail:find("bad/plugin.lua:7:", 1, true))
    problem("/raise-table", 500)
    problem("/raise-nil", 500)
    assert.truthy(maru:logs():find("ink is dry", 1, true))
    assert.truthy(maru:logs():find("bad@", 1, true))
  end)

  it("answers what cannot be sent with 500 and says why", function()
    assert.truthy(problem("/nan", 500).detail:find("x", 1, true))
    problem("/odd", 500)
  end)

  it("answers app.fail with its status, code and extras", function()
    local answer = problem("/fail", 409)
    assert.equal("taken", answer.code)
    assert.equal("somebody has it", answer.detail)
    assert.equal("kim", answer.by)
  end)

  it("survives its memory limit, again and again", function()
    for _ = 1, 3 do
      local status = maru:get("/memory").status
      assert.is_true(status == 503 or status == 500, tostring(status))
      assert.truthy(server.wait_for(function()
        return maru:get("/fine").status == 200
      end), maru:logs():sub(-3000))
    end
    local status = maru:get("/rep").status
    assert.is_true(status == 503 or status == 500)
    assert.equal(200, maru:get("/good").status)
  end)

  it("ends endless recursion and handlers that are over their time", function()
    problem("/deep", 500)
    problem("/slow", 504)
    assert.equal(200, maru:get("/good").status)
  end)

  it("keeps a job that fails as a dead letter with its reason", function()
    local id = maru:post("/push", {}).json.id
    local job = server.wait_for(function()
      local json = maru:get(("/job/%d"):format(id)).json
      return json and json.state == "dead" and json
    end)
    assert(job, maru:logs():sub(-3000))
    assert.truthy(job.error:find("the job is dry", 1, true))
  end)

  it("logs what a schedule raises and goes on", function()
    assert(server.wait_for(function()
      return maru:logs():find("the clock is dry", 1, true)
    end), maru:logs():sub(-3000))
    assert.equal(200, maru:get("/good").status)
  end)

  it("has not taken the server process down", function()
    assert.equal(0, maru:admin("/status").crashes)
  end)
end)

describe("a plugin that errs while it loads", function()
  local function refused(text, set)
    local maru, log = server.try_start({ plugins = { good = GOOD, bad = { ["plugin.lua"] = text } }, set = set })
    if maru then
      maru:stop()
    end
    return not maru and log
  end

  it("stops the start with file and line", function()
    local log = refused("return {\n  name = \"bad\" version = 1\n}\n")
    assert(log, "it started")
    assert.truthy(log:find("bad/plugin.lua:2:", 1, true), log)
    log = refused("return { name = \"bad\", version = \"1.0.0\", rotues = {} }")
    assert.truthy(log:find("rotues", 1, true) and log:find("routes", 1, true), log)
    log = refused("error(\"no ink\")")
    assert.truthy(log:find("bad/plugin.lua:1: no ink", 1, true), log)
    log = refused("local t = {} while true do t[#t + 1] = (\"x\"):rep(1000) .. #t end")
    assert.truthy(log:find("memory", 1, true), log)
  end)

  it("is left out when it is tolerated, and the rest serves", function()
    local maru = server.start({
      plugins = { good = GOOD, bad = { ["plugin.lua"] = "error(\"no ink\")" } }, set = { "plugins.tolerate=bad" },
    })
    finally(function()
      maru:stop()
    end)
    assert.equal(200, maru:get("/good").status)
    assert.truthy(maru:logs():find("no ink", 1, true))
  end)
end)
