--- Analyses each PENDING event once: a lock keeps two runs apart, and the update takes only a row
--- that is still PENDING.
local events = require("events")
local must = require("must")
local rules = require("rules")
local state = require("state")
local times = require("times")

local M = {}

M.RETRIES = 3

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

local function gather(app, event)
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
  }
end

local UPDATE = [[
  update events set status = $2, analysis = $3, analyzed_at = $4
  where id = $1 and status = 'PENDING']]

local function settle(app, id, status, analysis)
  local changed = must(app.store:exec(UPDATE, id, status, analysis, math.floor(app.now())))
  if changed > 0 then
    state.touch(app)
    events.publish(app, must(events.get(app, id)))
    app.metrics:count("analyses", 1, { status = status })
  end
  return changed > 0
end

local function analyse(app, event)
  local analysis = rules.analyse(gather(app, event))
  analysis.analyzed_at = times.iso(app, app.now())
  analysis.causes = app.json.array(analysis.causes)
  return settle(app, event.id, "ANALYZED", app.json.encode(analysis))
end

--- The job. (waits)
function M.run(app, job)
  local id = job.args.id
  local name = "analyse:" .. id
  local token = app.cache:lock(name, "1m")
  if not token then
    return { id = id, result = "another run has it" }
  end
  local event = events.get(app, id)
  if not event or event.status ~= "PENDING" then
    app.cache:unlock(name, token)
    return { id = id, result = "nothing to do" }
  end
  local ok, message = pcall(analyse, app, event)
  if not ok and job.attempt > M.RETRIES then
    settle(app, id, "FAILED", "")
  end
  app.cache:unlock(name, token)
  if not ok then
    error(message, 0)
  end
  return { id = id, result = "analysed" }
end

--- Gives events back to the queue whose job was lost (dead, or dropped by an operator). (waits)
function M.sweep(app)
  local rows = must(app.store:all(
    "select id from events where status = 'PENDING' and detected_at < $1 order by id limit 200",
    math.floor(app.now()) - app.config.sweep_after))
  local pushed = 0
  for _, row in ipairs(rows) do
    local id, message, code = app.jobs:push("analyse", { id = row.id },
      { unique = "analyse:" .. row.id })
    if not id and code ~= "duplicate" then
      error(message, 0)
    end
    pushed = pushed + (id and 1 or 0)
  end
  if pushed > 0 then
    app.log:warn("pending events had lost their job", { count = pushed })
  end
  return { pushed = pushed }
end

return M
