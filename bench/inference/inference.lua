--- inference.lua [--json] [--seconds N] [--sockets N]: series of 100 points submitted to maru, with its embedded
--- defaults and on PostgreSQL, Redis and Kafka (librdkafka's mock), and to the seed's stack (FastAPI, Celery, PyTorch)
--- on the same servers: as the seed's document draws it (nginx before it, results in Redis, events for Flower; but not
--- Elasticsearch) and without those three. A rate is of all that was taken in and computed, from the first submission
--- to the last result.
package.path = "./?.lua;" .. package.path
local cjson = require("cjson")
local kafka = require("spec.support.kafka")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")

local json, seconds, sockets = false, 10, 10000
for i, word in ipairs(arg) do
  if word == "--json" then
    json = true
  elseif word == "--seconds" then
    seconds = tonumber(arg[i + 1])
  elseif word == "--sockets" then
    sockets = tonumber(arg[i + 1])
  end
end

local PYTHON = "/usr/bin/python3" -- Debian's, which has Debian's packages
local NEEDS = { "torch", "numpy", "celery", "redis", "psycopg2", "confluent_kafka", "fastapi", "uvicorn", "uvloop",
  "httptools" }
local AT_ONCE = 128
-- Redis as its image comes: the seed's is a cache and a broker, maru's a cache and channels.
local REDIS = "--appendonly no --save 3600 1 300 100 60 10000"
local ITEMS, REQUESTS = 32, 4 -- of one request of the route that takes several, which the seed has not; so many at once

local function check_needs()
  if select(2, server.shell("command -v nginx")) ~= 0 then
    io.stderr:write("bench inference: the peer needs Debian's nginx: apt-get install nginx-light\n")
    os.exit(2)
  end
  for _, name in ipairs(NEEDS) do
    local _, status = server.shell(("%s -c 'import %s'"):format(PYTHON, name))
    if status ~= 0 then
      io.stderr:write("bench inference: the peer needs Debian's python3-" .. name .. ": apt-get install python3-"
        .. table.concat(NEEDS, " python3-") .. "\n")
      os.exit(2)
    end
  end
end

