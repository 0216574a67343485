--- Questions in SQL that an operator writes: the same answers and the same refusals from DuckDB, from
--- PostgreSQL, and (for app.store) from SQLite; never more than the plugin's own, never without end.
local cjson = require("cjson")
local contract = require("spec.support.contract")
local duckdb = require("spec.support.duckdb")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")
local socket = require("socket")

local PLUGIN = { ["plugin.lua"] = [==[
local M = { name = "m", version = "1.0.0" }
M.series = { views = { keys = { "platform", "channel" }, values = { "viewers" }, retention = "90d" },
  other_one = { keys = { "k" }, values = { "v" } } }
M.limits = { memory = "256M", task = "70s" }
M.routes = {
  ["POST /fill"] = function(app)
    local rows = {}
    for i = 1, 600 do
      rows[i] = { at = 1700000000 + i * 60, platform = i % 2 == 0 and "a" or "ㄴ", channel = "c" .. i % 5,
        viewers = i % 7 ~= 0 and i / 4 or nil }
    end
    assert(app.series:append("views", rows))
    assert(app.store:many("insert into events(id, title, score, at) values ($1, $2, $3, $4)",
      { { 1, "첫째", 1.5, 1700000000 }, { 2, "b", nil, 1700000060 }, { 3, "c", 3, 1700000120 } }))
    return 200, {}
  end,
  ["POST /query"] = { timeout = "65s", function(app, req)
    local body = req:json()
    local ok, answer, message, code = pcall(app[body.of].query, app[body.of], body.sql, body.options)
    if not ok then return 200, { raised = answer } end
    return 200, { answer = answer or nil, message = message, code = code }
  end },
  ["POST /parquet"] = function(app, req)
    local bytes, message = app.series:parquet(req:json())
    if not bytes then return 500, { message = message } end
    return 200, bytes, { ["content-type"] = "application/vnd.apache.parquet" }
  end,
}
return M
]==],
  ["migrations/0001_events.sql"] = "create table events(id bigint, title text, score double precision, at bigint);" }

local OTHER = { ["plugin.lua"] = [==[
return { name = "other", version = "1.0.0", series = { secret = { keys = { "k" }, values = { "v" } } }, routes = {
  ["POST /hide"] = function(app)
    assert(app.series:append("secret", { { at = 1, k = "hidden", v = 1 } }))
    return 200, {}
  end } }
]==], ["migrations/0001_hidden.sql"] = "create table hidden(k text);" }

local DRIVERS = {
  { name = "duckdb" },
  { name = "postgres", open = function()
    local database = postgres.start("-c standard_conforming_strings=off")
    return { database = database, settings = { "series.driver=postgres", "series.url=" .. database.url },
      close = function() database:drop() end }
  end },
}

local STORES = {
  { name = "SQLite" },
  { name = "PostgreSQL", open = function()
    local database = postgres.start()
    return { settings = { "store.driver=postgres", "store.url=" .. database.url, "series.driver=postgres" },
      close = function() database:drop() end }
  end },
}

local OPTIONS = { plugins = { m = PLUGIN, other = OTHER } }

