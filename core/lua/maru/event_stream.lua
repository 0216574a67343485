--- Server-sent events out of bytes that come in any pieces (WHATWG HTML, "interpreting an event stream").
---
--- Bytes are cut at line ends only, which are no part of any other character in UTF-8, so text stays whole.

local find, sub, byte, concat = string.find, string.sub, string.byte, table.concat

local EVENT_BYTES = 8 * 1024 * 1024
local BOM = "\239\187\191"
local LF, CR = 10, 13

local Parser = {}
Parser.__index = Parser

local function push(self, event)
  self.last = self.last + 1
  self.queue[self.last] = event
end

local function dispatch(self)
  local data, kind = self.data, self.kind
  self.data, self.kind, self.size = {}, nil, 0
  if #data > 0 then
    push(self, { event = kind or "message", data = concat(data, "\n"), id = self.id, retry = self.retry })
  end
end

local function take_field(self, name, value)
  if name == "data" then
    self.data[#self.data + 1] = value
  elseif name == "event" then
    self.kind = value ~= "" and value or nil
  elseif name == "id" then
    self.id = not find(value, "%z") and value or self.id
  elseif name == "retry" and find(value, "^%d+$") then
    self.retry = tonumber(value) / 1000
  end
end

local function take_line(self, line)
  if line == "" then
    return dispatch(self)
  end
  self.size = self.size + #line
  local colon = find(line, ":", 1, true)
  if colon == 1 then
    return
  elseif not colon then
    return take_field(self, line, "")
  end
  local from = byte(line, colon + 1) == 32 and colon + 2 or colon + 1
  take_field(self, sub(line, 1, colon - 1), sub(line, from))
end

--- The first bytes of all, until it is clear whether they are a byte order mark.
local function without_bom(self, bytes)
  bytes = self.begins .. bytes
  if #bytes < #BOM and sub(BOM, 1, #bytes) == bytes then
    self.begins = bytes
    return nil
  end
  self.begins = nil
  return sub(bytes, 1, #BOM) == BOM and sub(bytes, #BOM + 1) or bytes
end

--- Takes the next bytes.
function Parser:feed(bytes)
  if self.begins then
    bytes = without_bom(self, bytes)
    if not bytes then
      return
    end
  end
  local from = 1
  if self.after_cr and bytes ~= "" then
    from = byte(bytes) == LF and 2 or 1
    self.after_cr = false
  end
  while true do
    local stop = find(bytes, "[\r\n]", from)
    if not stop then
      break
    end
    local line = sub(bytes, from, stop - 1)
    if #self.parts > 0 then
      self.parts[#self.parts + 1] = line
      line, self.parts, self.waiting = concat(self.parts), {}, 0
    end
    take_line(self, line)
    from = stop + 1
    if byte(bytes, stop) == CR then
      self.after_cr = from > #bytes
      from = byte(bytes, from) == LF and from + 1 or from
    end
  end
  if from <= #bytes then
    self.parts[#self.parts + 1] = sub(bytes, from)
    self.waiting = self.waiting + #bytes - from + 1
  end
end

--- The next complete event; nil when more bytes are needed; nil, message when one is too large.
function Parser:next()
  if self.first <= self.last then
    local event = self.queue[self.first]
    self.queue[self.first] = nil
    self.first = self.first + 1
    return event
  elseif self.size + self.waiting > EVENT_BYTES then
    return nil, "an event is over " .. EVENT_BYTES .. " bytes"
  end
end

return function()
  return setmetatable({ begins = "", parts = {}, waiting = 0, data = {}, size = 0, queue = {}, first = 1, last = 0,
    id = "", after_cr = false }, Parser)
end
