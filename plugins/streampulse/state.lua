--- The newest boards in this lane's memory. The tables are the truth; a mark in the shared cache
--- says when they have moved on, so that a request costs no query and no decoding in between.
local must = require("must")

local M = {}

--- Where listeners hear of it: { event = "live" or "event", data }.
M.TOPIC = "streampulse.updates"

local KEY = "board"
local memo

--- To be called after every commit that changes boards, platforms or events.
function M.touch(app)
  app.cache:set(KEY, app.crypto.uuid()) -- a number could come again after an eviction
end

local function add_lives(state, platform, body)
  for _, live in ipairs(body.lives) do
    live.platform = platform
    live.key = platform .. "/" .. live.channel_id
    state.lives[#state.lives + 1] = live
    state.by_key[live.key] = live
    state.viewers = state.viewers + live.viewers
  end
end

local function read(app, version)
  local state = {
    version = version, at = 0, viewers = 0, lives = {}, by_key = {}, platforms = {}, surges = {},
    sorted = {},
  }
  for _, row in ipairs(must(app.store:all("select platform, at, body from boards"))) do
    add_lives(state, row.platform, must(app.json.decode(row.body)))
    state.at = math.max(state.at, row.at)
  end
  for _, row in ipairs(must(app.store:all("select * from platforms"))) do
    state.platforms[row.platform] = row
  end
  local surges = must(app.store:all([[
    select platform, channel_id, max(detected_at) as at from events
    where detected_at > $1 group by platform, channel_id]],
    math.floor(app.now() - app.config.surge_hold)))
  for _, row in ipairs(surges) do
    state.surges[row.platform .. "/" .. row.channel_id] = row.at
  end
  return state
end

--- Boards of all platforms together. (waits, rarely)
function M.load(app)
  local version = app.cache:get(KEY) or ""
  if not memo or memo.version ~= version then
    memo = read(app, version)
  end
  return memo
end

--- Is this channel in a surge now?
function M.surging(app, state, key)
  local at = state.surges[key]
  return at ~= nil and at > app.now() - app.config.surge_hold
end

return M