-- What reaches further than the plugin's own tables, changes something, or waits.
local REFUSED = {
  "select * from other__secret", "select * from secret", "select * from main.other__secret",
    "select * from \"m__views\"",
  "select * from main.m__views", "select * from maru_series.m__views", "select * from maru_series.\"other__secret\"",
  "select * from \"maru_series\" . other__secret", "select * from postgres.maru_series.other__secret",
    "table other__secret",
  "select * from views, other__secret", "select (select count(*) from other__secret)",
  "with x as (select * from other__secret) select * from x",
  "select (with other__secret as (select 1) select 1), * from other__secret",
  "select * from read_csv('/etc/passwd')", "select * from read_text('/etc/passwd')", "select * from '/etc/passwd'",
  "from '/etc/passwd'", "select * from \"/etc/passwd\"", "select * from glob('/*')", "select * from read_parquet('x')",
  "select pg_read_file('/etc/passwd')", "select pg_sleep(9)", "select pg_catalog.pg_sleep(9)", "select \"pg_sleep\"(9)",
  "select pg_ls_dir('/')", "select lo_import('/etc/passwd')", "select dblink('x', 'y')",
  "select query_to_xml('select 1', true, true, '')", "select * from query('select * from other__secret')",
  "select * from query_table('other__secret')", "select * from histogram('other__secret', k)",
  "select * from histogram_values('other__secret', k)", "select set_config('role', 'none', false)",
  "select h.* from views, lateral histogram('other__secret', k) h",
  "select current_setting('data_directory')", "select getenv('PATH')", "select nextval('maru_series.batch')",
  "select 'maru_series.other__secret'::regclass", "select getvariable('x')",
  "select * from duckdb_tables", "select * from duckdb_tables()", "select * from duckdb_settings()",
  "select * from sqlite_master", "select * from pragma_table_info('m__views')", "select * from pg_class",
  "select * from pg_catalog.pg_class", "select * from information_schema.tables", "select * from pg_stat_activity",
  "select (with sqlite_master as (select 1) select 1), * from sqlite_master",
  "select (with pg_class as (select 1) select 1), * from pg_class",
  "copy (select 1) to '/tmp/maru-query-spec'", "attach '/tmp/maru-query-spec.db'", "install httpfs", "load httpfs",
  "pragma version", "set threads = 1", "reset all", "call pragma_version()", "export database '/tmp/x'", "checkpoint",
  "create table x(a int)", "create temp table x as select 1", "drop table m__views",
    "alter table m__views add column x int",
  "delete from views", "update views set viewers = 1", "insert into views values (1)", "truncate maru_series.m__views",
  "with x as (delete from views returning *) select * from x",
    "with x as (insert into views values (1) returning 1) select 1",
  "select 1 into t", "select * from views for update", "vacuum", "begin", "do $$ begin end $$", "listen x",
    "prepare x as select 1",
  "select 1; select 2", "select 1; drop table m__views", ";", "", "   -- nothing", "describe views", "show tables",
  "explain analyze select 1", "summarize views", "select * from (show tables) q", "select * from (describe views) q",
  "select 1) q limit 5; drop table m__views; --", "select 1) q, maru_series.other__secret --", "select 1)", "(select 1",
  "select 1) union select * from (select 2", "select E'\\'', pg_sleep(9) --'", "select $$a$$, pg_sleep(9)",
  "select $x$ ' $x$ , pg_sleep(9) --'", "select /* /* */ ' */ , pg_sleep(9) --'", "select 'a", "select /* a",
  "select U&\"\\0070g_sleep\"(9)", "select `a`", "select operator(pg_catalog.+)(1, 1)",
    "select repeat('x', 1000000000)",
  "select replace('x', 'x', 'xx')", "select concat('a', 'a')",
  "select * from dblink('host=x', 'select 1') as t(a int)", "select xmlparse(document '<x/>')",
  "select * from generate_series(1, 3) with ordinality, pg_user", "values (pg_sleep(9))",
}

local function ask(node, of, sql, options)
  local answer = node:post("/query", { of = of, sql = sql, options = options })
  assert.equal(200, answer.status, answer.body)
  assert.is_nil(answer.json.raised, answer.json.raised)
  return answer.json.answer, answer.json.message, answer.json.code
end

local function rows(node, sql, options)
  local answer, message = ask(node, "series", sql, options)
  assert.is_truthy(answer, message)
  return answer.rows, answer
end

