--- Code of a plugin's that would run between a check and a use, or change what was checked afterwards: metamethods
--- of the tables it gives, and its declaration, which it still has in hand (and which may have no metatables).
local server = require("spec.support.server")

local PLUGIN = [==[
local M = { name = "sly", version = "1.0.0" }
M.allow = { exec = { "/bin/echo" }, mail = { "*@good.example" } }
M.series = { points = { keys = { "line" }, values = { "amount", "pad" } } }
M.queues = { calm = {} }
M.jobs = { nop = { queue = "calm", function() end } }

local function churn()
  local kept = {}
  for i = 1, 20000 do
    kept[i] = ("S"):rep(100) .. i
  end
  collectgarbage()
end

M.routes = {
  ["GET /append"] = function(app)
    local first = { at = 1, line = "a", amount = 1 }
    local second = setmetatable({ line = "b", amount = 2, pad = 1 }, { __index = function()
      first.line = ("Z"):rep(100000)
      return 5
    end })
    local ok, message = pcall(app.series.append, app.series, "points", { first, second })
    return 200, { ok = ok, message = message }
  end,
  ["GET /exec"] = function(app)
    local args = { ("q"):rep(110) }
    local options = setmetatable({}, { __index = function() args[1] = nil churn() end })
    return 200, app.exec("/bin/echo", args, options)
  end,
  ["GET /push"] = function(app)
    local options = setmetatable({ queue = "ca" .. "lm", key = ("k"):rep(30) }, { __index = function(t)
      t.queue, t.key = nil, nil
      churn()
    end })
    return 200, app.jobs:get(app.jobs:push("nop", {}, options))
  end,
  ["GET /mail"] = function(app)
    M.allow.mail[1] = "*"
    local sent, message, code = app.mail:send({ to = "x@evil.example", subject = "s", text = "t" })
    return 200, { sent = sent or false, message = message, code = code }
  end,
}
return M
]==]

describe("a sly plugin", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { sly = { ["plugin.lua"] = PLUGIN } } })
  end)

  teardown(function()
    maru:stop()
  end)

  it("cannot make a row longer once it was measured", function()
    local answer = maru:get("/append").json
    assert.is_false(answer.ok)
    assert.truthy(answer.message:find("row 2: at must be a number", 1, true), answer.message)
  end)

  it("cannot free a program's arguments", function()
    assert.equal(("q"):rep(110) .. "\n", maru:get("/exec").json.stdout)
  end)

  it("cannot free the name of a job's queue", function()
    assert.equal("calm", maru:get("/push").json.queue)
  end)

  it("writes to nobody else by changing its declaration", function()
    local answer = maru:get("/mail").json
    assert.equal("forbidden", answer.code)
  end)
end)
