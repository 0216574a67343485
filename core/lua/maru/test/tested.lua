--- In a server that runs specs: os.time() and os.date() of plugins tell the same time as app.now(). The
--- sandbox hands on what stands in the host library's own `os`.
local time, date, floor = os.time, os.date, math.floor

local WAITING = { "client", "exec", "files", "jobs", "series", "store" } -- nouns whose functions wait

--- pause() stands in front of whatever may wait.
local function pause_before(functions, pause)
  for name, fn in pairs(functions) do
    if type(fn) == "function" then
      functions[name] = function(...)
        pause()
        return fn(...)
      end
    end
  end
end

return function(raw, pause)
  local now = raw.time.now

  function os.time(fields) -- luacheck: ignore 122
    return fields and time(fields) or floor(now())
  end

  function os.date(format, at) -- luacheck: ignore 122
    return date(format or "%c", at or floor(now()))
  end

  if pause then
    for _, noun in ipairs(WAITING) do
      pause_before(raw[noun] or {}, pause)
    end
    local time_waiting = { sleep = raw.time.sleep, call = raw.time.call }
    pause_before(time_waiting, pause)
    raw.time.sleep, raw.time.call = time_waiting.sleep, time_waiting.call
  end
end
