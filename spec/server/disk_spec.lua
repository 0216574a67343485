--- Disks that are full, read-only, failing or corrupt under the real program: it says so in its log, to probes and
--- to whoever pushes, loses nothing it acknowledged, and goes on when the disk is mended.
local disk = require("spec.support.disk")
local server = require("spec.support.server")

local LEDGER = {
  ["plugin.lua"] = [==[
local M = { name = "ledger", version = "1.0.0" }
M.jobs = {
  enter = { retries = 0, function(app, job)
    assert(app.store:exec("insert into entries(n) values ($1)", job.args.n))
  end },
  fails = { function() error("no") end },
  slow = { retries = 0, function(app, job) app.sleep(job.args.seconds) return { slept = true } end },
}
M.routes = {
  ["POST /push"] = { body = { job = "string?", n = "integer?", seconds = "number?" }, function(app, req)
    local id, message, code = app.jobs:push(req.body.job or "enter", req.body)
    if not id then return 503, { error = message, code = code } end
    return 202, { id = id }
  end },
  ["POST /write"] = { body = { n = "integer" }, function(app, req)
    local changed, message, code = app.store:exec("insert into notes(n) values ($1)", req.body.n)
    if not changed then return 503, { error = message, code = code } end
    return 201, {}
  end },
  ["GET /entries"] = function(app)
    local list = {}
    for i, row in ipairs(assert(app.store:all("select n from entries order by n"))) do list[i] = row.n end
    return 200, { entries = app.json.array(list) }
  end,
  ["GET /job"] = { query = { id = "integer" }, function(app, req)
    return 200, { job = app.jobs:get(req.query.id) or nil }
  end },
}
return M
]==],
  ["migrations/0001_tables.sql"] = "create table entries (n integer);\ncreate table notes (n integer);\n",
}

