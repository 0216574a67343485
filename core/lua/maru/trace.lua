--- app.trace: parts of a handler, and what is to be known about them, in the trace it belongs to.

return function(raw)
  local trace = {}

  local function finish(ok, ...)
    local first, message = ...
    if not ok then
      raw.finish(type(first) == "table" and tostring(first.message or "failed") or tostring(first))
      error(first, 0)
    end
    raw.finish(first == nil and type(message) == "string" and message or nil)
    return ...
  end

  --- Runs fn(…) as a part of its own and returns what it returns. It may wait.
  function trace:span(name, fn, ...) -- luacheck: no self
    if type(fn) ~= "function" then
      error("app.trace:span(name, fn, …): fn must be a function, got " .. type(fn), 2)
    end
    if not raw.begin(name) then
      return fn(...)
    end
    return finish(pcall(fn, ...))
  end

  --- An attribute of the part that runs.
  function trace:set(key, value) -- luacheck: no self
    raw.set(key, value)
  end

  --- The trace's id, 32 hex digits, or nil.
  function trace:id() -- luacheck: no self
    return raw.id()
  end

  return trace
end
