--- The queue's schema in PostgreSQL: an older one is brought up to date at start, also when only functions changed.
local ledger = require("spec.support.ledger")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")

describe("the queue's schema in PostgreSQL", function()
  it("is brought up to date, and keeps its partitions", function()
    local database = postgres.start()
    local set = { "jobs.driver=postgres", "jobs.url=" .. database.url }
    local maru = server.start({ plugins = { ledger = ledger.plugin() }, set = set })
    finally(function()
      maru:stop()
      database:drop()
    end)
    local version = tonumber(database:sql("SELECT value FROM maru.meta WHERE key = 'version'"))
    maru:stop()
    database:sql("UPDATE maru.meta SET value = value - 1 WHERE key = 'version'; DROP FUNCTION maru.cancel(bigint)")
    maru = server.start({ plugins = { ledger = ledger.plugin() }, set = set })
    assert.equal(version, tonumber(database:sql("SELECT value FROM maru.meta WHERE key = 'version'")))
    assert.equal("1", database:sql("SELECT count(*) FROM pg_proc WHERE oid = to_regprocedure('maru.cancel(bigint)')"))
    assert.equal(202, maru:post("/enter", { n = 1 }).status)
    assert.is_nil(ledger.wait_missing(maru, { 1 }, 30))
    local function partitions()
      return database:sql("SELECT count(*) FROM pg_inherits WHERE inhparent = 'maru.done'::regclass")
    end
    assert.is_true(server.wait_for(function() return partitions() == "7" end))
    -- One that is over goes.
    database:sql("CREATE TABLE maru.done_1 PARTITION OF maru.done FOR VALUES FROM (21600000000000) TO (43200000000000)")
    assert.is_true(server.wait_for(function()
      database:sql("SELECT maru.upkeep(1000000000, 65536)")
      return partitions() == "7"
    end))
    assert.equal("0", database:sql("SELECT count(*) FROM pg_class c WHERE relname ~ '^done_[0-9]+$'"
      .. " AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid)"))
  end)
end)
