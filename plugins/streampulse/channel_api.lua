--- One channel: what it is now, what it was, and its counts over time.
local events = require("events")
local live_api = require("live_api")
local must = require("must")
local state = require("state")
local times = require("times")

local M = {}

local function history(app, platform, id)
  return must(app.store:one([[
    select min(first_seen) as first_seen, max(last_seen) as last_seen, max(peak) as peak,
      count(*) as n
    from broadcasts where platform = $1 and channel_id = $2]], platform, id))
end

--- The last broadcast of a channel that is not live, in the same fields.
local function last_broadcast(app, platform, id)
  local row = must(app.store:one([[
    select * from broadcasts where platform = $1 and channel_id = $2
    order by last_seen desc limit 1]], platform, id))
  row.key, row.sparkline = platform .. "/" .. id, app.json.array({})
  row.adult = row.adult == 1
  return row
end

local function not_found(app)
  error(app.fail(404, "not_found", "no such channel was ever seen live"))
end

--- GET /api/channels/{platform}/{id}
function M.get(app, req)
  local platform, id = req.params.platform, req.params.id
  local known = history(app, platform, id)
  if not known or known.n == 0 then
    not_found(app)
  end
  local board = state.load(app)
  local live = board.by_key[platform .. "/" .. id]
  local view = live_api.view(app, board, live or last_broadcast(app, platform, id))
  view.live = live ~= nil
  view.first_seen = times.iso(app, known.first_seen)
  view.last_seen = times.iso(app, known.last_seen)
  view.peak = known.peak
  view.events = events.views(app, events.list(app, { platform = platform, channel_id = id }, 20))
  return 200, view
end

local function instant(app, query, name, default)
  if not query[name] then
    return default
  end
  local seconds = times.parse(app, query[name])
  if not seconds then
    local message = "is neither seconds nor an ISO 8601 time"
    error(app.fail(422, "invalid", "query." .. name .. " " .. message, {
      errors = { { ["in"] = "query", field = "query." .. name, pointer = "/" .. name, code = "format",
        message = message } },
    }))
  end
  return seconds
end

--- Points as columns, raw or one a step.
local function columns(app, where, from, to, query)
  if query.step then
    return must(app.series:downsample("viewers", {
      where = where, from = from, to = to, step = query.step, agg = query.agg,
    }))
  end
  return must(app.series:window("viewers", { where = where, from = from, to = to }))
end

local function surges(app, platform, id, from, to)
  local rows = must(app.store:all([[
    select id as event_id, detected_at as at, viewers from events
    where platform = $1 and channel_id = $2 and detected_at >= $3 and detected_at < $4
    order by detected_at]], platform, id, math.floor(from), math.ceil(to)))
  return app.json.array(rows)
end

--- GET /api/channels/{platform}/{id}/series
function M.series(app, req)
  local platform, id, query = req.params.platform, req.params.id, req.query
  local to = instant(app, query, "to", app.now() + 1) -- the end is not part of a span
  local from = instant(app, query, "from", to - 86400)
  local known = history(app, platform, id)
  if not known or known.n == 0 then
    not_found(app)
  end
  local points = columns(app, { platform = platform, channel_id = id }, from, to, query)
  local averages = app.kernels.moving_average(points.viewers, app.config.average_window, 1)
  return 200, {
    platform = platform,
    channel_id = id,
    step = query.step and times.duration(query.step) or app.json.null,
    at = app.json.array(points.at),
    viewers = app.json.array(points.viewers),
    moving_average = app.json.array(averages),
    surges = surges(app, platform, id, from, to),
  }
end

return M
