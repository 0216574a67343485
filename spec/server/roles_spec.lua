--- `--roles`: what a process does of serving, running jobs and firing schedules.
local cjson = require("cjson")
local server = require("spec.support.server")

local CLOCK = { ["plugin.lua"] = [[
local M = { name = "clock", version = "1.0.0" }
M.routes = {
  ["GET /fires"] = function(app)
    return 200, { fires = app.json.array(assert(app.store:all("select kind from fires"))) }
  end,
  ["POST /work"] = function(app)
    return 202, { job = assert(app.jobs:push("note", { kind = "pushed" })) }
  end,
}
M.jobs = { note = function(app, job)
  assert(app.store:exec("insert into fires(kind) values ($1)", job.args.kind))
end }
M.cron = { ["* * * * * *"] = { job = "note", args = { kind = "second" }, id = "second" } }
return M
]], ["migrations/0001_fires.sql"] = "create table fires (kind text not null);\n" }

describe("--roles", function()
  local maru

  after_each(function()
    if maru then
      maru:stop()
      maru = nil
    end
  end)

  local function start(roles)
    maru = server.start({ plugins = { clock = CLOCK }, set = { "roles=" .. roles, "node.name=left" } })
    return maru:admin("/status")
  end

  local function count(kind)
    local n = 0
    for _, fire in ipairs(maru:get("/fires").json.fires) do
      n = n + (fire.kind == kind and 1 or 0)
    end
    return n
  end

  local function queue()
    return maru:admin("/queues")[1]
  end

  it("web: serves and pushes; no job runs and no schedule fires", function()
    local status = start("web")
    assert.equal("left", status.node)
    assert.same({ "web" }, status.roles)
    assert.is_false(status.leads)
    assert.equal(202, maru:post("/work", {}).status)
    assert.equal(1, queue().ready)
    assert.equal(0, queue().done_total)
    assert.equal(5, #maru:admin("/schedules")[1].next)
    assert.equal(0, count("pushed") + count("second"))
  end)

  it("jobs, cron: works without a port of its own", function()
    local status = start("jobs,cron")
    assert.same({ "jobs", "cron" }, status.roles)
    assert.is_true(status.leads)
    assert.equal(cjson.null, maru.ready.http)
    assert.equal(cjson.null, maru.ready.https)
    assert.truthy(server.wait_for(function()
      return queue() and queue().done_total >= 2
    end))
    local sockets = server.shell("ss -Hltnp 2>/dev/null | grep 'pid=" .. maru:server_pid() .. ",' || true")
    assert.equal("", sockets)
  end)

  it("cron: fires into a queue that others work on", function()
    start("web,cron")
    assert.truthy(server.wait_for(function()
      return queue() and queue().ready >= 1 -- the next is skipped: the first is unfinished
    end))
    assert.equal(0, count("second"))
  end)

  it("refuses what is no role", function()
    for _, case in ipairs({ { "web,flying", 'there is no role "flying"' }, { "", "one of web, jobs, cron" } }) do
      local dir = server.make_dir()
      local output, status = server.maru(("serve --roles '%s' --set state.dir=%s/state"):format(case[1], dir))
      server.shell("rm -rf " .. dir)
      assert.equal(3, status)
      assert.truthy(output:find(case[2], 1, true), output)
    end
  end)
end)
