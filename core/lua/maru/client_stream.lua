--- The answer that app.http:stream gives: its body in pieces, in lines or as server-sent events.
local event_stream = require "maru.event_stream"

local find, sub, concat = string.find, string.sub, table.concat

local LINE_BYTES = 1024 * 1024

local Body = {}
Body.__index = Body
Body.__fields = "status headers url"

--- Remembers why it failed, for whoever ran through an iterator.
local function read(self)
  local bytes, message, code = self.raw:read()
  if not bytes then
    self.message, self.code = message, code
  end
  return bytes, message, code
end

--- What lines and events had left over comes first.
function Body:read()
  local rest = self.rest and sub(self.rest, self.at) or ""
  if rest ~= "" then
    self.rest = nil
    return rest
  end
  return read(self)
end

local function fail(self, message, code)
  self.message, self.code = message, code
  return nil, message, code
end

--- Reads until the rest, which begins at self.at, has a line's end; returns its place, or nil.
local function line_end(self)
  local stop = self.rest and find(self.rest, "\n", self.at, true)
  if stop then
    return stop
  end
  local parts = { self.rest and sub(self.rest, self.at) or "" }
  local size = #parts[1]
  while not stop do
    local bytes, message, code = read(self)
    if not bytes then
      self.rest, self.at = concat(parts), 1
      return nil, message, code
    end
    local at = find(bytes, "\n", 1, true)
    stop = at and size + at
    parts[#parts + 1], size = bytes, size + #bytes
    if not stop and size > LINE_BYTES then
      return fail(self, "a line is over " .. LINE_BYTES .. " bytes", "too_large")
    end
  end
  self.rest, self.at = concat(parts), 1
  return stop
end

--- Next line without its end (LF or CRLF); the last one may have none.
function Body:line()
  local stop, message, code = line_end(self)
  local rest, from = self.rest, self.at
  if stop then
    self.at = stop + 1
    return sub(rest, from, stop - (stop > from and sub(rest, stop - 1, stop - 1) == "\r" and 2 or 1))
  elseif message or rest == "" then
    return nil, message, code
  end
  self.rest = nil
  return rest
end

--- Next server-sent event: { event, data, id, retry }.
function Body:event()
  local parser = self.parser
  if not parser then
    parser = event_stream()
    self.parser = parser
    local rest = self.rest and sub(self.rest, self.at) or ""
    if rest ~= "" then
      self.rest = nil
      parser:feed(rest)
    end
  end
  while true do
    local event, message = parser:next()
    if event then
      return event
    elseif message then
      return fail(self, message, "too_large")
    end
    local bytes, failure, code = read(self)
    if not bytes then
      return nil, failure, code
    end
    parser:feed(bytes)
  end
end

function Body:lines()
  return self.line, self
end

function Body:events()
  return self.event, self
end

--- Why the last read gave nothing: message, code; nothing at the body's end.
function Body:failure()
  return self.message, self.code
end

function Body:close()
  self.raw:close()
end

--- What raw.stream returned.
return function(raw, status, headers, url)
  if not raw then
    return nil, status, headers
  end
  return setmetatable({ raw = raw, status = status, headers = headers, url = url }, Body)
end
