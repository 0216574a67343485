--- PostgreSQL behind pgbouncer: as good as without it where a client keeps its connection, and refused where each of
--- its transactions gets another one.
local notes = require("spec.support.notes")
local pgbouncer = require("spec.support.pgbouncer")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")

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
    return server.try_start({ plugins = notes.plugins, set = set })
  end

  it("serves store, queue and series with pool_mode = session", function()
    local log
    maru, log = start("session", { "store", "jobs", "series" })
    assert.is_truthy(maru, log)
    notes.write(maru, 40)
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
