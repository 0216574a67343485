--- inference.lua [--json] [--seconds N] [--sockets N]: series of 100 points submitted to maru, with its embedded
--- defaults and on PostgreSQL, Redis and Kafka (librdkafka's mock), and to the seed's stack (FastAPI, Celery, PyTorch)
--- on the same servers. A rate is of all that was taken in and computed, from the first submission to the last result.
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
local AT_ONCE = 64
local ITEMS, REQUESTS = 32, 4 -- of one request of the route that takes several, which the seed has not; so many at once

local function check_needs()
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

local function latency(system, model, rate, count)
  local already = system.done()
  local sent = paced(system, model, rate, count)
  wait_done(system, already + count)
  local took = {}
  for id, at in pairs(system.finished()) do
    if sent[id] then
      took[#took + 1] = (at - sent[id]) * 1e3
    end
  end
  assert(#took == count, ("%s: %d of %d results are told"):format(system.name, #took, count))
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

local function seed(database, cache, cluster, pids)
  database:sql("create table inference_results(id text primary key, model_name text, result text, begun float8, "
    .. "finished float8)")
  local environment = ("SEED_DATABASE='%s' SEED_REDIS='%s' SEED_KAFKA='%s'"):format(database.url, cache.url,
    cluster.url)
  local port, log = server.free_port(), server.make_dir()
  local function start(command)
    return tonumber(server.shell(("cd bench/inference/seed && %s exec %s -m %s >>%s/log 2>&1 & echo $!")
      :format(environment, PYTHON, command, log)):match("%d+"))
  end
  local web = start(("uvicorn app:app --host 127.0.0.1 --port %d --workers 2 --loop uvloop --http httptools "
    .. "--no-access-log --log-level warning"):format(port))
  local worker = start("celery -A worker worker -Q inference -c 2 --loglevel warning")
  local self = { name = "seed", url = "http://127.0.0.1:" .. port, pids = { web, worker, unpack(pids) } }
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
    server.shell(("kill %d %d"):format(web, worker))
    server.wait_for(function() return not server.alive(web) and not server.alive(worker) end, 20)
    server.shell("rm -rf " .. log)
  end
  assert(server.wait_for(function()
    return socket.connect("127.0.0.1", port) ~= nil
  end, 30), server.read_file(log .. "/log"))
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

local function tell(name, mine, theirs)
  for _, model in ipairs(MODELS) do
    local a, b = mine[model], theirs[model]
    if json then
      for key, unit in pairs({ per_second = "1/s", cpu_us = "us", p50 = "ms", p99 = "ms" }) do
        local ratio = key == "per_second" and a[key] / b[key] or b[key] / a[key]
        print(cjson.encode({ group = "inference", name = ("%s %s %s"):format(name, model, key), value = a[key],
          unit = unit, peer = "FastAPI + Celery + PyTorch", peer_value = b[key], ratio = ratio, runs = 1 }))
      end
      print(cjson.encode({ group = "inference", name = ("%s %s %d a request"):format(name, model, ITEMS),
        value = a.several, unit = "1/s", peer = "FastAPI + Celery + PyTorch, one a request", peer_value = b.per_second,
        ratio = a.several / b.per_second, runs = 1 }))
    else
      print(("%-22s %-16s %9.0f/s x %-6.1f %7.0f us CPU a job (seed %6.0f)   submit to result p50 %6.2f p99 %6.2f ms "
        .. "(seed %6.2f, %6.2f)"):format(name, model, a.per_second, a.per_second / b.per_second, a.cpu_us, b.cpu_us,
          a.p50, a.p99, b.p50, b.p99))
      print(("%-22s %-16s %9.0f/s x %-6.1f %7.0f us CPU a job, %d in each request"):format(name, model, a.several,
        a.several / b.per_second, a.several_us, ITEMS))
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
local database, cache, cluster = postgres.start(), redis.start(), kafka.start(1)
local peers = { database.pid, cache.pid, cluster.pid }
local running
local ok, why = xpcall(function()
  running = seed(database, cache, cluster, peers)
  local theirs = measure(running, 20)
  running.stop()
  running = maru("embedded", {})
  tell("maru embedded", measure(running, 200), theirs)
  crowd(running, "maru embedded")
  running.stop()
  running = maru("servers", { "store.driver=postgres", "store.url=" .. database.url, "jobs.driver=postgres",
    "jobs.url=" .. database.url, "cache.driver=redis", "cache.url=" .. cache.url, "channels.driver=redis",
    "events.driver=kafka", "events.url=" .. cluster.url }, peers)
  tell("maru on servers", measure(running, 200), theirs)
  crowd(running, "maru on servers")
end, debug.traceback)
if running then
  running.stop()
end
cluster:stop()
cache:stop()
database:drop()
assert(ok, why)
