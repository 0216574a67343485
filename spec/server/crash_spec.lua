--- kill -9 of the server process under load: nobody is refused, nothing acknowledged is lost.
local cjson = require("cjson")
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

local KILLS, BETWEEN = 10, 10

--- Posts all the while; each server is killed at some moment in a request, once it has acknowledged BETWEEN jobs and is
--- past the age at which a supervisor lets the next one wait.
local Load = {}
Load.__index = Load

local function new_load(maru)
  return setmetatable({ maru = maru, jobs = {}, points = 0, refused = {}, kills = 0, n = 0, answers = {} }, Load)
end

function Load:post(path)
  local answer = self.maru:post(path, { n = self.n })
  if answer.status == 0 and tostring(answer.error):find("refused", 1, true) then
    self.refused[#self.refused + 1] = ("%s %d, after kill %d: %s"):format(path, self.n, self.kills, answer.error)
  end
  local what = answer.status == 0 and tostring(answer.error) or tostring(answer.status)
  self.answers[what] = (self.answers[what] or 0) + 1
  return answer.status
end

function Load:step()
  self.n = self.n + 1
  if self:post("/enter") == 202 then
    self.jobs[#self.jobs + 1] = self.n
  end
  if self.n % 10 == 0 and self:post("/point") == 201 then
    self.points = self.points + 1
  end
end

--- Until the server of now is dead and another has begun.
function Load:kill_one()
  local pid = assert(self.maru:server_pid())
  local before, born, struck = #self.jobs, socket.gettime(), false
  local stuck = born + 120
  repeat
    self:step()
    if not struck and #self.jobs - before >= BETWEEN and socket.gettime() - born > 1.1 then
      struck = true
      server.shell(("sh -c 'sleep 0.0%d; kill -9 %d' >/dev/null 2>&1 &"):format(math.random(0, 3), pid))
    end
    local now = self.maru:server_pid()
    if socket.gettime() > stuck then
      error(self:tell("no end of server " .. pid))
    end
  until now and now ~= pid
  self.kills = self.kills + 1
end

function Load:tell(what)
  return ("%s: %d kills, %d jobs and %d points acknowledged, answers %s\n%s"):format(what, self.kills, #self.jobs,
    self.points, cjson.encode(self.answers), self.maru:logs():sub(-4000))
end

--- What was running at two kills is set aside, with its reason, and runs when it is asked to.
local function run_quarantined(maru)
  for _, job in ipairs(maru:admin("/jobs?state=dead&limit=500").jobs) do
    assert(job.error:find("took the process down", 1, true), cjson.encode(job))
    maru:admin("/jobs/" .. job.id .. "/retry", "POST")
  end
end

describe("ten kills under load", function()
  it("refuse no connection and lose no acknowledged job, point or row", function()
    local maru = server.start({ plugins = { ledger = LEDGER } })
    finally(function()
      maru:stop()
    end)
    local load = new_load(maru)
    for _ = 1, KILLS do
      load:kill_one()
    end
    assert.same({}, load.refused)
    local lost, answer
    server.wait_for(function()
      run_quarantined(maru)
      lost = ledger.missing(maru, load.jobs)
      return not lost
    end, 120)
    assert(not lost, lost and load:tell(lost .. ", acknowledged, did not run"))
    local whole = server.wait_for(function()
      answer = maru:get("/stats")
      return answer.status == 200 and answer.json.points >= load.points
    end, 60)
    assert(whole, not whole and load:tell("series lost points: " .. answer.body))
    maru:stop(true)
    for path in server.shell("find " .. maru.dir .. "/state -name '*.db'"):gmatch("%S+") do
      assert.equal(path .. ": ok\n", path .. ": " .. server.shell("sqlite3 " .. path .. " 'pragma integrity_check'"))
    end
    print(("# %d kills, %d jobs and %d points acknowledged"):format(load.kills, #load.jobs, load.points))
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
