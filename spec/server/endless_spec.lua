--- A task that goes on for days: what a call of it needed is not kept until its end.
local server = require("spec.support.server")

local PLUGIN = [[
local M = { name = "endless", version = "1.0.0" }
M.limits = { task = "10m", memory = "64M" }
M.allow = { net = { "127.0.0.1:1" }, exec = { "/bin/grep", "/bin/true" } }
M.jobs = { nop = { function() end } }
local calls = {
  tx = function(app)
    assert(app.store:tx(function(tx)
      return assert(tx:one("select 1 as n"))
    end))
  end,
  rollback = function(app)
    app.store:tx(function()
      return nil, "no", "no"
    end)
  end,
  refused = function(app)
    assert(not app.http:stream("http://127.0.0.1:1/"))
  end,
  subscription = function(app, i)
    local subscription = assert(app.channels:subscribe("topic"))
    app.channels:publish("topic", i)
    assert(subscription:receive() == i)
    subscription:close()
  end,
  exec = function(app)
    assert(app.exec("/bin/true", { "a", ("x"):rep(2000) }, { env = { A = ("x"):rep(10000) } }))
  end,
}
local function resident(app, pid)
  local answer = assert(app.exec("/bin/grep", { "VmRSS", "/proc/" .. pid .. "/status" }))
  return tonumber(answer.stdout:match("(%d+) kB"))
end
M.routes = {
  ["GET /endless/grown"] = {
    query = { call = "string", times = "integer", warm = "integer", pid = "integer" },
    function(app, req)
      local query = req.query
      local call = calls[query.call]
      for i = 1, query.warm do
        call(app, i)
      end
      local before = resident(app, query.pid)
      for i = 1, query.times do
        call(app, i)
      end
      return 200, { kb = resident(app, query.pid) - before }
    end,
  },
}
return M
]]

--- How many calls, of which each kept so many bytes until the end of its task: 3 MB and more, each of them.
local TIMES = {
  tx = 6000, -- 720
  rollback = 6000, -- 740
  refused = 6000, -- 530
  subscription = 20000, -- 160
  exec = 400, -- 12,000: arguments and variables
}
local MOST_KB = 2048

describe("a task that goes on", function()
  local maru

  -- One for each: what the task of another test gave back at its end would be taken first.
  before_each(function()
    local asan = os.getenv("ASAN_OPTIONS")
    asan = asan and asan .. ":" or ""
    maru = server.start({
      plugins = { endless = { ["plugin.lua"] = PLUGIN } },
      -- What is freed is free at once, also under ASan.
      env = { ASAN_OPTIONS = asan .. "quarantine_size_mb=1:thread_local_quarantine_size_kb=64" },
    })
  end)

  after_each(function()
    maru:stop()
  end)

  for call, times in pairs(TIMES) do
    it("does not grow by what its calls need: " .. call, function()
      -- What is kept grows each time; what allocators hold back, ASan's above all, does not.
      local kb
      for _ = 1, 3 do
        local answer = maru:get(("/endless/grown?call=%s&times=%d&warm=%d&pid=%d"):format(
          call, times, math.floor(times / 2), maru:server_pid()))
        assert.equal(200, answer.status, answer.body)
        kb = answer.json.kb
        if kb < MOST_KB then
          break
        end
      end
      assert.is_true(kb < MOST_KB, call .. ": " .. kb .. " KB more")
    end)
  end
end)
