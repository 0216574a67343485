--- The live board of one platform: what a collection makes of the one before it. Pure.
local M = {}

local SPARKLINE = 24

local function by_channel(list)
  local map = {}
  for _, item in ipairs(list or {}) do
    map[item.channel_id] = item
  end
  return map
end

--- One broadcast a channel, the one with most viewers: the series has one line a channel.
function M.one_per_channel(lives)
  local best, order = {}, {}
  for _, live in ipairs(lives) do
    local other = best[live.channel_id]
    if not other then
      order[#order + 1] = live.channel_id
    end
    if not other or live.viewers > other.viewers then
      best[live.channel_id] = live
    end
  end
  for index, channel_id in ipairs(order) do
    order[index] = best[channel_id]
  end
  return order
end

local function extended(sparkline, viewers)
  local result = {}
  for index = math.max(1, #sparkline - SPARKLINE + 2), #sparkline do
    result[#result + 1] = sparkline[index]
  end
  result[#result + 1] = viewers
  return result
end

local function item(live, before, average)
  local sparkline = extended(before and before.sparkline or {}, live.viewers)
  return {
    id = live.id,
    channel_id = live.channel_id,
    channel_name = live.channel_name,
    title = live.title,
    category = live.category or "",
    viewers = live.viewers,
    delta = before and live.viewers - before.viewers or nil,
    moving_average = average(sparkline),
    started_at = live.started_at or 0,
    adult = live.adult == true,
    url = live.url,
    sparkline = sparkline,
  }
end

local function note_changes(changes, live, before)
  for _, field in ipairs({ "title", "category" }) do
    if before[field] ~= live[field] then
      changes[#changes + 1] = {
        channel_id = live.channel_id, field = field, old = before[field], new = live[field],
      }
    end
  end
end

--- @param previous table|nil  the board before
--- @param lives table[]       of one collection, one a channel
--- @param average fun(counts: integer[]): number
--- @return table board, table[] changes, integer changed
function M.build(previous, lives, at, average)
  local known = by_channel(previous and previous.lives)
  local gone_before = by_channel(previous and previous.gone)
  local board = { at = at, lives = {}, gone = {}, viewers = 0 }
  local changes, changed = {}, 0
  for index, live in ipairs(lives) do
    local before = known[live.channel_id] or gone_before[live.channel_id]
    local entry = item(live, before, average)
    board.lives[index] = entry
    board.viewers = board.viewers + live.viewers
    changed = changed + ((not before or before.viewers ~= live.viewers) and 1 or 0)
    if before then
      note_changes(changes, entry, before)
    end
    known[live.channel_id] = nil
  end
  -- Lists are sorted live: a channel can slip between two pages. It is remembered for one pass.
  for _, before in pairs(known) do
    board.gone[#board.gone + 1] = before
    changed = changed + 1
  end
  return board, changes, changed
end

return M
