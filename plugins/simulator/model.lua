--- Invented channels and their viewers: a function of seed and time, nothing else. Time runs
--- `speed` times as fast as the clock, so a day of broadcasts can pass in an hour.
local chance = require("chance")
local surges = require("surges")
local words = require("words")

local M = {}

local DAY = 86400
-- Both clocks show the same time here; any fixed instant would do.
local ORIGIN = 1790000000
-- Counts are cached upstream: they move in steps, the same for everybody who asks.
local STEP = 5

local PLATFORMS = { chzzk = 1, soop = 2 }

local cast, boards = {}, {}

local function unique_name(used, seed, number, index)
  local name
  local try = 0
  repeat
    name = chance.pick(words.first, seed, number, index, 1, try)
      .. chance.pick(words.second, seed, number, index, 2, try)
    try = try + 1
  until not used[name]
  used[name] = true
  return name
end

local function channel(used, seed, number, index)
  local evening = chance.uniform(seed, number, index, 3) < 0.25
  local hour = chance.uniform(seed, number, index, 4) * (evening and 7 or 24)
  local base = 26000 / (index + 0.6) ^ 0.95
  return {
    index = index,
    key = number * 10000 + index,
    name = unique_name(used, seed, number, index),
    channel_id = chance.hex(32, seed, number, index, 5),
    user_id = chance.pick(words.user, seed, number, index, 6) .. string.format("%03d", index),
    base = 6 + base * (0.7 + 0.6 * chance.uniform(seed, number, index, 7)),
    start = (evening and 15 + hour or hour) % 24 * 3600,
    length = (6 + 8 * chance.uniform(seed, number, index, 8)) * 3600,
    home = chance.hash(seed, number, index, 9) % #words.categories + 1,
    adult = chance.uniform(seed, number, index, 10) < 0.03,
    verified = index <= 30,
  }
end

--- The channels of a platform, the same for a seed.
local function channels(platform, config)
  local number = PLATFORMS[platform]
  local count = config[platform .. "_channels"]
  local name = platform .. " " .. config.seed .. " " .. count
  if not cast[name] then
    local list, used = {}, {}
    for index = 1, count do
      list[index] = channel(used, config.seed, number, index)
    end
    cast[name] = list
  end
  return cast[name]
end

local function virtual(config, now)
  return ORIGIN + (now - ORIGIN) * config.speed
end

--- The session a channel is in at a virtual instant. @return { number, start, age }|nil
local function session(config, one, at)
  local local_time = at + 32400 - one.start
  local number = math.floor(local_time / DAY)
  local age = local_time - number * DAY
  local length = one.length * (0.8 + 0.4 * chance.uniform(config.seed, one.key, number, 11))
  if age < length and chance.uniform(config.seed, one.key, number, 12) < 0.95 then
    return { number = number, start = at - age, age = age, left = length - age }
  end
end

--- Evening is when people watch.
local function rhythm(at)
  local hour = (at + 32400) % DAY / 3600
  return 0.75 + 0.25 * math.cos((hour - 22) / 12 * math.pi)
end

--- A slow wave, and now and then a small step up as caches give it.
local function noise(config, one, now, at)
  local phase = chance.uniform(config.seed, one.key, 13) * 2 * math.pi
  local wave = 0.06 * math.sin(at / 5400 + phase) + 0.02 * math.sin(at / 1100 + 2 * phase)
  local minute = math.floor(now / 30)
  local step = chance.uniform(config.seed, one.key, minute, 14) < 0.12 and 0.02 or 0
  local grain = 0.01 * (chance.uniform(config.seed, one.key, math.floor(now / STEP), 15) - 0.5)
  return 1 + wave + step + grain
end

--- Most broadcasts begin with a good part of their audience; a few gather it slowly.
local function ramp(config, one, run)
  local slow = chance.uniform(config.seed, one.key, run.number, 16) < 0.04
  local first, length = slow and 0.15 or 0.7, slow and 3600 or 1800
  return math.min(1, first + (1 - first) * run.age / length) * math.min(1, 0.6 + run.left / 900)
end

--- Title and category hold for two hours or so of a session.
local function show(config, one, run)
  local part = math.floor(run.age / 7200)
  local away = chance.uniform(config.seed, one.key, run.number, part, 17) < 0.3
  local index = away and chance.hash(config.seed, one.key, run.number, part, 18)
    % #words.categories + 1 or one.home
  local category = words.categories[index]
  local titles = words.titles[category.kind]
  return category, chance.pick(titles, config.seed, one.key, run.number, part, 19)
end

local function live(config, one, run, now, at)
  local category, title = show(config, one, run)
  local viewers = one.base * rhythm(at) * ramp(config, one, run) * noise(config, one, now, at)
  return {
    channel = one,
    number = one.index * 10000 + run.number % 10000,
    title = title,
    category = category,
    viewers = viewers,
    started_at = math.floor(now - run.age / config.speed),
  }
end

--- Is a channel on the air at this instant of the clock?
local function on_air(config, one, now)
  return session(config, one, virtual(config, now)) ~= nil
end

local function by_viewers(a, b)
  if a.viewers ~= b.viewers then
    return a.viewers > b.viewers
  end
  return a.number > b.number
end

local function compute(platform, config, now)
  local at, list, by_index = virtual(config, now), {}, {}
  local all = channels(platform, config)
  for _, one in ipairs(all) do
    local run = session(config, one, at)
    if run then
      local entry = live(config, one, run, now, at)
      list[#list + 1], by_index[one.index] = entry, entry
    end
  end
  surges.apply(config, PLATFORMS[platform], now, list, by_index, function(index, instant)
    return all[index] and on_air(config, all[index], instant)
  end)
  for _, entry in ipairs(list) do
    entry.viewers = math.max(0, math.floor(entry.viewers + 0.5))
  end
  table.sort(list, by_viewers)
  return list
end

--- What is live on a platform, most viewers first. @return table[]
function M.lives(platform, config, now)
  local step = math.floor(now / STEP) * STEP
  local board = boards[platform]
  if not board or board.step ~= step or board.config ~= config then
    board = { step = step, config = config, list = compute(platform, config, step) }
    boards[platform] = board
  end
  return board.list
end

return M
