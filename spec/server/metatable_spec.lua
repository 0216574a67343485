--- Code of a plugin's that would run between a check and a use, or change what was checked afterwards: metamethods
--- of the tables it gives, and its declaration, which it still has in hand.
local server = require("spec.support.server")

local PLUGIN = [==[
local M = { name = "sly", version = "1.0.0" }
M.allow = { exec = { "/bin/echo" }, env = { "HOME" }, mail = { "*@good.example" } }
M.series = { points = { keys = { "line" }, values = { "amount", "pad" } } }
M.queues = { calm = {} }
M.jobs = { nop = { queue = "calm", function() end } }

-- The host looks for this field when it checks the declaration, and again when it makes the handle.
local reads = 0
setmetatable(M, { __index = function(t, key)
  reads = reads + (key == "search" and 1 or 0)
  if reads == 2 then
    t.allow.env[1] = nil
    t.series.points.values[1] = {}
  end
end })

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
  ["GET /home"] = function(app)
    return 200, { home = app.env.HOME }
  end,
}
return M
]==]

describe("a sly plugin", function()
  local maru

  setup(function()
    maru = server.start({ plugins = { sly = { ["plugin.lua"] = PLUGIN } }, env = { HOME = "/somewhere" } })
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

  it("cannot hide what it reaches", function()
    assert.equal("/somewhere", maru:get("/home").json.home)
    for _, row in ipairs(maru:admin("/plugins")) do
      if row.name == "sly" then
        assert.same({ "HOME" }, row.allow.env)
      end
    end
  end)
end)
