--- app.events: the event stream, over bind/events_lua.c; tx.events is the same inside store:tx.
local words = require "maru.words"

local EMIT = "app.events:emit(topic, data, [options])"
local OPTIONS = { key = true, headers = true }

return function(raw, info)
  local json = info.raw.json

  --- A JSON object of texts, or nil.
  local function headers_of(options)
    local headers = options.headers
    if headers == nil then
      return nil
    elseif type(headers) ~= "table" then
      error(EMIT .. ": options.headers must be a table, got " .. type(headers), 4)
    end
    local out, any = {}, false
    for name, value in pairs(headers) do
      if type(name) ~= "string" or (type(value) ~= "string" and type(value) ~= "number") then
        error(EMIT .. ": options.headers has texts by name", 4)
      end
      out[name], any = tostring(value), true
    end
    return any and json.encode(out) or nil
  end

  local function key_of(options)
    local key = options.key
    if key == nil or type(key) == "string" then
      return key ~= "" and key or nil
    elseif type(key) == "number" then
      return ("%.14g"):format(key)
    end
    error(EMIT .. ": options.key must be text or a number, got " .. type(key), 4)
  end

  --- send(topic, json, key, headers) is raw.emit, or raw.emit_tx of one transaction.
  local function make(send)
    local events = {}

    --- Appends an event; its offset and partition, or nil, message, code. (waits)
    function events:emit(topic, data, options) -- luacheck: no self
      options = words.options(options, OPTIONS, EMIT, 2)
      local key, headers = key_of(options), headers_of(options)
      return send(topic, data == nil and "null" or json.encode(data), key, headers)
    end

    return events
  end

  info.in_tx = info.in_tx or {}
  info.in_tx.events = function(handle)
    return make(function(...)
      return raw.emit_tx(handle, ...)
    end)
  end

  local events = make(raw.emit)

  --- Events behind a place, oldest first, and the cursor of the next read. (waits)
  function events:read(topic, options) -- luacheck: no self
    local text, cursor, code = raw.read(topic, options)
    if not text then
      return nil, cursor, code
    end
    return json.decode(text), cursor
  end

  return events
end