for _, driver in ipairs(DRIVERS) do
  describe("a question in SQL to " .. driver.name, function()
    local stage = contract.stage(driver, OPTIONS)
    local node

    lazy_setup(function()
      node = stage:node()
      assert.equal(200, node:post("/fill", {}).status)
      assert.equal(200, node:post("/hide", {}).status)
    end)

    it("is answered with its columns in order, their types, and NULL", function()
      local got, answer = rows(node, [[
        select "at", platform, viewers, viewers is null as missing, 7 as n, cast(null as double precision) as gap,
          cast("at" as date) as day
        from views where channel = 'c2' order by "at" limit 2;  -- the end]])
      assert.same({ "at", "platform", "viewers", "missing", "n", "gap", "day" }, answer.columns)
      assert.same({ "time", "text", "number", "boolean", "integer", "number", "text" }, answer.types)
      assert.same({ 1700000120, "a", 0.5, false, 7, cjson.null, "2023-11-14" }, got[1])
      assert.same({ 1700000420, "ㄴ", cjson.null, true, 7, cjson.null, "2023-11-14" }, got[2])
      assert.equal(2, answer.n)
      assert.is_false(answer.more)
    end)

    it("may group, join, window, and use common table expressions and equal names", function()
      assert.same({ { "a", 300, 258 }, { "ㄴ", 300, 257 } },
        rows(node, "select platform, count(*), count(viewers) from views group by 1 order by 1"))
      assert.same({ { 300 } }, rows(node, "select count(*) from views where platform = 'a'"))
      assert.same({ { 1, 1 } }, rows(node,
        "select x.a, y.a from (select 1 as a) x join (select 1 as a) y on x.a = y.a"))
      assert.same({ { 6 } }, rows(node,
        "with recursive t as (select 1 as n union all select n + 1 from t where n < 3) select sum(n) from t"))
      assert.same({ { 1 }, { 2 } }, rows(node,
        "with days as (select date_trunc('day', \"at\") as d from views group by 1)"
          .. " select row_number() over (order by d) from days"))
      assert.same({ { 24.75 } }, rows(node, "select max(viewers) from views where \"at\" < to_timestamp(1700006000)"))
    end)

    it("takes values", function()
      assert.same({ { 60 } }, rows(node, "select count(*) from views where channel = $1 and platform = $2",
        { params = { "c1", "a" } }))
      assert.same({ { 1, "x'y", true, 2.5 } }, rows(node, "select $1 + 0, $2 || '', $3, $4 * 1",
        { params = { 1, "x'y", true, 2.5 } }))
      local _, message, code = ask(node, "series", "select $1", {})
      assert.equal("sql", code)
      assert.matches("takes 1 values, got 0", message)
    end)

    it("says that there was more than its limit", function()
      local got, answer = rows(node, "select viewers from views order by \"at\"", { limit = 10 })
      assert.equal(10, #got)
      assert.is_true(answer.more)
      assert.is_false(select(2, rows(node, "select viewers from views", { limit = 600 })).more)
      assert.is_true(answer.seconds >= 0)
    end)

    it("says where it is wrong", function()
      local _, message, code = ask(node, "series", "select platform,\n  '한', viewerz\nfrom views")
      assert.equal("sql", code)
      assert.matches("^line 2 column 8: .*viewerz", message)
      _, message = ask(node, "series", "select platform\nfrm views x y")
      assert.matches("^line 2 column %d+: .*syntax error", message)
      _, message = ask(node, "series", "select nosuch(1) from views")
      assert.matches("^line 1 column 8: \"nosuch\" is not among the functions", message)
    end)

    it("reaches nothing but the plugin's own series", function()
      local before = rows(node, "select count(*) from views")
      for _, sql in ipairs(REFUSED) do
        local from = socket.gettime()
        local answer, message, code = ask(node, "series", sql)
        assert.is_true(answer == nil, sql .. " was answered: " .. cjson.encode(answer and answer.rows[1] or {}))
        assert.is_truthy(({ sql = true, forbidden = true, readonly = true, invalid = true })[code], sql .. ": "
          .. tostring(code))
        assert.is_not.matches("hidden", message)
        assert.is_true(socket.gettime() - from < 60, sql)
      end
      assert.same(before, rows(node, "select count(*) from views"))
      assert.same({ { 0 } }, rows(node, "select count(*) from other_one"))
      if driver.name == "postgres" then
        assert.equal("1", stage.backend.database:sql("select count(*) from maru_series.other__secret"))
      end
    end)

    it("has no escapes in its strings, whatever the server's setting", function()
      assert.same({ { "\\', pg_sleep(9) --" } }, rows(node, "select '\\'', pg_sleep(9) --'"))
    end)

    it("ends at its time-out, and when nobody waits for it", function()
      local endless = "select count(*) from generate_series(1, 200000000000) a"
      local _, message, code = ask(node, "series", endless, { timeout = "300ms" })
      assert.equal("timeout", code)
      assert.matches("took longer than 0.3 s", message)
      server.write_file(node.dir .. "/body", cjson.encode({ of = "series", sql = endless,
        options = { timeout = "60s" } }))
      server.shell(("curl -s -m 1 -H 'content-type: application/json' -d @%s/body %s/query"):format(node.dir, node.url))
      local from = socket.gettime()
      assert.same({ { 1 } }, rows(node, "select 1"))
      assert.is_true(socket.gettime() - from < 60)
    end)

    it("has bounds for bytes and rows", function()
      local _, message, code = ask(node, "series",
        "select string_agg(a.channel || b.channel || c.channel, '')"
          .. " from views a, views b, (select channel from views limit 20) c")
      assert.is_truthy(({ limit = true, memory = true, sql = true })[code], message)
      _, message, code = ask(node, "series", "select 'x'" .. ("||'x'"):rep(13))
      assert.equal("limit", code)
      assert.matches("|| at most twelve times", message, 1, true)
      assert.same({ { "xxx" } }, rows(node, "select 'x' || 'x' || 'x'"))
      assert.is_truthy(node:post("/query", { of = "series", sql = "select 1", options = { limit = 0 } }).json.raised)
      assert.is_truthy(node:post("/query", { of = "series", sql = "select 1", options = { limt = 1 } }).json.raised)
    end)

    if driver.name == "postgres" then
      it("brings no value over its bound into this process", function()
        local function peak()
          return tonumber(server.read_file("/proc/" .. node:server_pid() .. "/status"):match("VmHWM:%s*(%d+)"))
        end
        local before = peak()
        local _, message, code = ask(node, "series",
          ("select string_agg('%s', '') from generate_series(1, 200000) a"):format(("x"):rep(1000)))
        assert.equal("limit", code, message)
        assert.is_true(peak() - before < 120 * 1024, "it held " .. peak() - before .. " kB")
      end)
    end

    it("becomes a Parquet file", function()
      local _, answer = rows(node,
        "select \"at\", platform, viewers, viewers > 1 as b, 3 as n, 4 as n from views order by \"at\"")
      local file = node:post("/parquet", answer)
      assert.equal(200, file.status, file.body)
      assert.equal("PAR1", file.body:sub(1, 4))
      server.write_file(node.dir .. "/a.parquet", file.body)
      local got = duckdb.query(
        ("select count(*), sum(viewers), max(epoch(\"at\")), sum(n), count(b) from '%s/a.parquet'")
        :format(node.dir))
      assert.same({ "600", "1700036000.0", "1800" }, { got[1][1], got[1][3], got[1][4] })
      assert.equal("7", duckdb.query(("select count(*) from parquet_schema('%s/a.parquet')"):format(node.dir))[1][1])
      assert.equal("0", (server.shell("ls -A " .. node.dir .. "/state/exports | grep -c parquet"):gsub("%s", "")))
    end)
  end)
end

for _, driver in ipairs(STORES) do
  describe("a question in SQL to the store in " .. driver.name, function()
    local stage = contract.stage(driver, OPTIONS)
    local node

    lazy_setup(function()
      node = stage:node()
      assert.equal(200, node:post("/fill", {}).status)
    end)

    it("is answered with its columns in order, and types that its values have", function()
      local answer, message = ask(node, "store",
        "select title, score, id, null as gap from events where id <= $1 order by id; ",
        { params = { 2 }, limit = 5 })
      assert.is_truthy(answer, message)
      assert.same({ "title", "score", "id", "gap" }, answer.columns)
      assert.same({ "text", "number", "integer", "text" }, answer.types)
      assert.same({ { "첫째", 1.5, 1, cjson.null }, { "b", cjson.null, 2, cjson.null } }, answer.rows)
      answer = ask(node, "store", "with e as (select * from events) select count(*) as n, max(score) from e")
      assert.same({ { 3, 3 } }, answer.rows)
      assert.is_true(ask(node, "store", "select * from events", { limit = 2 }).more)
    end)

    it("changes nothing and sees nothing of others", function()
      for _, sql in ipairs({ "delete from events", "select 1) q; delete from events; --", "select * from hidden",
        "select * from main.hidden", "select * from sqlite_master", "select * from maru_tables",
          "select load_extension('x')",
        "select * from pragma_table_info('events')", "with x as (select 1) delete from events",
          "select 1; delete from events",
        "insert into events(id) values (9) returning id", "attach 'x' as y", "select writefile('x', 'y')" }) do
        local answer, _, code = ask(node, "store", sql)
        assert.is_nil(answer, sql)
        assert.is_truthy(({ sql = true, forbidden = true, readonly = true })[code], sql .. ": " .. tostring(code))
      end
      assert.same({ { 3 } }, ask(node, "store", "select count(*) from events").rows)
    end)

    it("ends at its time-out", function()
      local _, _, code = ask(node, "store",
        "with recursive t as (select 1 as n union all select n + 1 from t) select count(*) from t",
          { timeout = "300ms" })
      assert.equal("timeout", code)
    end)
  end)
end
