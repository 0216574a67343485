--- bombs.lua [--json] [NAME…]: for each bomb of spec/support/bombs.lua how long another plugin's requests take
--- while it goes off again and again on the same lane, and what was ended.
package.path = "./?.lua;" .. package.path
local cjson = require("cjson")
local bombs = require("spec.support.bombs")
local server = require("spec.support.server")
local socket = require("socket")

local SECONDS = 2
local json, names = false, {}
for _, word in ipairs(arg) do
  if word == "--json" then
    json = true
  else
    names[#names + 1] = word
  end
end

local function wanted(name)
  for _, part in ipairs(names) do
    if name:find(part, 1, true) then
      return true
    end
  end
  return #names == 0
end

local maru = server.start({ plugins = { good = bombs.good, bad = bombs.bad }, set = { "lanes.web=1",
  "lanes.job=1", "plugins.quarantine_kills=1000", "plugins.quarantine_time=1s", "log.level=error" } })
local port = maru.url:match(":(%d+)$")

local function bad()
  for _, plugin in ipairs(maru:admin("/plugins")) do
    if plugin.name == "bad" then
      return plugin
    end
  end
end

--- p50, p99, longest (ms), requests, wrong answers while fn runs for SECONDS; how often fn ran, its last value.
local function probe(fn)
  local stop, out = maru.dir .. "/stop", maru.dir .. "/probe"
  os.remove(stop)
  os.remove(out)
  os.execute(("luajit bench/bombs/probe.lua %s %s >%s &"):format(port, stop, out))
  local till, runs, last = socket.gettime() + SECONDS, 0, nil
  while socket.gettime() < till do
    last, runs = fn() or last, runs + 1
  end
  server.shell("touch " .. stop)
  local line = server.wait_for(function()
    local text = server.read_file(out)
    return text and text:find("\n") and text
  end, 60)
  local p50, p99, longest, count, wrong = line:match("(%S+) (%S+) (%S+) (%d+) (%d+)")
  return tonumber(p50), tonumber(p99), tonumber(longest), tonumber(count), tonumber(wrong), runs, last
end

local function report(name, base, ...)
  local p50, p99, longest, count, wrong, runs, status = ...
  local kills = bad().kills
  if json then
    print(cjson.encode({ group = "bombs", name = name, value = p99, unit = "ms p99", peer = "nothing else",
      peer_value = base, ratio = base / p99, runs = runs, p50 = p50, longest = longest, wrong = wrong }))
  else
    print(("%-40s %8.2f %8.2f %8.1f %7d %6d %6d %7s"):format(name, p50, p99, longest, count, wrong, runs,
      tostring(status)))
  end
  return kills
end

if not json then
  print(("%-40s %8s %8s %8s %7s %6s %6s %7s"):format("while this goes off on the same lane", "p50 ms", "p99 ms",
    "longest", "asked", "wrong", "bombs", "answer"))
end
local function idle()
  socket.sleep(0.1)
end
local _, base = probe(idle)
report("(nothing)", base, probe(idle))
for i, bomb in ipairs(bombs.bombs) do
  if wanted(bomb[1]) then
    local before = bad().kills
    local kills = report(bomb[1], base, probe(function()
      return maru:get("/bad/" .. i).status
    end))
    if not json and kills > before then
      print(("%40s VMs ended and made again: %d"):format("", kills - before))
    end
    server.wait_for(function()
      return maru:get("/bad/ok").status == 200
    end, 20)
  end
end
maru:stop()
