--- Instants and durations as the API takes and gives them: Korean time, ISO 8601.
local M = {}

local KST = "+09:00"
local UNITS = { s = 1, m = 60, h = 3600, d = 86400 }

--- @return string|nil  nil for "never" (0 or nil)
function M.iso(app, seconds)
  if seconds and seconds > 0 then
    return app.text.format_time(seconds, KST)
  end
end

--- Seconds since 1970, or ISO 8601 (without an offset: Korean time). @return number|nil
function M.parse(app, text)
  local number = tonumber(text)
  if number then
    return number >= 0 and number < 1e11 and number or nil
  end
  local day, clock, rest = text:match("^(%d%d%d%d%-%d%d%-%d%d)[T ](%d%d:%d%d)(.*)$")
  if not day then
    return nil
  end
  local second, offset = rest:match("^:(%d%d)%.?%d*(.*)$")
  offset = (offset or rest):gsub("^ ", "+") -- a plus sign of a query that was not encoded
  if offset == "Z" then
    offset = "+00:00"
  elseif offset == "" then
    offset = KST
  elseif not offset:match("^[+-]%d%d:%d%d$") then
    return nil
  end
  return app.text.parse_time(day .. " " .. clock .. ":" .. (second or "00"), offset)
end

--- "90s", "5m", "2h", "1d" in seconds. @return integer|nil
function M.duration(text)
  local number, unit = text:match("^(%d+)([smhd])$")
  local seconds = number and tonumber(number) * UNITS[unit]
  return seconds and seconds > 0 and seconds or nil
end

--- The first instant of the day in Korea.
function M.day_start(seconds)
  return math.floor((seconds + 32400) / 86400) * 86400 - 32400
end

--- When a schedule fires next; knows "*/N * * * *" and "@every". @return number|nil
function M.next_run(pattern, after, last)
  local minutes = tonumber(pattern:match("^%*/(%d+) %* %* %* %*$"))
  if minutes and minutes > 0 and minutes < 60 then
    local hour = math.floor(after / 3600) * 3600
    local step = math.floor((after - hour) / (minutes * 60)) + 1
    return hour + math.min(step * minutes * 60, 3600)
  end
  local every = pattern:match("^@every (%w+)$")
  every = every and M.duration(every)
  return every and math.max(last + every, after) or nil
end

return M
