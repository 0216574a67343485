--- Instants as ISO 8601 in UTC with milliseconds, and what a query says of one.
local date, floor, format = os.date, math.floor, string.format

local M = {}

local second, prefix -- of the last one
local instant, text

--- @return string "2026-11-22T00:10:05.123Z"
function M.iso(seconds)
  if seconds == instant then
    return text
  end
  local whole = floor(seconds)
  if whole ~= second then
    second, prefix = whole, date("!%Y-%m-%dT%H:%M:%S.", whole)
  end
  instant, text = seconds, format("%s%03dZ", prefix, floor((seconds - whole) * 1000))
  return text
end

--- Seconds since 1970, or ISO 8601 (UTC unless it says an offset). @return number|nil
function M.parse(app, value)
  local number = tonumber(value)
  if number then
    return number >= 0 and number < 1e11 and number or nil
  end
  if value:match("^%d%d%d%d%-%d%d%-%d%d$") then
    value = value .. "T00:00"
  end
  local day, clock, rest = value:match("^(%d%d%d%d%-%d%d%-%d%d)[T ](%d%d:%d%d)(.*)$")
  if not day then
    return nil
  end
  local seconds, offset = rest:match("^:(%d%d)%.?%d*(.*)$")
  offset = (offset or rest):gsub("^ ", "+") -- a plus sign of a query that was not encoded
  if offset == "Z" or offset == "" then
    offset = "+00:00"
  elseif not offset:match("^[+-]%d%d:%d%d$") then
    return nil
  end
  return app.text.parse_time(day .. " " .. clock .. ":" .. (seconds or "00"), offset)
end

return M
