--- app.fail, app.discard, app.retry and app.redirect: error values and the redirect answer.
local units = require "maru.units"

local M = {}

local FAIL = "app.fail(status, code, message, [extra]): "
local RETRY = "app.retry([delay], [reason]): "

local function expect(ok, usage, expected, value)
  if not ok then
    error(usage .. expected .. ", got " .. type(value), 3)
  end
end

--- metatable: how vm/failure.c knows these values.
function M.add(app, metatable)
  function app.fail(status, code, message, extra)
    expect(type(status) == "number" and status >= 400 and status <= 599 and status % 1 == 0, FAIL,
      "status must be from 400 to 599", status)
    expect(type(code) == "string", FAIL, "code must be a word", code)
    expect(type(message) == "string", FAIL, "message must be text", message)
    return setmetatable({ status = status, code = code, message = message, extra = extra }, metatable)
  end

  function app.discard(reason)
    expect(type(reason) == "string", "app.discard(reason): ", "reason must be text", reason)
    return setmetatable({ code = "discard", message = reason }, metatable)
  end

  function app.retry(delay, reason)
    local seconds = delay == nil and -1 or units.duration(delay)
    expect(seconds, RETRY, "delay must be seconds or a duration such as \"30s\"", delay)
    expect(reason == nil or type(reason) == "string", RETRY, "reason must be text", reason)
    return setmetatable({ code = "retry", message = reason or "retry", delay = seconds }, metatable)
  end

  function app.redirect(url, status)
    local usage = "app.redirect(url, [status]): "
    expect(type(url) == "string" and not string.find(url, "[%c]"), usage, "url must be text", url)
    status = status or 302
    expect(status == 301 or status == 302 or status == 303 or status == 307 or status == 308, usage,
      "status must be 301, 302, 303, 307 or 308", status)
    return status, "", { location = url }
  end
end

return M
