--- kill -9 of the server process under load: nobody is refused, nothing acknowledged is lost.
local ledger = require("spec.support.ledger")
local server = require("spec.support.server")
local socket = require("socket")

local LEDGER = ledger.plugin([==[
M.series = { points = { keys = { "line" }, values = { "amount" } } }
M.routes["POST /point"] = { body = { n = "integer" }, function(app, req)
  local rows, message = app.series:append("points", { { at = app.now(), line = "a", amount = req.body.n } })
  if not rows then return 503, { error = message } end
  return 201, { rows = rows }
end }
M.routes["GET /stats"] = function(app) return 200, assert(app.series:stats("points", {})) end
]==])

local function is_refused(answer)
  return answer.status == 0 and tostring(answer.error):find("refused", 1, true) ~= nil
end

describe("ten kills under load", function()
  it("refuse no connection and lose no acknowledged job, point or row", function()
    local maru = server.start({ plugins = { ledger = LEDGER } })
    finally(function()
      maru:stop()
    end)
    local killer = ([[for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.8
      kill -9 $(cat /proc/%d/task/%d/children); done; touch %s/killed]]):format(maru.pid, maru.pid, maru.dir)
    server.shell("sh -c '" .. killer .. "' >/dev/null 2>&1 &")
    local acknowledged, points, refused, n = {}, 0, 0, 0
    local deadline = socket.gettime() + 60
    while not server.read_file(maru.dir .. "/killed") and socket.gettime() < deadline do
      n = n + 1
      local answer = maru:post("/enter", { n = n })
      refused = refused + (is_refused(answer) and 1 or 0)
      if answer.status == 202 then
        acknowledged[#acknowledged + 1] = n
      end
      if n % 10 == 0 then
        answer = maru:post("/point", { n = n })
        refused = refused + (is_refused(answer) and 1 or 0)
        points = points + (answer.status == 201 and 1 or 0)
      end
    end
    assert.truthy(server.read_file(maru.dir .. "/killed"))
    assert.equal(0, refused)
    assert.is_true(#acknowledged > 50, #acknowledged .. " acknowledged\n" .. maru:logs():sub(-4000))
    local lost = ledger.wait_missing(maru, acknowledged, 30)
    assert(not lost, ("%s, acknowledged, did not run:\n%s"):format(lost, maru:logs():sub(-4000)))
    local stats = maru:get("/stats").json
    assert.is_true(stats.points >= points, "series lost points: " .. stats.points .. " of " .. points)
    maru:stop(true)
    for path in server.shell("find " .. maru.dir .. "/state -name '*.db'"):gmatch("%S+") do
      local output = server.shell("sqlite3 " .. path .. " 'pragma integrity_check'")
      assert.equal("ok\n", output)
    end
    server.shell("rm -rf " .. maru.dir)
  end)

  it("a supervisor told to stop leaves nothing behind", function()
    local maru = server.start({ plugins = { ledger = LEDGER } })
    local child = maru:server_pid()
    maru:stop(true)
    assert.is_nil(maru.forced)
    assert.is_false(server.alive(child))
    server.shell("rm -rf " .. maru.dir)
  end)
end)
