--- PostgreSQL and Redis that take only TLS, as those do that others run.
local certificates = require("spec.support.certificates")
local notes = require("spec.support.notes")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

describe("servers that take only TLS", function()
  local made

  setup(function()
    made = certificates.make()
  end)

  teardown(function()
    made:drop()
  end)

  local function works(maru)
    notes.write(maru, 2)
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
      return { plugins = notes.plugins, set = { "store.driver=postgres", "store.url=" .. url, "jobs.driver=postgres",
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
      return { plugins = notes.plugins, set = set }
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
