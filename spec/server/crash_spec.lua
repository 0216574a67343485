--- kill -9 of the server process under load: nobody is refused, nothing acknowledged is lost.
local server = require("spec.support.server")
local socket = require("socket")

local LEDGER = {
  ["plugin.lua"] = [==[
local M = { name = "ledger", version = "1.0.0" }
M.series = { points = { keys = { "line" }, values = { "amount" } } }
M.jobs = {
  enter = { retries = 10, function(app, job)
    assert(app.store:exec([=[insert into entries(n) values ($1)
      on conflict (n) do update set times = times + 1]=], job.args.n))
  end },
}
M.routes = {
  ["POST /enter"] = { body = { n = "integer" }, function(app, req)
    local id, message, code = app.jobs:push("enter", { n = req.body.n })
    if not id then return 503, { error = message, code = code } end
    return 202, { id = id }
  end },
  ["POST /point"] = { body = { n = "integer" }, function(app, req)
    local rows, message = app.series:append("points", { { at = app.now(), line = "a", amount = req.body.n } })
    if not rows then return 503, { error = message } end
    return 201, { rows = rows }
  end },
  ["GET /entries"] = function(app)
    local list = {}
    for i, row in ipairs(app.store:all("select n from entries order by n")) do list[i] = row.n end
    return 200, { entries = app.json.array(list) }
  end,
  ["GET /stats"] = function(app) return 200, assert(app.series:stats("points", {})) end,
}
return M
]==],
  ["migrations/0001_entries.sql"] = [[
create table entries (n integer primary key, times integer not null default 1);
]],
}

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
    local missing = server.wait_for(function()
      local json = maru:get("/entries").json
      if not json then
        return nil
      end
      local entered = {}
      for _, entry in ipairs(json.entries) do
        entered[entry] = true
      end
      for _, number in ipairs(acknowledged) do
        if not entered[number] then
          return nil
        end
      end
      return true
    end, 30)
    assert(missing, "an acknowledged job did not run:\n" .. maru:logs():sub(-4000))
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
