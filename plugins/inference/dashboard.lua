--- What watchers are sent every two seconds. One thread makes the message, the others send the same text.
local must = require("must")
local results = require("results")
local tally = require("tally")

local M = {}

local EVERY, SHOWN = 2, 10 -- seconds, results
local KEPT = "10s"
local AT_ONCE = 500 -- sockets between two looks at what else this thread has to do

local watchers, running = {}, false -- sockets of this thread, by id

--- The message of an instant. (waits)
local function make(app, tick)
  local rows = must(app.store:all("select body from results order by seq desc limit $1", SHOWN))
  local recent = {}
  for i, row in ipairs(rows) do
    recent[i] = app.json.decode(row.body)
    if type(recent[i].result) == "table" then
      recent[i].result.values = nil
    end
  end
  local totals = tally.totals(app)
  return app.json.encode({
    type = "update", timestamp = os.date("!%Y-%m-%dT%H:%M:%S", tick * EVERY), recent_results = app.json.array(recent),
    statistics = { total_jobs = totals.completed + totals.failed, completed = totals.completed,
      failed = totals.failed, success_rate = results.rate_of(totals.completed, totals.failed) },
  })
end

--- The text of now, made once for all threads, and with a cache that servers share once for them all. (waits)
local function message(app)
  local tick = math.floor(app.now() / EVERY)
  local key = "update:" .. tick
  for _ = 1, 20 do
    local text = app.cache:get(key)
    if text then
      return text
    elseif app.cache:add("making:" .. tick, true, KEPT) then
      break
    end
    app.sleep(0.05)
  end
  local text = make(app, tick)
  app.cache:set(key, text, KEPT)
  return text
end

--- Those who watch now: the list may change while it is gone through.
local function all_watchers()
  local list = {}
  for id, socket in pairs(watchers) do
    list[#list + 1] = { id, socket }
  end
  return list
end

--- Those who are connected to a plugin that was replaced hear nothing more from it: their next connection is to the
--- one that serves.
local function send_away()
  for id, socket in pairs(watchers) do
    watchers[id] = nil
    socket:close(1012, "the plugin was replaced: connect again")
  end
end

--- Goes on as long as somebody watches; a task of its own each time, since a task's time is bounded.
local function beat(app)
  local now = app.now()
  local ok, _, code = app.sleep(EVERY - now % EVERY)
  if not ok and code == "cancelled" then
    return send_away()
  end
  local made, text = pcall(message, app)
  if not made then
    app.log:warn("the dashboard's message could not be made", { error = tostring(text) })
  end
  for i, entry in ipairs(made and all_watchers() or {}) do
    if not entry[2]:send(text) and not entry[2]:is_open() then
      watchers[entry[1]] = nil
    end
    if i % AT_ONCE == 0 then
      app.sleep(0)
    end
  end
  running = next(watchers) ~= nil and app.spawn(beat) == true
  if not running then
    send_away() -- a generation that was replaced is given no more tasks
  end
end

--- WS /api/v1/dashboard/ws
function M.open(app, socket)
  socket:send(message(app))
  watchers[socket:id()] = socket
  if not running then
    running = app.spawn(beat) == true
  end
end

function M.close(_, socket)
  watchers[socket:id()] = nil
end

return M
