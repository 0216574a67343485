--- A WebSocket as a browser has it (RFC 6455), over a stream to the server of the same process.
local http = require "maru.test.http"

local bit = bit
local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
local MASK = { 0x37, 0xfa, 0x21, 0x3d }

local function masked(text)
  local out = {}
  for i = 1, #text do
    out[i] = string.char(bit.bxor(text:byte(i), MASK[(i - 1) % 4 + 1]))
  end
  return table.concat(out)
end

local function frame(code, text)
  local n = #text
  local size
  if n < 126 then
    size = string.char(0x80 + n)
  elseif n < 65536 then
    size = string.char(0x80 + 126, math.floor(n / 256), n % 256)
  else
    size = string.char(0x80 + 127, 0, 0, 0, 0, math.floor(n / 2 ^ 24), math.floor(n / 2 ^ 16) % 256,
      math.floor(n / 256) % 256, n % 256)
  end
  return string.char(0x80 + code) .. size .. string.char(unpack(MASK)) .. masked(text)
end

local function read_size(reader, first)
  if first < 126 then
    return first
  end
  local bytes, reason = reader.take(first == 126 and 2 or 8)
  if not bytes then
    return nil, reason
  end
  local n = 0
  for i = 1, #bytes do
    n = n * 256 + bytes:byte(i)
  end
  return n
end

--- @return integer|nil code, string text or reason
local function read_frame(reader)
  local head, reason = reader.take(2)
  if not head then
    return nil, reason
  end
  local size
  size, reason = read_size(reader, head:byte(2) % 128)
  local text
  if size then
    text, reason = reader.take(size)
  end
  if not text then
    return nil, reason
  end
  return head:byte(1) % 16, text
end

local function read_close(text)
  return #text >= 2 and text:byte(1) * 256 + text:byte(2) or 1005, text:sub(3)
end

--- An open WebSocket, or nil and the answer that refused it. json: encode and decode; in_flight() runs once the
--- request is out.
return function(stream, path, headers, json, in_flight)
  local reader = http.reader(stream, 5)
  local given = { upgrade = "websocket", connection = "Upgrade", ["sec-websocket-version"] = "13",
    ["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ==" }
  for name, value in pairs(headers or {}) do
    given[name:lower()] = value
  end
  stream:send(http.format("GET", path, given))
  in_flight()
  local answer, reason = http.read_head(reader)
  if not answer or answer.status ~= 101 then
    if answer then
      answer.body = http.read_body(reader, "GET", answer)
    end
    return nil, answer or { status = 0, headers = {}, body = reason }
  end

  local socket = { is_open = true }

  --- Text as it is, a table as JSON.
  function socket:send(message)
    stream:send(frame(TEXT, type(message) == "string" and message or json.encode(message)))
    in_flight()
    return self
  end

  --- The next message, within so much of the test's time (default 5 s). Text; nil, "timeout" or "closed".
  function socket:receive(timeout)
    if not self.is_open then
      return nil, "closed"
    end
    local more = reader.more
    reader.more = function()
      return more(timeout)
    end
    local code, text
    repeat
      code, text = read_frame(reader)
      if code == PING then
        stream:send(frame(PONG, text))
      elseif code == CLOSE then
        self.is_open, self.code, self.reason = false, read_close(text)
        code, text = nil, "closed"
      end
    until not code or code == TEXT or code == BINARY
    reader.more = more
    if not code and text == "closed" then
      self.is_open = false
    end
    if not code then
      return nil, text
    end
    return text
  end

  --- The same, decoded.
  function socket:receive_json(timeout)
    local text, why = self:receive(timeout)
    if not text then
      return nil, why
    end
    return json.decode(text)
  end

  function socket:close(code)
    if self.is_open then
      code = code or 1000
      stream:send(frame(CLOSE, string.char(math.floor(code / 256), code % 256)))
      repeat
        local text = self:receive(1)
      until not text
    end
    self.is_open = false
    stream:close()
  end

  return socket
end
