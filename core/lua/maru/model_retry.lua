--- How long to wait before a provider is asked again: the rule of OpenAI's own library.

local find, lower, match = string.find, string.lower, string.match

local M = {}

local MONTHS = { jan = "01", feb = "02", mar = "03", apr = "04", may = "05", jun = "06", jul = "07", aug = "08",
  sep = "09", oct = "10", nov = "11", dec = "12" }
local LONGEST, FIRST, MOST = 60, 0.5, 8

--- "Sat, 21 Nov 2026 17:50:00 GMT" → seconds since 1970, or nil.
local function http_date(text, parse_time)
  local day, month, year, clock = match(text, "(%d%d) (%a%a%a) (%d%d%d%d) (%d%d:%d%d:%d%d) GMT")
  local number = month and MONTHS[lower(month)]
  return number and parse_time(year .. "-" .. number .. "-" .. day .. " " .. clock, "+00:00") or nil
end

--- What the answer's headers ask for, in seconds; nil when they say nothing, or nothing sensible.
function M.asked_for(headers, now, parse_time)
  local wait = tonumber(headers["retry-after-ms"])
  wait = wait and wait / 1000
  local after = headers["retry-after"]
  if not wait and after then
    wait = tonumber(after)
    if not wait and find(after, "%a") then
      local at = http_date(after, parse_time)
      wait = at and at - now
    end
  end
  return wait and wait >= 0 and wait <= LONGEST and wait or nil
end

--- Seconds before try `n` (1 is the first one after a failure); unit: a random number from 0 to 1.
function M.backoff(n, unit)
  return math.min(FIRST * 2 ^ (n - 1), MOST) * (1 - 0.25 * unit)
end

--- Whether another try is worth it: what x-should-retry says goes before the status.
function M.worth(failure, headers)
  local said = headers and headers["x-should-retry"]
  if said == "true" or said == "false" then
    return said == "true"
  end
  return failure.retry == true
end

return M