describe("a disk that", function()
  local maru, entered

  before_each(function()
    maru = server.start({ plugins = { ledger = LEDGER }, env = disk.env(), set = { "store.driver=sqlite" } })
    entered = {}
  end)
  after_each(function()
    maru:stop()
  end)

  local function push(n)
    local answer = maru:post("/push", { n = n })
    if answer.status == 202 then
      entered[#entered + 1] = n
    end
    return answer
  end

  local function is_ready()
    return maru:get("/readyz").status == 200
  end

  --- Nothing is queued or running, and all ends are on disk.
  local function is_settled()
    for _, queue in ipairs(maru:admin("/queues")) do
      if queue.ready + queue.running > 0 then
        return false
      end
    end
    return true
  end

  --- Everything that was acknowledged ran once, and nothing else.
  local function assert_entered()
    local seen
    assert(server.wait_for(function()
      local answer = maru:get("/entries")
      seen = answer.json and answer.json.entries
      return seen and #seen >= #entered
    end), maru:logs():sub(-3000))
    assert.same(entered, seen)
  end

  local function logged(text)
    return server.wait_for(function()
      return maru:logs():find(text, 1, true)
    end)
  end

  local function is_new(pid)
    return server.wait_for(function()
      local now = maru:server_pid()
      return now and now ~= pid and is_ready() and now
    end)
  end

  it("is full refuses pushes, is not ready, and goes on when there is room", function()
    local pid = maru:server_pid()
    for n = 1, 5 do
      assert.equal(202, push(n).status)
    end
    assert_entered()
    disk.fault(maru, "write wal ENOSPC half")
    local answer = push(6)
    assert.same({ 503, "full" }, { answer.status, answer.json.code })
    assert.same({ 503, "full" }, { maru:post("/write", { n = 1 }).status, maru:post("/write", { n = 1 }).json.code })
    local probe = maru:get("/readyz")
    assert.equal(503, probe.status)
    assert.truthy(probe.body:find("database or disk is full", 1, true), probe.body)
    assert(logged("make room on the disk of state.dir"), maru:logs():sub(-3000))
    assert.equal(200, maru:get("/entries").status)
    disk.fault(maru, nil)
    assert(server.wait_for(is_ready), maru:get("/readyz").body)
    assert(logged("written again"))
    assert.equal(202, push(7).status)
    assert_entered()
    assert.equal(pid, maru:server_pid())
  end)

  it("becomes full while a job runs keeps its outcome until there is room", function()
    local id = maru:post("/push", { job = "slow", seconds = 0.3 }).json.id
    disk.fault(maru, "write wal ENOSPC")
    assert(logged("nothing written"), maru:logs():sub(-3000))
    disk.fault(maru, nil)
    assert(server.wait_for(function()
      local job = maru:get("/job?id=" .. id).json.job
      return job and job.state == "done" and job.result.slept
    end), maru:logs():sub(-3000))
  end)

  it("fails a sync ends the process, which recovers; what ran is not to blame", function()
    for n = 1, 5 do
      assert.equal(202, push(n).status)
    end
    assert_entered()
    assert(server.wait_for(is_settled))
    local slow = maru:post("/push", { job = "slow", seconds = 1.5 }).json.id
    assert(server.wait_for(function()
      return maru:get("/job?id=" .. slow).json.job.state == "running"
    end))
    for _ = 1, 3 do
      local pid = maru:server_pid()
      disk.fault(maru, "sync wal EIO")
      local answer = maru:post("/push", { n = 6 })
      assert.not_equal(202, answer.status)
      assert(logged("ended with code 6: state.dir cannot be used"), maru:logs():sub(-3000))
      disk.fault(maru, nil)
      assert(is_new(pid), maru:logs():sub(-3000))
    end
    assert(server.wait_for(function()
      local job = maru:get("/job?id=" .. slow).json.job
      return job and job.state == "done"
    end), maru:logs():sub(-3000))
    local seen = {}
    for _, n in ipairs(maru:get("/entries").json.entries) do
      seen[n] = (seen[n] or 0) + 1
    end
    for n = 1, 5 do -- 6 got no answer: it may have been written, or not
      assert.equal(1, seen[n])
    end
    assert.equal(202, push(7).status)
  end)

  it("turns read-only stops the writing and lets it go on when it is writable again", function()
    for n = 1, 3 do
      assert.equal(202, push(n).status)
    end
    assert_entered()
    assert(server.wait_for(is_settled)) -- else one whose end is not on disk runs again, as it should
    local pid = maru:server_pid()
    disk.fault(maru, "write any EROFS\nsync any EROFS\ntruncate any EROFS\nopen any EROFS")
    assert.not_equal(202, maru:post("/push", { n = 4 }).status)
    assert(logged("state.dir cannot be used"), maru:logs():sub(-3000))
    assert(logged("read"), maru:logs():sub(-3000))
    disk.fault(maru, nil)
    assert(is_new(pid), maru:logs():sub(-3000))
    assert.equal(202, push(5).status)
    assert_entered()
  end)

  --- Overwrites the root page of a table in the database of a stopped server.
  local function corrupt(table)
    local db = maru.dir .. "/state/maru.db"
    local sql = ("pragma wal_checkpoint(truncate); select rootpage from sqlite_master where name = '%s'"):format(table)
    local page = tonumber(server.shell(("sqlite3 %s %q"):format(db, sql)):match("(%d+)%s*$"))
    local bytes = tonumber((server.shell(("sqlite3 %s 'pragma page_size'"):format(db))))
    server.shell(("cp %s %s.good && dd if=/dev/urandom of=%s bs=%d seek=%d count=1 conv=notrunc status=none")
      :format(db, db, db, bytes, page - 1))
  end

  local function put_back()
    local state = maru.dir .. "/state/"
    server.shell(("rm -f %smaru.db-wal %smaru.db-shm"):format(state, state))
    assert(os.rename(state .. "maru.db.good", state .. "maru.db"))
  end

  it("has a corrupt page in the queue does not start, says which file, and starts with a good copy", function()
    for n = 1, 3 do
      assert.equal(202, push(n).status)
    end
    assert_entered()
    maru:stop(true)
    corrupt("maru_job")
    assert.is_false(maru:restart())
    local log = maru:logs()
    assert.truthy(log:find("maru.db", 1, true) and log:find("malformed", 1, true), log:sub(-2000))
    put_back()
    assert.is_true(maru:restart())
    assert.equal(202, push(4).status)
    assert_entered()
  end)

  it("has a corrupt page that is met later serves on, refuses pushes and is not ready", function()
    assert.equal(202, push(1).status)
    assert_entered()
    maru:stop(true)
    corrupt("maru_job_attempt")
    assert.is_true(maru:restart(), maru:logs():sub(-2000))
    maru:post("/push", { job = "fails" })
    assert(server.wait_for(function()
      return not is_ready()
    end), maru:logs():sub(-2000))
    assert.truthy(maru:get("/readyz").body:find("malformed", 1, true))
    assert(logged("put back a copy of the database"), maru:logs():sub(-2000))
    local answer = push(2)
    assert.same({ 503, "corrupt" }, { answer.status, answer.json.code })
    assert.equal(200, maru:get("/entries").status)
    maru:stop(true)
    assert.is_nil(maru.forced)
    put_back()
    assert.is_true(maru:restart())
    assert.equal(202, push(3).status)
    assert_entered()
  end)
end)
