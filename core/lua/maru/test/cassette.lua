--- test:cassette: answers of other hosts, recorded once with `maru test --record`, played from then on.
---
--- spec/cassettes/NAME.json is { exchanges = { { request = { method, url, headers, body }, response = {
--- status, headers, body } } } }; a body that is no text is body_base64, a request that got no answer has
--- response = { error = "timeout" }. Secrets of the configuration and of the environment stand there by name.

local function read_file(io, path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(io, path, text)
  local file, message = io.open(path .. ".new", "wb")
  if not file then
    error("cannot write " .. path .. ": " .. message, 0)
  end
  file:write(text)
  file:close()
end

--- JSON that reads well and differs little: two spaces, keys in order.
local function pretty(value, encode, indent)
  if type(value) ~= "table" or next(value) == nil then
    return encode(value)
  end
  local parts, inner, keys = {}, indent .. "  ", {}
  if #value > 0 then
    for i, item in ipairs(value) do
      parts[i] = inner .. pretty(item, encode, inner)
    end
    return "[\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "]"
  end
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = inner .. encode(key) .. ": " .. pretty(value[key], encode, inner)
  end
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

local function headers_of(lines)
  local headers = {}
  for name, value in lines:gmatch("([^:\n]+): ([^\n]*)\n") do
    headers[name] = value
  end
  return next(headers) and headers or nil
end

local function lines_of(headers)
  local lines = {}
  for name, value in pairs(headers or {}) do
    lines[#lines + 1] = name .. ": " .. value .. "\n"
  end
  table.sort(lines)
  return table.concat(lines)
end

return function(test, context)
  local raw, json, crypto, io = context.raw, context.json, context.crypto, context.globals.io
  local os = context.globals.os
  local recording, current = context.run.record, nil

  local function path_of(name)
    return ("%s/spec/cassettes/%s.json"):format(context.run.dir, name)
  end

  local function body_of(text, into)
    if text == "" then
      return
    elseif pcall(json.encode, text) then
      into.body = text
    else
      into.body_base64 = crypto.base64(text)
    end
  end

  local function text_of(part)
    return part.body or (part.body_base64 and crypto.unbase64(part.body_base64)) or ""
  end

  local function write(name)
    local exchanges = {}
    for i, x in ipairs(raw.test.tape_all()) do
      local request = { method = x.method, url = x.url, headers = headers_of(x.request_headers) }
      local response = { status = x.status, headers = headers_of(x.headers) }
      if x.error ~= "" then
        response = { error = x.error }
      end
      body_of(x.request_body, request)
      body_of(x.body, response)
      exchanges[i] = { request = request, response = response }
    end
    if #exchanges > 0 then
      local path = path_of(name)
      os.execute("mkdir -p '" .. context.run.dir:gsub("'", "'\\''") .. "/spec/cassettes'")
      write_file(io, path, pretty({ exchanges = exchanges }, json.encode, "") .. "\n")
      assert(os.rename(path .. ".new", path))
    end
  end

  local function read(name)
    local path = path_of(name)
    local text = read_file(io, path)
    if not text then
      error(path .. " is not there: record it with maru test --record", 3)
    end
    local cassette, message = json.decode(text)
    if not cassette or type(cassette.exchanges) ~= "table" then
      error(path .. ": " .. (message or "has no list \"exchanges\""), 3)
    end
    for _, x in ipairs(cassette.exchanges) do
      raw.test.tape_add({
        method = x.request.method, url = x.request.url, request_body = text_of(x.request),
        status = x.response.status, error = x.response.error, headers = lines_of(x.response.headers),
        body = text_of(x.response),
      })
    end
  end

  local life = {}

  --- Writes what was recorded; nothing is in the recorder any more.
  function life.close()
    if recording and current then
      write(current)
    end
    raw.test.tape_clear()
    current = nil
  end

  function test:cassette(name) -- luacheck: no self
    if type(name) ~= "string" or not name:find("^[%w_%-]+$") then
      error("test:cassette(name): name must be letters, digits, _ and -, got " .. tostring(name), 2)
    elseif name ~= current then
      life.close()
      if not recording then
        read(name)
      end
      current = name
    end
  end

  function life.begin()
    raw.test.tape_misses()
  end

  --- A request that nothing answered fails its test, whatever the plugin made of it.
  function life.finish(place)
    local misses = raw.test.tape_misses()
    if recording and not current and raw.test.tape_all()[1] then
      error(place .. ": other hosts were reached and no cassette is in: test:cassette(\"name\")", 0)
    elseif misses == "" then
      return
    end
    local where = current and ("the cassette %s has no answer for"):format(path_of(current))
      or "no cassette is in (test:cassette(\"name\")) for"
    error(("%s: %s\n  %s\nrecord it with maru test --record"):format(place, where,
      (misses:gsub("\n$", ""):gsub("\n", "\n  "))), 0)
  end

  --- Values that are written by their names from now on.
  function life.hide(app)
    for _, key in ipairs(context.declared.secrets) do
      local value = app.config[key]
      if type(value) == "string" then
        raw.test.tape_hide(value, key)
      end
    end
    for _, name in ipairs(context.declared.allow_env or {}) do
      raw.test.tape_hide(os.getenv(name) or "", name)
    end
  end

  return life
end