-- CPU seconds of processes and what they started.
local function cpu(pids)
  local children, own = {}, {}
  for line in server.shell("cat /proc/[0-9]*/stat 2>/dev/null"):gmatch("[^\n]+") do
    local pid, rest = line:match("^(%d+) %(.*%) (.*)$")
    local words = {}
    for word in (rest or ""):gmatch("%S+") do
      words[#words + 1] = word
    end
    if pid then
      own[pid] = (words[12] + words[13] + words[14] + words[15]) / 100
      children[words[2]] = children[words[2]] or {}
      table.insert(children[words[2]], pid)
    end
  end
  local function of(pid)
    local sum = own[pid] or 0
    for _, child in ipairs(children[pid] or {}) do
      sum = sum + of(child)
    end
    return sum
  end
  local sum = 0
  for _, pid in ipairs(pids) do
    sum = sum + of(tostring(pid))
  end
  return sum
end

-- One system: url, pids, done() -> how many have a result, finished(ids) -> when each had it.

local function wait_done(system, count)
  local before, since = -1, socket.gettime()
  while true do
    local now = system.done()
    if now >= count then
      return
    end
    if now > before then
      before, since = now, socket.gettime()
    end
    assert(socket.gettime() - since < 60,
      ("%s: %d of %d have a result, and no more come"):format(system.name, now, count))
    socket.sleep(0.02)
  end
end

-- items: of each request, to the route that takes several; nil: one by one.
local function flood(system, model, items)
  local already, burned, begun = system.done(), cpu(system.pids), socket.gettime()
  local out = server.shell(("MODEL=%s ITEMS=%d wrk -t1 -c%d -d%ds -s bench/inference/submit.lua %s%s 2>&1"):format(
    model, items or 0, items and REQUESTS or AT_ONCE, seconds, system.url,
    items and "/api/v1/inference/batch" or "/api/v1/inference/submit"))
  local taken = (tonumber(out:match("(%d+) requests in")) or error(out)) * (items or 1)
  assert(not out:find("Non%-2xx"), out)
  -- wrk leaves what is under way at its end; those may be taken in too.
  wait_done(system, already + taken)
  local count = system.done() - already
  local spent = socket.gettime() - begun
  return count / spent, (cpu(system.pids) - burned) / count * 1e6
end

-- One connection, so many a second: when each was sent and its id.
local function paced(system, model, rate, count)
  local host, port = system.url:match("//([^:/]+):(%d+)")
  local stream = assert(socket.connect(host, tonumber(port)))
  local points = {}
  for t = 1, 100 do
    points[t] = ("%.3f"):format(50 + 10 * math.sin(t / 24 * 2 * math.pi))
  end
  local body = ('{"model_name":"%s","data":[%s],"metadata":{}}'):format(model, table.concat(points, ","))
  local request = ("POST /api/v1/inference/submit HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    .. "Content-Length: %d\r\n\r\n%s"):format(#body, body)
  local sent, begun = {}, socket.gettime()
  for i = 1, count do
    socket.sleep(math.max(0, begun + i / rate - socket.gettime()))
    local at = socket.gettime()
    stream:send(request)
    local length
    repeat
      local line = assert(stream:receive("*l"))
      length = tonumber(line:lower():match("^content%-length: (%d+)")) or length
    until line == ""
    local answer = assert(stream:receive(length))
    sent[tostring(assert(cjson.decode(answer).id, answer))] = at
  end
  stream:close()
  return sent
end

-- What a load before this one left under way ends meanwhile, too: it is not counted, each has to be found.
local function latency(system, model, rate, count)
  local already = system.done()
  local sent = paced(system, model, rate, count)
  wait_done(system, already + count)
  local took
  assert(server.wait_for(function()
    took = {}
    for id, at in pairs(system.finished()) do
      if sent[id] then
        took[#took + 1] = (at - sent[id]) * 1e3
      end
    end
    return #took == count
  end), ("%s: %d of %d results are told"):format(system.name, #took, count))
  table.sort(took)
  return took[math.ceil(count / 2)], took[math.ceil(count * 0.99)]
end

-- ---- the systems ----

-- "2026-11-22T01:02:03.456Z" -> seconds since 1970
local function seconds_of(text)
  local year, month, day, hour, minute, second = text:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z$")
  return os.time({ year = year, month = month, day = day, hour = hour, min = minute, sec = 0 }) + tonumber(second)
end

local function maru(name, set, pids)
  local plugins = server.make_dir()
  server.shell("cp -r plugins/inference " .. plugins)
  local node = server.start({ set = set, plugins_path = plugins, env = { TZ = "UTC" } })
  local self = { name = name, url = node.url, pids = { node.pid, unpack(pids or {}) }, node = node }
  function self.done()
    local found = node:get("/api/v1/inference/statistics?minutes=120").json
    return found.completed + found.failed
  end
  function self.finished()
    local found, cursor = {}, nil
    repeat
      local page = node:get("/api/v1/inference/results?limit=200" .. (cursor and "&cursor=" .. cursor or "")).json
      for _, result in ipairs(page.results) do
        found[tostring(result.id)] = seconds_of(result.finished_at)
      end
      cursor = page.next ~= cjson.null and page.next or nil
    until not cursor
    return found
  end
  function self.stop()
    node:stop()
    server.shell("rm -rf " .. plugins)
  end
  return self
end

-- What the seed's document puts before its server, with connections kept open.
local NGINX = [[
daemon off; worker_processes 2; pid %DIR%/pid; error_log %DIR%/log;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path %DIR%/body; proxy_temp_path %DIR%/proxy; fastcgi_temp_path %DIR%/fastcgi;
  uwsgi_temp_path %DIR%/uwsgi; scgi_temp_path %DIR%/scgi;
  upstream seed { server 127.0.0.1:%TO%; keepalive 256; }
  server {
    listen 127.0.0.1:%PORT%;
    location / { proxy_pass http://seed; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
]]

-- drawn: as the seed's document draws it.
local function seed(database, cache, cluster, pids, drawn)
  database:sql("drop table if exists inference_results; create table inference_results(id text primary key, "
    .. "model_name text, result text, begun float8, finished float8)")
  local environment = ("SEED_DATABASE='%s' SEED_REDIS='%s' SEED_KAFKA='%s' SEED_RESULTS='%s'"):format(database.url,
    cache.url, cluster.url, drawn and cache.url:gsub("/0$", "/2") or "")
  local port, dir = server.free_port(), server.make_dir()
  local started = {}
  local function start(command)
    started[#started + 1] = tonumber(server.shell(("cd bench/inference/seed && %s exec %s >>%s/log 2>&1 & echo $!")
      :format(environment, command, dir)):match("%d+"))
  end
  start(("%s -m uvicorn app:app --host 127.0.0.1 --port %d --workers 2 --loop uvloop --http httptools "
    .. "--no-access-log --log-level warning"):format(PYTHON, port))
  start(PYTHON .. " -m celery -A worker worker -Q inference -c 2 --loglevel warning" .. (drawn and " -E" or ""))
  if drawn then
    local front = server.free_port()
    server.write_file(dir .. "/nginx.conf", (NGINX:gsub("%%(%u+)%%", { DIR = dir, TO = port, PORT = front })))
    start("nginx -c " .. dir .. "/nginx.conf -e " .. dir .. "/log")
    port = front
  end
  local self = { name = "seed", url = "http://127.0.0.1:" .. port, pids = { unpack(started) } }
  for _, pid in ipairs(pids) do
    table.insert(self.pids, pid)
  end
  function self.done()
    return tonumber((database:sql("select count(*) from inference_results")))
  end
  function self.finished()
    local found = {}
    for id, at in database:sql("select id, finished from inference_results"):gmatch("([^|\n]+)|([%d.]+)") do
      found[id] = tonumber(at)
    end
    return found
  end
  function self.stop()
    server.shell("kill " .. table.concat(started, " "))
    server.wait_for(function()
      for _, pid in ipairs(started) do
        if server.alive(pid) then
          return false
        end
      end
      return true
    end, 20)
    server.shell("rm -rf " .. dir)
  end
  assert(server.wait_for(function()
    local _, status = require("socket.http").request(self.url .. "/openapi.json")
    return status == 200
  end, 30), server.read_file(dir .. "/log"))
  return self
end

-- ---- what is told ----

local MODELS = { "moving_average", "lstm_timeseries" }

local function measure(system, rate)
  local found = {}
  for _, model in ipairs(MODELS) do
    local p50, p99 = latency(system, model, rate, 300)
    local per_second, cpu_us = flood(system, model)
    found[model] = { per_second = per_second, cpu_us = cpu_us, p50 = p50, p99 = p99 }
    if system.node then
      found[model].several, found[model].several_us = flood(system, model, ITEMS)
    end
  end
  return found
end

local UNITS = { per_second = "1/s", cpu_us = "us", p50 = "ms", p99 = "ms" }
local DRAWN, BARE = "the seed's stack as drawn", "the seed's stack, bare"

local function tell_json(name, model, a, peer, b)
  for key, unit in pairs(UNITS) do
    local ratio = key == "per_second" and a[key] / b[key] or b[key] / a[key]
    print(cjson.encode({ group = "inference", name = ("%s %s %s"):format(name, model, key), value = a[key], unit = unit,
      peer = peer, peer_value = b[key], ratio = ratio, runs = 1 }))
  end
  print(cjson.encode({ group = "inference", name = ("%s %s %d a request"):format(name, model, ITEMS), value = a.several,
    unit = "1/s", peer = peer .. ", one a request", peer_value = b.per_second, ratio = a.several / b.per_second,
    runs = 1 }))
end

local function line_of(name, model, found)
  return ("%-22s %-16s %9.0f/s %7.0f us CPU a job   submit to result p50 %6.2f p99 %6.2f ms"):format(name, model,
    found.per_second, found.cpu_us, found.p50, found.p99)
end

local function tell(name, mine, drawn, bare)
  for _, model in ipairs(MODELS) do
    local a, b, c = mine[model], drawn[model], bare[model]
    if json then
      tell_json(name, model, a, DRAWN, b)
      tell_json(name, model, a, BARE, c)
    else
      print(line_of(name, model, a) .. ("   x %.1f of the seed, x %.1f of it bare"):format(
        a.per_second / b.per_second, a.per_second / c.per_second))
      print(("%-22s %-16s %9.0f/s %7.0f us CPU a job, %d in each request   x %.1f, x %.1f"):format(name, model,
        a.several, a.several_us, ITEMS, a.several / b.per_second, a.several / c.per_second))
    end
  end
end

local function tell_seed(name, found)
  for _, model in ipairs(MODELS) do
    if not json then
      print(line_of(name, model, found[model]))
    end
  end
end

local function crowd(system, name)
  local burned, port = cpu(system.pids), system.url:match(":(%d+)")
  local out, status = server.shell(("%s bench/inference/sockets.py %s /api/v1/dashboard/ws %d %d"):format(PYTHON, port,
    sockets, seconds))
  assert(status == 0, out)
  local seen, spent = cjson.decode(out), cpu(system.pids) - burned
  if json then
    print(cjson.encode({ group = "inference", name = name .. " sockets", value = seen.messages / seen.seconds,
      unit = "1/s", runs = 1, sockets = seen.sockets, late_p99_ms = seen.late_p99_ms }))
  else
    print(("%-22s %d sockets, %d updates: %d messages, %.1f MB, had one p50 %.0f p99 %.0f ms after the first; "
      .. "%.2f s CPU in %d s"):format(name, seen.sockets, seen.updates, seen.messages, seen.bytes / 1e6,
        seen.late_p50_ms, seen.late_p99_ms, spent, seen.seconds))
  end
end

check_needs()
local database, cache, cluster = postgres.start(), redis.start(REDIS), kafka.start(1)
local peers = { database.pid, cache.pid, cluster.pid }
local running
local ok, why = xpcall(function()
  running = seed(database, cache, cluster, peers, true)
  local drawn = measure(running, 20)
  running.stop()
  tell_seed("the seed as drawn", drawn)
  running = seed(database, cache, cluster, peers)
  local bare = measure(running, 20)
  running.stop()
  tell_seed("the seed bare", bare)
  running = maru("embedded", {})
  tell("maru embedded", measure(running, 200), drawn, bare)
  crowd(running, "maru embedded")
  running.stop()
  running = maru("servers", { "store.driver=postgres", "store.url=" .. database.url, "jobs.driver=postgres",
    "jobs.url=" .. database.url, "cache.driver=redis", "cache.url=" .. cache.url, "channels.driver=redis",
    "events.driver=kafka", "events.url=" .. cluster.url }, peers)
  tell("maru on servers", measure(running, 200), drawn, bare)
  crowd(running, "maru on servers")
end, debug.traceback)
if running then
  running.stop()
end
cluster:stop()
cache:stop()
database:drop()
assert(ok, why)
