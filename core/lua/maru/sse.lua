--- app.sse(fn): the answer of a handler that becomes a stream of server-sent events.

local USAGE = "app.sse(fn): fn must be a function(stream), got "

--- raw: bind/http_lua.c. A task calls its function with app first; fn wants the stream alone.
return function(raw)
  return function(fn)
    if type(fn) ~= "function" then
      error(USAGE .. type(fn), 2)
    end
    return raw.sse(function(_, stream)
      return fn(stream)
    end)
  end
end
