--- Looks for surges in what was collected last; each becomes a PENDING event with its analysis job,
--- both or neither.
local events = require("events")
local must = require("must")
local score = require("score")
local state = require("state")

local M = {}

local INSERT = [[
  insert into events (platform, channel_id, channel_name, broadcast_id, title, category, started_at,
    detected_at, viewers, previous, baseline, ratio, zscore, status, analysis, analyzed_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'PENDING', '', 0)
  on conflict (platform, channel_id, detected_at) do nothing
  returning *]]

--- Channels that had an event too short a time ago. @return table<string, boolean>
local function cooling(app, platform, at)
  local rows = must(app.store:all([[
    select distinct channel_id from events where platform = $1 and detected_at > $2]],
    platform, at - app.config.cooldown))
  local set = {}
  for _, row in ipairs(rows) do
    set[row.channel_id] = true
  end
  return set
end

local function by_gain(a, b)
  if a.gain ~= b.gain then
    return a.gain > b.gain
  end
  return a.channel_id < b.channel_id
end

--- Surges among the lines whose newest point is of this collection, or of the next one whose board is not stored yet,
--- the largest first. A surge has the instant of that point: what led to it is looked up as it was until then.
function M.find(app, columns, at, resting)
  local found = {}
  for channel_id, line in pairs(score.lines(columns, app.config.max_gap)) do
    if line.at >= at and not resting[channel_id] then
      local surge = score.surge(line.values, app.config, app.kernels.moving_average)
      if surge then
        surge.channel_id, surge.at, surge.gain = channel_id, line.at, surge.viewers - surge.baseline
        found[#found + 1] = surge
      end
    end
  end
  table.sort(found, by_gain)
  return found
end

--- @return table|false  the event; false when an earlier run wrote it
local function insert(tx, platform, surge, live)
  local event = must(tx:one(INSERT, platform, surge.channel_id, live.channel_name, live.id,
    live.title, live.category, live.started_at, surge.at, surge.viewers, surge.previous, surge.baseline,
    surge.ratio, surge.zscore))
  if event then
    must(tx.jobs:push("analyse", { id = event.id }, { unique = "analyse:" .. event.id }))
  end
  return event
end

local function save(app, platform, surges, board)
  return must(app.store:tx(function(tx)
    local written = {}
    for _, surge in ipairs(surges) do
      local live = board.by_key[platform .. "/" .. surge.channel_id]
      local event = live and insert(tx, platform, surge, live)
      if event then
        written[#written + 1] = event
      end
    end
    return written
  end))
end

--- What other plugins hear as M.on["streampulse.surge"]; the event's row is there whatever becomes of this.
local function emit(app, platform, event)
  local offset, message = app.events:emit("streampulse.surge", event, { key = platform .. "/" .. event.channel_id })
  if not offset then
    app.log:warn("a surge was not emitted", { event = event.id, error = message })
  end
end

local function limited(app, platform, surges)
  local most = app.config.max_events
  if #surges > most then
    -- Hundreds at once are the platform's doing (an outage that ended), not the channels'.
    app.log:warn("more surges than one pass may report", {
      platform = platform, found = #surges, reported = most,
    })
    for index = #surges, most + 1, -1 do
      surges[index] = nil
    end
  end
  return surges
end

local function platform_pass(app, platform, at, board)
  local columns = must(app.series:window("viewers", {
    where = { platform = platform }, from = at - app.config.history, last = app.config.window + 1,
    limit = 1000000,
  }))
  local found = M.find(app, columns, at, cooling(app, platform, at))
  if #found == 0 then
    return 0
  end
  local written = save(app, platform, limited(app, platform, found), board)
  state.touch(app)
  for _, event in ipairs(written) do
    app.log:info("surge", {
      platform = platform, channel = event.channel_name, viewers = event.viewers,
      baseline = math.floor(event.baseline + 0.5), event = event.id,
    })
    events.publish(app, event)
    emit(app, platform, event)
  end
  app.metrics:count("surges", #written, { platform = platform })
  return #written
end

--- The job. A collection is looked at once; a second look would change nothing. (waits)
function M.run(app, job)
  local platform, board = job.args.platform, state.load(app)
  local row, seen = board.platforms[platform], "detected:" .. platform
  if not row or row.collected_at == 0 or app.cache:get(seen) == row.collected_at then
    return { platform = platform, result = "nothing new" }
  end
  local surges = platform_pass(app, platform, row.collected_at, board)
  app.cache:set(seen, row.collected_at)
  return { platform = platform, surges = surges }
end

return M
