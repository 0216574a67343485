--- One collection of one platform: every live into the series, then the tables, then the listeners.
local board = require("board")
local must = require("must")
local state = require("state")
local times = require("times")

local M = {}

-- So often a failed collection is tried before the next tick has to do.
local TRIES = 3

local UPSERT = [[
  insert into broadcasts (platform, broadcast_id, channel_id, channel_name, title, category, adult,
    url, started_at, first_seen, last_seen, ended_at, viewers, peak)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 0, $11, $11)
  on conflict (platform, broadcast_id) do update set
    channel_name = excluded.channel_name, title = excluded.title, category = excluded.category,
    adult = excluded.adult, last_seen = excluded.last_seen, ended_at = 0,
    viewers = excluded.viewers,
    peak = case when excluded.peak > broadcasts.peak then excluded.peak else broadcasts.peak end]]

local BOARD = [[
  insert into boards (platform, at, body) values ($1, $2, $3)
  on conflict (platform) do update set at = excluded.at, body = excluded.body]]

local PLATFORM = [[
  insert into platforms (platform, status, error, source, attempted_at, collected_at, lives,
    viewers)
  values ($1, $2, $3, $4, $5, $6, $7, $8)
  on conflict (platform) do update set status = excluded.status, error = excluded.error,
    source = excluded.source, attempted_at = excluded.attempted_at,
    collected_at = excluded.collected_at, lives = excluded.lives, viewers = excluded.viewers]]

local function publish(app, platform, changed)
  local now = state.load(app)
  app.channels:publish(state.TOPIC, { event = "live", data = {
    as_of = times.iso(app, now.at) or app.json.null, platform = platform,
    total_lives = #now.lives, total_viewers = now.viewers, changed = changed,
  } })
end

--- The operator sees why; what was collected before stays as it is.
local function failed(app, job, platform, message, code)
  local row = must(app.store:one("select * from platforms where platform = $1", platform))
  local before = row or { source = "web", collected_at = 0, lives = 0, viewers = 0 }
  local status = code == "open" and "open" or "error"
  must(app.store:exec(PLATFORM, platform, status, message, before.source,
    math.floor(app.now()), before.collected_at, before.lives, before.viewers))
  state.touch(app)
  publish(app, platform, 0)
  if code ~= "open" and job.attempt < TRIES then
    error(app.retry(app.config.retry_delay, message))
  end
  return { platform = platform, status = status, error = message }
end

local function series_rows(platform, lives, at)
  local rows = {}
  for index, live in ipairs(lives) do
    rows[index] = {
      at = at, platform = platform, channel_id = live.channel_id, viewers = live.viewers,
    }
  end
  return rows
end

local function broadcast_rows(platform, entries, at)
  local rows = {}
  for index, live in ipairs(entries) do
    rows[index] = {
      platform, live.id, live.channel_id, live.channel_name, live.title, live.category,
      live.adult and 1 or 0, live.url, live.started_at, at, live.viewers,
    }
  end
  return rows
end

local function change_rows(platform, changes, at)
  local rows = {}
  for index, change in ipairs(changes) do
    rows[index] = { platform, change.channel_id, at, change.field, change.old, change.new }
  end
  return rows
end

--- Tables, together or not at all.
local function store(app, platform, pass, now, changes)
  local at, body = now.at, app.json.encode({
    lives = app.json.array(now.lives), gone = app.json.array(now.gone),
  })
  must(app.store:tx(function(tx)
    if #now.lives > 0 then
      must(tx:many(UPSERT, broadcast_rows(platform, now.lives, at)))
    end
    if #changes > 0 then
      must(tx:many([[insert into changes (platform, channel_id, at, field, old_value, new_value)
        values ($1, $2, $3, $4, $5, $6)]], change_rows(platform, changes, at)))
    end
    must(tx:exec([[update broadcasts set ended_at = $2
      where platform = $1 and ended_at = 0 and last_seen < $2]], platform, at))
    must(tx:exec(BOARD, platform, at, body))
    must(tx:exec(PLATFORM, platform, "ok", "", pass.source, at, at, #now.lives, now.viewers))
    -- Looked at now, not at the next tick; one that is queued already will see this collection.
    tx.jobs:push("detect", { platform = platform }, { unique = "detect:" .. platform })
    return true
  end))
end

local function averager(app)
  local window = app.config.average_window
  return function(counts)
    local averages = app.kernels.moving_average(counts, window, 1)
    return math.floor(averages[#averages] + 0.5)
  end
end

--- The job. (waits)
function M.run(app, job)
  local platform = job.args.platform
  local pass, message, code = app.call(platform .. ".lives")
  if not pass and code == "cancelled" then
    error(app.retry("1s", "cancelled")) -- no fault of the platform's
  elseif not pass then
    return failed(app, job, platform, message, code)
  end
  local at = math.floor(pass.fetched_at)
  local row = must(app.store:one("select at, body from boards where platform = $1", platform))
  if row and row.at == at then
    return { platform = platform, status = "same" } -- a second run within the same second
  end
  local lives = board.one_per_channel(pass.lives)
  local previous = row and app.json.decode(row.body)
  local now, changes, changed = board.build(previous, lives, at, averager(app))
  if #lives > 0 then
    must(app.series:append("viewers", series_rows(platform, lives, at)))
  end
  store(app, platform, pass, now, changes)
  state.touch(app)
  app.metrics:gauge("lives", #lives, { platform = platform })
  app.metrics:gauge("viewers", now.viewers, { platform = platform })
  app.log:info("collected", {
    platform = platform, lives = #lives, viewers = now.viewers, pages = pass.pages,
    source = pass.source,
  })
  publish(app, platform, changed)
  return { platform = platform, status = "ok", lives = #lives, viewers = now.viewers }
end

--- When a generation starts the page is not left empty until the next tick, but a reload does not
--- bother a platform that was asked a moment ago. (waits)
function M.push_stale(app)
  local rows = must(app.store:all("select platform from platforms where attempted_at > $1",
    math.floor(app.now()) - app.config.fresh_for))
  local fresh = {}
  for _, row in ipairs(rows) do
    fresh[row.platform] = true
  end
  M.push_all(app, "collect", fresh)
end

--- Queues a job a platform: one platform's trouble never delays the other. (waits)
function M.push_all(app, name, except)
  for _, platform in ipairs(app.config.platforms) do
    if not (except and except[platform]) then
      local id, message, code = app.jobs:push(name, { platform = platform },
        { unique = name .. ":" .. platform })
      if not id and code ~= "duplicate" then
        error(message, 0)
      end
    end
  end
end

--- Drops what nobody asks for any more. (waits)
function M.prune(app)
  local day = 86400
  local old = math.floor(app.now()) - app.config.keep_days * day
  local gone = must(app.store:exec(
    "delete from broadcasts where ended_at > 0 and ended_at < $1", old))
  must(app.store:exec("delete from changes where at < $1", math.floor(app.now()) - 7 * day))
  app.log:info("pruned", { broadcasts = gone })
end

return M
