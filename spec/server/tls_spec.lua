--- PostgreSQL and Redis that take only TLS, as those do that others run.
local certificates = require("spec.support.certificates")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local PLUGINS = {
  work = {
    ["migrations/0001_notes.sql"] = "create table notes(id bigint primary key);",
    ["plugin.lua"] = [[
local M = { name = "work", version = "1.0.0" }
M.jobs = { note = function(app, job)
  assert(app.cache:set("note:" .. job.args.id, "kept", "10m"))
  assert(app.store:exec("insert into notes(id) values ($1) on conflict do nothing", job.args.id))
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
  ["GET /notes"] = function(app)
    local rows, message = app.store:all("select id from notes order by id")
    return rows and 200 or 503, { notes = rows, message = message }
  end,
  ["GET /cached/{id}"] = function(app, req)
    return 200, { value = app.cache:get("note:" .. req.params.id) }
  end,
}
return M
]],
  },
}

describe("servers that take only TLS", function()
  local made

  setup(function()
    made = certificates.make()
  end)

  teardown(function()
    made:drop()
  end)

  --- Both ways into the queue, and what the job left.
  local function works(maru)
    for id, route in ipairs({ "/push", "/push_in_tx" }) do
      local answer = maru:post(route, { id = id })
      assert.equal(202, answer.status, answer.body)
    end
    assert.is_truthy(server.wait_for(function()
      local answer = maru:get("/notes")
      assert.equal(200, answer.status, answer.body)
      return #answer.json.notes == 2
    end), maru:logs())
    assert.equal("kept", maru:get("/cached/1").json.value)
    assert.equal(200, maru:get("/readyz").status)
  end

  describe("PostgreSQL", function()
    local database

    setup(function()
      database = postgres.start_tls(made)
    end)

    teardown(function()
      database:drop()
    end)

    local function options(rest)
      local url = database.url .. rest
      return { plugins = PLUGINS, set = { "store.driver=postgres", "store.url=" .. url, "jobs.driver=postgres",
        "jobs.url=" .. url, "series.driver=postgres", "series.url=" .. url, "cache.driver=memory" } }
    end

    it("is checked and used by store and queue", function()
      local maru = server.start(options("?sslmode=verify-full&sslrootcert=" .. made.ca))
      works(maru)
      assert.equal("0", database:sql("select count(*) from pg_stat_ssl join pg_stat_activity using (pid)"
        .. " where not ssl and application_name like 'maru%'"))
      assert.is_true(tonumber(database:sql("select count(*) from pg_stat_ssl where ssl")) > 3)
      maru:stop()
    end)

    it("is not believed when another authority vouches for it", function()
      local maru, log = server.try_start(options("?sslmode=verify-full&sslrootcert=" .. made.stranger))
      assert.is_nil(maru)
      assert.matches("certificate verify failed", log)
      assert.equal("0", database:sql("select count(*) from pg_stat_activity where application_name like 'maru%'"))
    end)
  end)

  describe("Redis", function()
    local db

    setup(function()
      db = redis.start("", made)
    end)

    teardown(function()
      db:stop()
    end)

    before_each(function()
      db:call("FLUSHALL")
    end)

    --- kinds: of drivers that get its address.
    local function options(rest, kinds)
      local set = {}
      for kind, other in pairs({ store = "sqlite", jobs = "sqlite", cache = "memory", channels = "memory" }) do
        local is_there = kinds:find(kind, 1, true)
        set[#set + 1] = kind .. ".driver=" .. (is_there and "redis" or other)
        set[#set + 1] = is_there and kind .. ".url=" .. db.url .. rest or nil
      end
      return { plugins = PLUGINS, set = set }
    end

    local function client()
      return "&ssl_certfile=" .. made.cert .. "&ssl_keyfile=" .. made.key
    end

    it("is checked and used by cache, channels and queue, with a certificate of the client's", function()
      local maru = server.start(options("?ssl_ca_certs=" .. made.ca .. client(), "jobs cache channels"))
      works(maru)
      maru:stop()
    end)

    it("is found again when it was killed", function()
      local maru = server.start(options("?ssl_ca_certs=" .. made.ca .. client(), "jobs cache channels"))
      db:kill()
      assert.equal(503, server.wait_for(function()
        local answer = maru:post("/push", { id = 1 })
        return answer.status ~= 202 and answer.status
      end))
      db:again()
      assert.is_truthy(server.wait_for(function()
        return maru:get("/readyz").status == 200
      end), maru:logs())
      works(maru)
      maru:stop()
    end)

    for what, case in pairs({
      ["is not believed when another authority vouches for it"] = { "stranger", true, "certificate" },
      ["refuses who shows no certificate"] = { "ca", false, "TLS" },
      ["is not asked with an authority that cannot be read"] = { "missing", true, "authorities" },
    }) do
      it(what, function()
        local file = made[case[1]] or made.dir .. "/" .. case[1]
        local maru, log = server.try_start(options("?ssl_ca_certs=" .. file .. (case[2] and client() or ""), "jobs"))
        assert.is_nil(maru)
        assert.matches("redis: TLS: ", log)
        assert.matches(case[3], log)
      end)
    end
  end)
end)
