--- app.events: the event stream, over bind/events_lua.c; tx.events is the same inside store:tx.
local words = require "maru.words"

local EMIT = "app.events:emit(topic, data, [options])"
local MANY = "app.events:emit_many(topic, list)"
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

  --- Appends { data, options } each, in one go; how many, or nil, message, code. (waits)
  function events:emit_many(topic, list) -- luacheck: no self
    if type(list) ~= "table" then
      error(MANY .. ": list must be an array of { data, options }, got " .. type(list), 2)
    end
    local texts, keys, headers = {}, {}, {}
    for i, item in ipairs(list) do
      if type(item) ~= "table" then
        error(MANY .. ": list[" .. i .. "] must be { data, options }, got " .. type(item), 2)
      end
      local options = words.options(item[2], OPTIONS, MANY, 2)
      texts[i] = item[1] == nil and "null" or json.encode(item[1])
      keys[i], headers[i] = key_of(options) or "", headers_of(options) or ""
    end
    return raw.emit_many(topic, texts, keys, headers)
  end

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
