--- drivers.lua [--json] [--seconds N]: one lane of maru asking PostgreSQL and Redis from Lua, beside pgbench and
--- redis-benchmark at the same concurrency on the same servers, one after the other.
package.path = "./?.lua;" .. package.path
local cjson = require("cjson")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local json, seconds = false, 3
for i, word in ipairs(arg) do
  if word == "--json" then
    json = true
  elseif word == "--seconds" then
    seconds = tonumber(arg[i + 1])
  end
end

local PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"
local SCRIPTS = {
  select = "\\set id random(1,100000)\nSELECT ts, channel_id, viewers FROM pgbench_point WHERE id = :id;\n",
  insert = "\\set c random(1,10000)\n\\set v random(1,50000)\n"
    .. "INSERT INTO pgbench_entry(channel_id, viewers) VALUES (:c, :v);\n",
}
local POINT = "(id bigint primary key, ts bigint, channel_id bigint, viewers bigint)"
local ENTRY = "(id bigserial primary key, channel_id bigint, viewers bigint)"

local function pgbench(database, what, at_once)
  local file = database.dir .. "/" .. what .. ".sql"
  server.write_file(file, SCRIPTS[what])
  local out = server.shell(("%s -n -M prepared -c %d -j 1 -T %d -f %s '%s'"):format(PGBENCH, at_once, seconds, file,
    database.url))
  return tonumber(out:match("tps = ([%d.]+)")) or error(out)
end

local function redis_benchmark(cache, what, at_once)
  local out = server.shell(("redis-benchmark -p %d -t %s -c %d -n %d -r 100000 -d 64 --csv"):format(cache.port, what,
    at_once, 100000 * seconds))
  return tonumber(out:match('"' .. what:upper() .. '","([%d.]+)"')) or error(out)
end

local function cpu_seconds(pid)
  local utime, stime = server.read_file("/proc/" .. pid .. "/stat"):match("%) %a" .. (" %S+"):rep(10)
    .. " (%d+) (%d+)")
  return (tonumber(utime) + tonumber(stime)) / 100
end

local function ask(maru, what, at_once)
  local before = cpu_seconds(maru:server_pid())
  local answer = maru:post("/ask", { what = what, at_once = at_once, seconds = seconds })
  assert(answer.status == 200 and answer.json.failed == 0, answer.body)
  return answer.json.asked / seconds, (cpu_seconds(maru:server_pid()) - before) / answer.json.asked * 1e6
end

local function beside(maru, what, at_once, peer, theirs)
  local mine, cpu = ask(maru, what, at_once)
  if json then
    print(cjson.encode({ group = "drivers", name = ("%s x%d"):format(what, at_once), value = mine, unit = "1/s",
      peer = peer, peer_value = theirs, ratio = mine / theirs, runs = 1, cpu_us = cpu }))
  else
    print(("%-10s %6d %12.0f %10.1f %12.0f  %5.2f  %s"):format(what, at_once, mine, cpu, theirs, mine / theirs, peer))
  end
end

local database, cache = postgres.start(), redis.start("--appendonly no")
database:sql(("create table pgbench_point %s; create table pgbench_entry %s;"):format(POINT, ENTRY)
  .. "insert into pgbench_point select i, i, i % 10000, i % 50000 from generate_series(1, 100000) i; analyze;")
local maru = server.start({ plugins = { bench = { ["plugin.lua"] = server.read_file("bench/drivers/plugin.lua"),
  ["migrations/0001_tables.sql"] = ("create table bench_point %s;\n-- sqlite:\ncreate table bench_entry"
    .. "(id integer primary key, channel_id bigint, viewers bigint);\n-- postgres:\ncreate table bench_entry %s;\n")
    :format(POINT, ENTRY) } }, set = { "lanes.web=1", "lanes.job=1", "log.level=warn", "store.driver=postgres",
    "store.url=" .. database.url, "store.pool=16", "cache.driver=redis", "cache.url=" .. cache.url } })
local ok, why = pcall(function()
  local filled = maru:post("/fill", {})
  assert(filled.status == 200, filled.body)
  if not json then
    print(("%-10s %6s %12s %10s %12s  %5s  %s"):format("", "tasks", "maru 1/s", "CPU us", "peer 1/s", "ratio", "peer"))
  end
  for _, at_once in ipairs({ 1, 16, 64, 256 }) do
    for _, what in ipairs({ "select", "insert" }) do
      if at_once <= 64 then
        beside(maru, what, at_once, "pgbench", pgbench(database, what, at_once))
      end
    end
    for _, what in ipairs({ "get", "set" }) do
      beside(maru, what, at_once, "redis-benchmark", redis_benchmark(cache, what, at_once))
    end
  end
end)
maru:stop()
database:drop()
cache:stop()
assert(ok, why)
