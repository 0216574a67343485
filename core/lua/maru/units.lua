--- Durations, sizes and rates as text.
local M = {}

local match = string.match

local SECONDS = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }
local BYTES = { [""] = 1, K = 1024, M = 1024 ^ 2, G = 1024 ^ 3 }

local MOST = 36525 * 86400 -- as in core/base/clock.h

local function bounded(seconds)
  return seconds >= 0 and seconds <= MOST and seconds or nil
end

--- "250ms", "30s", "5m", "2h", "1d" or seconds -> seconds; nil for anything else and for more than 100 years.
function M.duration(value)
  if type(value) == "number" then
    return bounded(value)
  end
  local number, unit = match(type(value) == "string" and value or "", "^(%d+%.?%d*)(%a*)$")
  if not number then
    return nil
  end
  local factor = unit == "" and 1 or SECONDS[unit]
  return factor and bounded(tonumber(number) * factor)
end

--- "64K", "16M", "1G" or bytes -> bytes; nil for anything else.
function M.size(value)
  if type(value) == "number" then
    return value >= 0 and value % 1 == 0 and value < 2 ^ 53 and value or nil
  end
  local number, unit = match(type(value) == "string" and value or "", "^(%d+)([KMG]?)$")
  return number and tonumber(number) * BYTES[unit]
end

--- "60/m" -> 1 (per second), 60 (burst); nil for anything else.
function M.rate(value)
  local number, unit = match(type(value) == "string" and value or "", "^(%d+)/([smh])$")
  number = tonumber(number)
  if not number or number == 0 then
    return nil
  end
  return number / SECONDS[unit], number
end

return M
