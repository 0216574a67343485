--- What is known around a surge: the base of every analysis, whoever makes it.
local must = require("must")
local state = require("state")

local M = {}

--- The latest change of title and of category around the event. @return table<string, table>
local function changes(app, event)
  local rows = must(app.store:all([[
    select field, old_value, new_value from changes
    where platform = $1 and channel_id = $2 and at > $3 and at <= $4 order by at]],
    event.platform, event.channel_id, event.detected_at - app.config.context, event.detected_at))
  local latest = {}
  for _, row in ipairs(rows) do
    latest[row.field] = { old = row.old_value, new = row.new_value }
  end
  return latest
end

--- A broadcast that ended just before and could have brought a good part of the gain.
local function ended(app, event)
  return must(app.store:one([[
    select channel_name, viewers from broadcasts
    where platform = $1 and channel_id <> $2 and ended_at > $3 and ended_at <= $4 and viewers >= $5
    order by viewers desc limit 1]],
    event.platform, event.channel_id, event.detected_at - app.config.context, event.detected_at,
    math.floor(0.4 * (event.viewers - event.baseline)))) or nil
end

--- How far the other lives are above their moving averages. @return { lives, growth }
local function growth(board, event, matches)
  local lives, now, usual = 0, 0, 0
  for _, live in ipairs(board.lives) do
    local other = live.platform ~= event.platform or live.channel_id ~= event.channel_id
    if other and #live.sparkline > 2 and matches(live) then
      lives, now, usual = lives + 1, now + live.viewers, usual + live.moving_average
    end
  end
  return { lives = lives, growth = usual > 0 and now / usual or 1 }
end

--- The channel's viewers before the event. @return { minutes_before, viewers }[] oldest first
function M.series(app, event, seconds)
  local columns = must(app.series:window("viewers", {
    where = { platform = event.platform, channel_id = event.channel_id },
    from = event.detected_at - seconds, to = event.detected_at + 1, last = 60, limit = 1000,
  }))
  local points = {}
  for i = 1, columns.n or #columns.at do
    points[i] = {
      minutes_before = math.floor((event.detected_at - columns.at[i]) / 60 + 0.5),
      viewers = columns.viewers[i],
    }
  end
  return points
end

--- Other surges around the same time. @return { channel, platform, category, viewers, ratio, minutes_before }[]
function M.related(app, event, seconds)
  local rows = must(app.store:all([[
    select channel_name, platform, category, viewers, ratio, detected_at from events
    where id <> $1 and detected_at > $2 and detected_at <= $3 order by detected_at desc limit 10]],
    event.id, event.detected_at - seconds, event.detected_at + seconds))
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = {
      channel = row.channel_name, platform = row.platform, category = row.category,
      viewers = row.viewers, ratio = math.floor(row.ratio * 10 + 0.5) / 10,
      minutes_before = math.floor((event.detected_at - row.detected_at) / 60 + 0.5),
    }
  end
  return list
end

--- event: a row of events. (waits)
function M.gather(app, event)
  local board = state.load(app)
  local category = event.category ~= "" and growth(board, event, function(live)
    return live.category == event.category
  end) or nil
  if category then
    category.name = event.category
  end
  local age = event.detected_at - event.started_at
  return {
    event = event,
    changes = changes(app, event),
    ended = ended(app, event),
    category = category,
    platform = growth(board, event, function(live) return live.platform == event.platform end),
    fresh = event.started_at > 0 and age < 2 * app.config.context,
    sudden = (event.viewers - event.previous) / math.max(1, event.viewers - event.baseline),
    series = M.series(app, event, app.config.context * 2),
    related = M.related(app, event, app.config.context),
  }
end

return M
