--- A plugin that emits and hears without end, for what happens to events when something dies.
---
---   local load = require("spec.support.event_load")
---   local maru = load.start({ "events.driver=kafka", … })
---   load.run(maru, "a", 8, 30)         -- eight tasks emit for 30 seconds, as run "a"
---   load.stop(maru, "a")               -- before that time is over
---   load.told(maru, "a")               -- what was acknowledged, as its log says
---   load.all_heard(maru, "a")          -- waits until all of that has been handled
local cjson = require("cjson")
local server = require("spec.support.server")

local M = {}

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "s", version = "1.0.0", limits = { task = "60s" } }
M.on = { ["s.made"] = { retries = 20, backoff = { first = "50ms", factor = 1 }, timeout = "20s", function(app, event)
  assert(app.sleep(0.002))
  assert(app.store:exec("insert into heard(run, n, job) values($1, $2, $3)", event.data.run, event.data.n, event.id))
end } }
local stopped = {} -- there is one web lane
M.routes = {
  ["POST /stop"] = function(app, req) stopped[req:json().run] = true return 200, {} end,
  ["POST /run"] = function(app, req)
    local body = req:json()
    local stop, n = app.now() + body.seconds, 0
    for lane = 1, body.tasks do
      app.spawn(function()
        while app.now() < stop and not stopped[body.run] do
          n = n + 1
          local mine = n
          local ok, message, code = app.events:emit("s.made", { run = body.run, n = mine }, { key = "k" .. lane })
          app.log:info(ok and "kept" or "refused", { run = body.run, n = mine, code = code,
            why = not ok and message or nil })
          app.sleep(ok and 0.005 or 0.05)
        end
      end)
    end
    return 202, {}
  end,
  ["GET /heard/{run}"] = function(app, req)
    return 200, assert(app.store:one("select count(*) as rows, count(distinct n) as events, count(distinct job) as jobs"
      .. " from heard where run = $1", req.params.run))
  end,
  ["GET /numbers/{run}"] = function(app, req)
    local list = {}
    for i, row in ipairs(app.store:all("select distinct n from heard where run = $1", req.params.run)) do
      list[i] = row.n
    end
    return 200, app.json.array(list)
  end,
}
return M
]==],
  ["migrations/0001_heard.sql"] = "create table heard(run text, n integer, job integer);",
}

--- What the log says of a run: numbers that were acknowledged, and how many were refused, by code.
function M.told(maru, run)
  local kept, count, refused = {}, 0, {}
  for line in (server.read_file(maru.dir .. "/log") or ""):gmatch("[^\n]+") do
    if line:find('"run":"' .. run .. '"', 1, true) then
      local ok, entry = pcall(cjson.decode, line)
      local fields = ok and (entry.fields or entry)
      if fields and line:find('"kept"', 1, true) then
        kept[fields.n], count = true, count + 1
      elseif fields and line:find('"refused"', 1, true) then
        refused[fields.code or "?"] = (refused[fields.code or "?"] or 0) + 1
      end
    end
  end
  return kept, count, refused
end

function M.missing(maru, run)
  local kept = M.told(maru, run)
  for _, n in ipairs(maru:get("/numbers/" .. run).json or {}) do
    kept[n] = nil
  end
  return next(kept)
end

--- Waits until everything that was acknowledged has been handled.
function M.all_heard(maru, run)
  return server.wait_for(function()
    return M.missing(maru, run) == nil
  end, 300)
end

function M.start(settings)
  local set = { "plugins.watch=false", "lanes.web=1", "lanes.job=1", "shutdown.grace=3s" }
  for _, text in ipairs(settings) do
    set[#set + 1] = text
  end
  return server.start({ plugins = { s = PLUGIN }, set = set })
end

function M.run(maru, run, tasks, seconds)
  assert(maru:post("/run", { run = run, tasks = tasks, seconds = seconds }).status == 202)
end

function M.stop(maru, run)
  maru:post("/stop", { run = run })
end

return M
