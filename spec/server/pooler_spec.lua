--- PostgreSQL behind pgbouncer: as good as without it where a client keeps its connection, and refused where each of
--- its transactions gets another one.
local pgbouncer = require("spec.support.pgbouncer")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")

local PLUGINS = {
  work = {
    ["migrations/0001_notes.sql"] = "create table notes(id bigint primary key);",
    ["plugin.lua"] = [[
local M = { name = "work", version = "1.0.0", series = { level = { values = { "v" } } } }
M.jobs = { note = function(app, job)
  assert(app.store:exec("insert into notes(id) values ($1)", job.args.id))
end }
M.routes = {
  ["POST /push"] = { body = { id = "integer" }, function(app, req)
    local id, message = app.jobs:push("note", { id = req.body.id })
    return id and 202 or 503, { message = message }
  end },
  ["POST /push_in_tx"] = { body = { id = "integer" }, function(app, req)
    local ok, message = app.store:tx(function(tx)
      return tx.jobs:push("note", { id = req.body.id })
    end)
    return ok and 202 or 503, { message = message }
  end },
  ["POST /level"] = { body = { v = "number" }, function(app, req)
    local n, message = app.series:append("level", { { at = app.now(), v = req.body.v } })
    return n and 200 or 503, { n = n, message = message }
  end },
  ["GET /notes"] = function(app)
    local row, message = app.store:one("select count(*) as n from notes")
    return row and 200 or 503, { n = row and row.n, message = message }
  end,
}
return M
]],
  },
}

describe("PostgreSQL behind pgbouncer", function()
  local database, pooler, maru

  setup(function()
    database = postgres.start()
  end)

  teardown(function()
    database:drop()
  end)

  after_each(function()
    if maru then
      maru:stop()
    end
    pooler:stop()
    maru = nil
  end)

  --- kinds: of drivers that get its address.
  local function start(pool_mode, kinds)
    pooler = pgbouncer.start(database, pool_mode)
    local set = { "store.driver=sqlite", "jobs.driver=sqlite", "series.driver=duckdb", "cache.driver=memory" }
    for _, kind in ipairs(kinds) do
      set[#set + 1] = kind .. ".driver=postgres"
      set[#set + 1] = kind .. ".url=" .. pooler.url
    end
    return server.try_start({ plugins = PLUGINS, set = set })
  end

  it("serves store, queue and series with pool_mode = session", function()
    local log
    maru, log = start("session", { "store", "jobs", "series" })
    assert.is_truthy(maru, log)
    for id = 1, 40, 2 do
      assert.equal(202, maru:post("/push", { id = id }).status)
      assert.equal(202, maru:post("/push_in_tx", { id = id + 1 }).status)
    end
    assert.is_truthy(server.wait_for(function()
      local answer = maru:get("/notes")
      assert.equal(200, answer.status, answer.body)
      return answer.json.n == 40
    end), maru:logs())
    local answer = maru:post("/level", { v = 1 })
    assert.equal(200, answer.status, answer.body)
    assert.equal(200, maru:get("/readyz").status)
    assert.is_true(pooler:clients() > 5)
  end)

  for kind, key in pairs({ jobs = "jobs.url", store = "store.url", series = "series.url" }) do
    it("is refused as " .. key .. " with pool_mode = transaction", function()
      local said
      maru, said = start("transaction", { kind })
      if kind == "series" then -- its tables are made when they are first used
        said = maru:post("/level", { v = 1 }).json.message
      end
      assert.matches(key .. ": a pooler between here and PostgreSQL gives each transaction another connection:"
        .. " pgbouncer needs pool_mode = session", said or maru:logs(), 1, true)
    end)
  end
end)
