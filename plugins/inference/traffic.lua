--- How many were submitted, by minute: counted in this thread, told to the cache once a second.
local floor = math.floor

local M = {}

local KEPT = "3h"
local waiting, minute, telling = 0, 0, false

local function tell(app)
  app.sleep(1)
  local n, at = waiting, minute
  waiting, telling = 0, false
  app.cache:incr("submitted:" .. at, n, KEPT)
end

--- n more were submitted. (waits, once a minute at most)
function M.count(app, n)
  local now = floor(app.now() / 60) * 60
  if now ~= minute and waiting > 0 then
    local before, at = waiting, minute
    waiting, minute = n, now
    app.cache:incr("submitted:" .. at, before, KEPT)
  else
    waiting, minute = waiting + n, now
  end
  if not telling then
    telling = app.spawn(tell) == true
  end
end

--- Of a minute, by its first second. (waits)
function M.of(app, at)
  return app.cache:get("submitted:" .. at) or 0
end

return M
