--- What every driver of series has to do, through the real program, and that two of them answer alike.
---
--- A driver is a line of DRIVERS (spec/support/contract.lua).
local cjson = require("cjson")
local contract = require("spec.support.contract")
local duckdb = require("spec.support.duckdb")
local http = require("socket.http")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")
local socket = require("socket")

--- JSON in which every double is whole: cjson writes 14 digits.
local function json(value)
  if type(value) == "number" then
    return ("%.17g"):format(value)
  elseif type(value) ~= "table" then
    return cjson.encode(value)
  end
  local parts = {}
  if #value > 0 or next(value) == nil and getmetatable(value) == cjson.empty_array_mt then
    for i, item in ipairs(value) do
      parts[i] = json(item)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do
    parts[#parts + 1] = cjson.encode(key) .. ":" .. json(item)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function ask(node, text)
  return node:request("/call", { method = "POST", body = text, headers = { ["content-type"] = "application/json" } })
end

local function plugin(values)
  return ([==[
local M = { name = "m", version = "1.0.0" }
M.limits = { memory = "512M", task = "10m" }
M.series = {
  views = { keys = { "platform", "channel" }, values = { %s }, retention = "90d" },
  level = { values = { "v" } },
  brief = { keys = { "k" }, values = { "v" }, retention = "2d" },
  kept = { keys = { "k" }, values = { "v" } },
  a_name_that_is_so_long_that_no_database_takes_it_whole = { keys = { "k" }, values = { "v" } },
  a_name_that_is_so_long_that_no_database_takes_it_whole_2 = { keys = { "k" }, values = { "v" } },
}
M.routes = {
  ["POST /call"] = { max_body = "64M", timeout = "60s", function(app, req)
    local body = req:json()
    local ok, answer, message, code = pcall(app.series[body.op], app.series, body.name, body.with)
    if not ok then return 200, { raised = answer } end
    if answer == nil then return 200, { message = message, code = code } end
    if body.text then return 200, { answer = tostring(answer[body.text][1]) } end
    return 200, { answer = answer }
  end },
  ["POST /bulk"] = { timeout = "10m", function(app, req)
    local body, seconds, sent = req:json(), 0, 0
    while sent < body.n do
      local rows = {}
      for i = 1, math.min(body.batch, body.n - sent) do
        local n = sent + i
        rows[i] = { at = body.from + n * body.step, k = "line " .. math.fmod(n, 500), v = n / 8 }
      end
      local from = app.now()
      assert(app.series:append("kept", rows))
      seconds, sent = seconds + app.now() - from, sent + #rows
    end
    return 200, { seconds = seconds }
  end },
  ["POST /many"] = { max_body = "64M", timeout = "60s", function(app, req)
    local body = req:json()
    local left, bad = body.tasks, nil
    for task = 1, body.tasks do
      app.spawn(function()
        for i = 1, body.batches do
          local rows = {}
          for k = 1, body.rows do
            rows[k] = { at = body.from + ((task * 7 + i) * body.rows + k) * body.step, k = body.who .. task, v = k }
          end
          local n, message = app.series:append(body.name, rows)
          bad = bad or (not n and message)
        end
        left = left - 1
      end)
    end
    while left > 0 do assert(app.sleep(0.005)) end
    return 200, { bad = bad or nil }
  end },
}
return M
]==]):format(values)
end

local TWO = '"viewers", "likes"'
local NOW = math.floor(os.time() / 3600) * 3600
local DAY = 86400

local DRIVERS = {
  {
    name = "duckdb",
    differs = {
      nodes = "one process has the file",
      partitions = "a file has none",
    },
  },
  {
    name = "postgres",
    open = function()
      local database = postgres.start()
      return {
        database = database,
        settings = { "series.driver=postgres", "series.url=" .. database.url },
        close = function()
          database:drop()
        end,
      }
    end,
    differs = {
      ["years before 4713 BC"] = "its timestamps begin there: the batch is refused, DuckDB takes it",
      ["sums over 1e308"] = "it calls them an error, DuckDB says infinity",
      ["order of adding up"] = "a mean or a sum of fractions may differ in the last bits",
    },
  },
}

local function call(node, op, name, with)
  local answer = ask(node, json({ op = op, name = name, with = with }))
  assert.equal(200, answer.status, answer.body)
  assert.is_nil(answer.json.raised)
  return answer.json.answer, answer.json.message, answer.json.code
end

local function append(node, name, rows)
  local n, message = call(node, "append", name, rows)
  assert.equal(#rows, n, message)
end

local OPTIONS = { plugins = { m = { ["plugin.lua"] = plugin(TWO) } }, set = { "series.upkeep=1d" } }

local A = { platform = "soop", channel = "ㄱ" }
local B = { platform = "chzzk", channel = "b'\"\\" }

local function point(line, at, viewers, likes)
  return { platform = line.platform, channel = line.channel, at = at, viewers = viewers, likes = likes }
end

for _, driver in ipairs(DRIVERS) do
  describe("series kept by " .. driver.name, function()
    local stage, case = contract.stage(driver, OPTIONS)
    local backend, node

    lazy_setup(function()
      node = stage:node()
      backend = stage.backend
    end)

    it("keep points in time order, then in order of arrival", function()
      append(node, "views", {
        point(A, NOW - 30, 3, 0.5), point(B, NOW - 60, 1), point(A, NOW - 30, 4), point(A, NOW - 90.000001, 2),
      })
      append(node, "views", { point(B, NOW - 30, 5) })
      local all = call(node, "window", "views")
      assert.same({ NOW - 90.000001, NOW - 60, NOW - 30, NOW - 30, NOW - 30 }, all.at)
      assert.same({ 2, 1, 3, 4, 5 }, all.viewers)
      assert.same({ cjson.null, cjson.null, 0.5, cjson.null, cjson.null }, all.likes)
      assert.same({ A.channel, B.channel, A.channel, A.channel, B.channel }, all.channel)
      assert.equal(5, all.n)
    end)

    it("give windows by line, time, number and limit", function()
      assert.same({ 2, 3, 4 }, call(node, "window", "views", { where = A }).viewers)
      assert.same({ 1, 3, 4 }, call(node, "window", "views", { from = NOW - 60, limit = 3 }).viewers)
      assert.same({ 2, 1 }, call(node, "window", "views", { to = NOW - 30 }).viewers)
      assert.same({ 3, 4 }, call(node, "window", "views", { where = A, last = 2 }).viewers)
      assert.same({ 1, 3, 4 }, call(node, "window", "views", { last = 2, limit = 3 }).viewers)
      assert.same({ 4, 5 }, call(node, "window", "views", { last = 1 }).viewers)
      assert.equal(0, call(node, "window", "views", { where = { platform = "x" } }).n)
    end)

    it("know the newest point of each line", function()
      local newest = call(node, "latest", "views")
      assert.same({ point(A, NOW - 30, 4), point(B, NOW - 30, 5) }, newest)
      assert.same({ point(A, NOW - 30, 4) }, call(node, "latest", "views", { where = A, since = NOW - 30 }))
      assert.same({}, call(node, "latest", "views", { since = NOW - 29 }))
      assert.same({ point(A, NOW - 30, 4) }, call(node, "latest", "views", { limit = 1 }))
    end)

    it("give a value a step, and how many points it stands for", function()
      local expected = { mean = { 2, 1, 3.5, 5 }, min = { 2, 1, 3, 5 }, max = { 2, 1, 4, 5 }, last = { 2, 1, 4, 5 },
        sum = { 2, 1, 7, 5 } }
      for agg, values in pairs(expected) do
        local steps = call(node, "downsample", "views", { step = 15, agg = agg })
        table.sort(values)
        local got = { unpack(steps.viewers) }
        table.sort(got)
        assert.same(values, got, agg)
      end
      local steps = call(node, "downsample", "views", { step = "1m", where = A, agg = "sum" })
      assert.same({ NOW - 120, NOW - 60 }, steps.at)
      assert.same({ 1, 2 }, steps.counts)
      assert.same({ 2, 7 }, steps.viewers)
      assert.same({ cjson.null, 0.5 }, steps.likes)
      assert.same({ NOW - 60, NOW - 60 }, call(node, "downsample", "views", { step = 60, from = NOW - 40 }).at)
    end)

    it("count steps down to their beginning before 1970 as well", function()
      append(node, "level", { { at = -1, v = 1 }, { at = 1, v = 3 }, { at = -61, v = 5 } })
      local steps = call(node, "downsample", "level", { step = 60, to = 100 })
      assert.same({ -120, -60, 0 }, steps.at)
      assert.same({ 5, 1, 3 }, steps.v)
    end)

    it("keep a series without keys as one line", function()
      assert.same({ { at = 1, v = 3 } }, call(node, "latest", "level"))
      assert.same({ points = 3, lines = 1, first = -61, last = 1 }, call(node, "stats", "level"))
      assert.same({ points = 0, lines = 0 }, call(node, "stats", "level", { from = 5 }))
    end)

    it("count points and lines", function()
      assert.same({ points = 5, lines = 2, first = NOW - 90.000001, last = NOW - 30 }, call(node, "stats", "views"))
      assert.same({ points = 2, lines = 1, first = NOW - 60, last = NOW - 30 },
        call(node, "stats", "views", { where = B }))
    end)

    it("keep every double and every text as it is", function()
      local values = { 5e-324, -0.1, 1.7976931348623157e308, 123456789.12345679, 2 ^ 53, -0.5 }
      local rows = {}
      for i, v in ipairs(values) do
        rows[i] = { at = NOW + i, k = "t\t\n\\N" .. i .. "'; drop table x; --", v = v }
      end
      append(node, "kept", rows)
      local all = call(node, "window", "kept", { from = NOW, to = NOW + 100 })
      for i, v in ipairs(values) do
        assert.equal(v, all.v[i])
        assert.equal(rows[i].k, all.k[i])
      end
    end)

    it("take a batch whole or not at all", function()
      local before = call(node, "stats", "kept").points
      local n, message, code = call(node, "append", "kept", { { at = NOW, k = "ok", v = 1 }, { at = NOW, k = "a\0b",
        v = 1 } })
      assert.is_nil(n)
      assert.equal("invalid", code)
      assert.matches("row 2: k must be UTF%-8 text without NUL", message)
      assert.equal(before, call(node, "stats", "kept").points)
      assert.equal(0, (call(node, "append", "kept", {})))
    end)

    it("refuse more points than asked for", function()
      local rows = {}
      for i = 1, 100001 do
        rows[i] = { at = NOW - DAY + i / 1000, k = "many", v = i }
      end
      append(node, "kept", rows)
      local _, message, code = call(node, "window", "kept", { where = { k = "many" } })
      assert.equal("limit", code)
      assert.matches("more than 100000 points", message)
      assert.equal(3, call(node, "window", "kept", { where = { k = "many" }, limit = 3 }).n)
    end)

    it("keep series apart whose names are too long to tell apart", function()
      local long = "a_name_that_is_so_long_that_no_database_takes_it_whole"
      append(node, long, { { at = NOW, k = "1", v = 1 } })
      append(node, long .. "_2", { { at = NOW, k = "2", v = 2 }, { at = NOW, k = "2", v = 2 } })
      assert.equal(1, call(node, "stats", long).points)
      assert.equal(2, call(node, "stats", long .. "_2").points)
    end)

    it("take points that are late or far ahead", function()
      append(node, "brief", {
        { at = NOW - 400 * DAY, k = "late", v = 1 }, { at = NOW, k = "now", v = 2 },
        { at = NOW + 4000 * DAY, k = "ahead", v = 3 }, { at = 200000000000, k = "year 8307", v = 4 },
      })
      local all = call(node, "window", "brief")
      assert.same({ 1, 2, 3, 4 }, all.v)
      assert.same({ "late", "now", "ahead", "year 8307" }, all.k)
      assert.equal(4, call(node, "stats", "brief").lines)
    end)

    case("take instants before 4713 BC", "years before 4713 BC", function()
      append(node, "level", { { at = -2.2e11, v = 1 } })
      assert.equal(1, call(node, "stats", "level", { to = -2.1e11 }).points)
    end)

    case("add up to infinity", "sums over 1e308", function()
      append(node, "kept", { { at = NOW, k = "huge", v = 1.5e308 }, { at = NOW, k = "huge", v = 1.5e308 } })
      local answer = ask(node, json({ op = "downsample", name = "kept", text = "v",
        with = { step = 60, agg = "sum", where = { k = "huge" } } }))
      assert.equal("inf", answer.json.answer)
    end)

    it("write a Parquet file of the points", function()
      local path = assert(call(node, "export", "views", { where = A }))
      local rows = duckdb.query(("select epoch(\"at\"), platform, channel, viewers, likes from '%s'"):format(path))
      assert.equal(3, #rows)
      assert.same({ "soop", A.channel, "2.0" }, { rows[1][2], rows[1][3], rows[1][4] })
      assert.same({ "3.0", "0.5" }, { rows[2][4], rows[2][5] })
      assert.equal("100001", duckdb.query(("select count(*) from '%s'"):format(
        call(node, "export", "kept", { where = { k = "many" } })))[1][1])
    end)

    it("drop what is older than the retention, and only that", function()
      local other = stage:node({ set = { "series.upkeep=200ms" } })
      append(other, "brief", { { at = NOW - 5 * DAY, k = "old", v = 1 }, { at = NOW - 47 * 3600, k = "young", v = 2 },
        { at = NOW - 49 * 3600 - 60, k = "just over", v = 3 } })
      append(other, "kept", { { at = NOW - 5000 * DAY, k = "kept", v = 1 } })
      local left
      server.wait_for(function()
        left = call(other, "window", "brief", { to = NOW - DAY })
        return left.n == 1
      end)
      assert.same({ "young" }, left.k)
      assert.equal(1, call(other, "stats", "kept", { where = { k = "kept" } }).points)
      append(other, "brief", { { at = NOW - 47 * 3600, k = "young", v = 3 } })
      other:stop()
    end)

    it("take many points at once (SERIES_ROWS)", function()
      local n, batch = tonumber(os.getenv("SERIES_ROWS")) or 20000, 100000
      local from = NOW - 300 * DAY
      http.TIMEOUT = 600
      local answer = node:post("/bulk", { n = n, batch = batch, from = from, step = 20 })
      http.TIMEOUT = 20
      assert.equal(200, answer.status, answer.body)
      assert.equal(n, call(node, "stats", "kept", { from = from + 1, to = from + n * 20 + 1 }).points)
      print(("# %s: %d rows appended in %.2f s: %.0f rows/s"):format(driver.name, n, answer.json.seconds,
        n / answer.json.seconds))
      if backend.database then
        local file = backend.database.dir .. "/rows.csv"
        local psql = "psql -X -q -d '" .. backend.database.url .. "' -c "
        local copied, status = server.shell(("touch %s; chmod 666 %s; %s \"\\copy (select at, _order, k, v from"
          .. " maru_series.m__kept where k like 'line %%') to %s\""):format(file, file, psql, file))
        assert.equal(0, status, copied)
        local began = socket.gettime()
        copied, status = server.shell(psql .. "\"\\copy maru_series.m__kept (at, _order, k, v) from " .. file .. "\"")
        local seconds = socket.gettime() - began
        assert.equal(0, status, copied)
        print(("# psql's \\copy of the same rows, at once: %.2f s, %.0f rows/s"):format(seconds, n / seconds))
        backend.database:sql("delete from maru_series.m__kept where k like 'line %'")
      end
    end)

    it("get a new value when the plugin declares one, and keep those it gives up", function()
      local path = node:plugin_path("m")
      server.write_file(path, plugin('"likes", "shares"'))
      assert.equal(0, select(2, node:command_output("reload m")))
      append(node, "views", { { at = NOW - 5, platform = "soop", channel = "new", likes = 1, shares = 2 } })
      local all = call(node, "window", "views", { from = NOW - 30 })
      assert.same({ cjson.null, cjson.null, cjson.null, 2 }, all.shares)
      assert.is_nil(all.viewers)
      server.write_file(path, plugin(TWO))
      assert.equal(0, select(2, node:command_output("reload m")))
      assert.same({ 3, 4, 5, cjson.null }, call(node, "window", "views", { from = NOW - 30 }).viewers)
    end)

    it("refuse other keys for a series that is there", function()
      server.write_file(node:plugin_path("m"), (plugin(TWO):gsub('keys = { "platform", "channel" }',
        'keys = { "platform" }')))
      local output, status = node:command_output("reload m")
      assert.not_equal(0, status)
      assert.matches("its keys differ from those it was made with", output)
      server.write_file(node:plugin_path("m"), plugin(TWO))
      assert.equal(0, select(2, node:command_output("reload m")))
    end)

    case("are written by several servers at once, whoever makes the partitions", "nodes", function()
      local nodes, pids = { stage:node(), stage:node(), stage:node() }, {}
      for i, each in ipairs(nodes) do
        local body = cjson.encode({ name = "brief", tasks = 6, batches = 10, rows = 5, from = NOW - 30 * 3600,
          step = 400,
          who = "n" .. i .. "-" })
        server.write_file(each.dir .. "/body", body)
        pids[i] = server.shell((
          "curl -sS -H 'content-type: application/json' -d @%s/body %s/many >%s/answer 2>&1 & echo $!")
          :format(each.dir, each.url, each.dir)):match("%d+")
      end
      for i, each in ipairs(nodes) do
        server.wait_for(function() return not server.alive(pids[i]) end)
        assert.equal("{}", server.read_file(each.dir .. "/answer"))
        for task = 1, 6 do
          assert.equal(50, call(node, "stats", "brief", { where = { k = "n" .. i .. "-" .. task } }).points)
        end
      end
      for _, each in ipairs(nodes) do
        each:stop()
      end
    end)

    case("lie in partitions that are there before their time", "partitions", function()
      local database = backend.database
      local function parts(name)
        return tonumber(database:sql(("select cardinality(maru_series.parts('m__%s'))"):format(name)))
      end
      local ahead = database:sql(
        "select max(maru_series.at(p)) > now() + interval '1 day' from unnest(maru_series.parts('m__brief')) p")
      assert.equal("t", ahead)
      assert.is_true(parts("brief") < 150 and parts("views") < 150, parts("brief"))
      assert.equal("2", database:sql("select count(*) from only maru_series.\"m__brief#rest\" where v in (3, 4)"))
    end)

    case("do not wait for who reads when old ones are dropped", "partitions", function()
      local database = backend.database
      append(node, "brief", { { at = NOW - 47 * 3600, k = "held", v = 1 } })
      local reader = server.shell((
        "psql -X -q -d '%s' -c 'begin; select count(*) from maru_series.m__brief; select pg_sleep(6)'"
        .. " >/dev/null 2>&1 & echo $!"):format(database.url)):match("%d+")
      server.wait_for(function()
        return database:sql("select count(*) from pg_stat_activity where query like '%pg_sleep(6)%'"
          .. " and wait_event = 'PgSleep'") ~= "0"
      end)
      local ok, message = pcall(database.sql, database,
        ("select maru_series.expire('m__brief', maru_series.at(%d000000))"):format(NOW - 20 * 3600))
      assert.is_false(ok)
      assert.matches("lock timeout", message)
      assert.equal(1, call(node, "stats", "brief", { where = { k = "held" } }).points)
      server.shell("kill " .. reader)
    end)

    case("get the functions of a newer maru", "partitions", function()
      local database = backend.database
      database:sql("comment on schema maru_series is 'series of maru, version 1';"
        .. " drop function maru_series.try_lock_tables")
      local other = stage:node()
      append(other, "brief", { { at = NOW, k = "after", v = 1 } })
      other:stop()
      assert.equal("1", database:sql("select count(*) from pg_proc where proname = 'try_lock_tables'"))
    end)

    case("move to their partition when it is made after them", "partitions", function()
      local database = backend.database
      local at = NOW + 4000 * DAY
      database:sql(("select maru_series.make_parts('m__brief', '{%d000000}')"):format(at))
      assert.equal("1", database:sql(("select count(*) from maru_series.\"m__brief#%s\""):format(os.date("!%Y%m%d%H",
        at))))
      assert.equal("1", database:sql("select count(*) from maru_series.\"m__brief#rest\" where v in (3, 4)"))
      assert.same({ "ahead" }, call(node, "window", "brief", { from = at, to = at + 1 }).k)
    end)
  end)
end

describe("series of two drivers", function()
  local SEED = tonumber(os.getenv("SERIES_SEED")) or os.time()
  local stages, nodes = {}, {}
  for i, driver in ipairs(DRIVERS) do
    stages[i] = contract.stage(driver, OPTIONS)
  end

  lazy_setup(function()
    for i, stage in ipairs(stages) do
      nodes[i] = stage:node()
    end
  end)

  --- Sums of sixty-fourths are exact, whatever the order: then every answer must be the same to the bit.
  local function value()
    return math.random() < 0.1 and nil or math.random(-1e6, 1e6) / 64
  end

  local function random_rows()
    local rows = {}
    for i = 1, math.random(1, 400) do
      local at = NOW - math.random(0, 20) * DAY / 4 - math.random(0, 300) * math.random(0, 1)
      rows[i] = point({ platform = ({ "a", "b", "ㅎ" })[math.random(3)], channel = "c" .. math.random(4) },
        at - math.random(0, 3) / 8, value(), value())
    end
    return rows
  end

  local function sometimes(p, make)
    return math.random() < p and make() or nil
  end

  local function random_question()
    local op = ({ "latest", "window", "downsample", "downsample", "stats" })[math.random(5)]
    local time = function() return NOW - math.random(0, 6 * DAY) end
    local with = {
      where = sometimes(0.6, function()
        return { platform = sometimes(0.7, function() return ({ "a", "b", "ㅎ", "none" })[math.random(4)] end),
          channel = sometimes(0.7, function() return "c" .. math.random(4) end) }
      end),
    }
    if op == "latest" then
      with.since = sometimes(0.5, time)
    else
      with.from, with.to = sometimes(0.5, time), sometimes(0.3, time)
    end
    if op == "window" then
      with.last = sometimes(0.4, function() return math.random(1, 30) end)
    elseif op == "downsample" then
      with.step = ({ 1, 60, 300, 3600, DAY, 7 * DAY, 0.001 })[math.random(7)]
      with.agg = ({ "mean", "min", "max", "last", "sum" })[math.random(5)]
    end
    if op ~= "stats" then
      with.limit = sometimes(0.3, function() return math.random(1, 200) end)
    end
    return op, with
  end

  it("answer the same questions with the same bits", function()
    math.randomseed(SEED)
    for round = 1, tonumber(os.getenv("SERIES_ROUNDS")) or 6 do
      local rows = random_rows()
      for _, node in ipairs(nodes) do
        append(node, "views", rows)
      end
      for _ = 1, 40 do
        local op, with = random_question()
        local text = json({ op = op, name = "views", with = with })
        local first, second = ask(nodes[1], text), ask(nodes[2], text)
        assert.equal(200, first.status, first.body)
        assert.same(first.json, second.json, ("seed %d, round %d: %s"):format(SEED, round, text))
      end
    end
  end)

  it("give means of fractions that differ in the last bits at most", function()
    local rows = {}
    for i = 1, 2000 do
      rows[i] = { at = NOW - i, k = "f", v = math.random() * 10 ^ math.random(-5, 5) }
    end
    local means = {}
    for i, node in ipairs(nodes) do
      append(node, "kept", rows)
      means[i] = call(node, "downsample", "kept", { step = "1d", where = { k = "f" } })
    end
    assert.same(means[1].counts, means[2].counts)
    for i, mean in ipairs(means[1].v) do
      assert.is_true(math.abs(mean - means[2].v[i]) <= 1e-12 * math.abs(mean))
    end
  end)
end)
