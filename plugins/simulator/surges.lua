--- Scheduled surges: one every `surge_every` seconds of the clock, on a channel that is live long
--- enough before and after, in four shapes.
local chance = require("chance")
local words = require("words")

local M = {}

local HOLD, DECAY, SPAN = 45, 40, 170

local KINDS = {
  { rise = 1 }, -- a raid: everybody at once
  { rise = 20, hook = true }, -- a new title draws them
  { rise = 25 }, -- it spreads by itself
  { rise = 20, wave = true }, -- the whole category is up
}

local function shape(kind, age)
  if age < 0 then
    return 0
  elseif age < kind.rise then
    return age / kind.rise
  elseif age < kind.rise + HOLD then
    return 1
  end
  return math.exp(-(age - kind.rise - HOLD) / DECAY)
end

--- The channel of a slot: of some size, live a minute before and until the surge has faded.
local function choose(config, platform, slot, start, on_air)
  for try = 1, 40 do
    local index = 3 + chance.hash(config.seed, platform, slot, try) % 90
    if on_air(index, start - 75) and on_air(index, start + SPAN) then
      return index
    end
  end
end

local function lift(config, slot, entry, kind, strength, list)
  local gain = 1.2 + 1.4 * chance.uniform(config.seed, slot, 21)
  entry.viewers = entry.viewers * (1 + gain * strength)
  if not kind.wave then
    return
  end
  for _, other in ipairs(list) do
    if other ~= entry and other.category == entry.category then
      other.viewers = other.viewers * (1 + 0.28 * strength)
    end
  end
end

--- Adds what is going on to the platform's lives. on_air(index, instant) tells who broadcasts.
function M.apply(config, platform, now, list, by_index, on_air)
  local every = config.surge_every
  local newest = math.floor(now / every)
  for slot = newest, newest - math.ceil(SPAN / every), -1 do
    local start = slot * every
    local age = now - start
    local kind = KINDS[chance.hash(config.seed, slot, 22) % #KINDS + 1]
    local mine = slot % 2 + 1 == platform
    local index = mine and age < SPAN and choose(config, platform, slot, start, on_air)
    local entry = index and by_index[index]
    if entry then
      if kind.hook then
        entry.title = chance.pick(words.hooks, config.seed, slot, 23)
      end
      lift(config, slot, entry, kind, shape(kind, age), list)
    end
  end
end

return M
