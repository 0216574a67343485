--- Quiet hours: "22:00-08:00" of a zone that is a distance from UTC ("+09:00"; Korea has no summer time).
local M = {}

local DAY = 86400

local function minutes(text)
  local hour, minute = text:match("^(%d%d):(%d%d)$")
  hour, minute = tonumber(hour), tonumber(minute)
  return hour and hour < 24 and minute < 60 and hour * 60 + minute or nil
end

--- @return integer|nil from, integer to: seconds of the day
function M.read(text)
  local from, to = text:match("^(%d%d:%d%d)%-(%d%d:%d%d)$")
  from, to = from and minutes(from), to and minutes(to)
  if from and to and from ~= to then
    return from * 60, to * 60
  end
end

--- @return integer|nil seconds east of UTC
function M.zone(text)
  local sign, distance = text:match("^([+-])(%d%d:%d%d)$")
  distance = distance and minutes(distance)
  return distance and (sign == "-" and -distance or distance) * 60 or nil
end

--- When something of `now` may be said: now, or at the end of the quiet hours.
function M.ends(now, text, zone)
  local from, to = M.read(text)
  if not from then
    return now
  end
  local of_day = (now + (M.zone(zone) or 0)) % DAY
  local quiet = from < to and of_day >= from and of_day < to or from > to and (of_day >= from or of_day < to)
  return quiet and now + (to - of_day) % DAY or now
end

return M
