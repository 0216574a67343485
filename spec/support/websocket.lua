--- A WebSocket client for specs: text messages and how the server closed.
---
---   local ws = websocket.connect(maru.url, "/ws/echo")
---   ws:send("hello")
---   local kind, text = ws:receive()      -- "text", "hello" | "close", 1013 | nil, "timeout"
local bit = require("bit")
local mime = require("mime")
local socket = require("socket")

local M = {}
local Client = {}
Client.__index = Client

local KINDS = { [1] = "text", [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong" }

--- @return table|nil client, string|nil the answer that was no upgrade
function M.connect(url, path, timeout)
  local tcp = assert(socket.connect("127.0.0.1", tonumber(url:match(":(%d+)$"))))
  tcp:settimeout(timeout or 10)
  tcp:send(("GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    .. "sec-websocket-version: 13\r\nsec-websocket-key: %s\r\n\r\n"):format(path, (mime.b64(("k"):rep(16)))))
  local status = tcp:receive("*l")
  if not status or not status:find(" 101 ", 1, true) then
    tcp:close()
    return nil, status
  end
  repeat
    local line = tcp:receive("*l")
  until not line or line == ""
  return setmetatable({ tcp = tcp }, Client)
end

local function frame(opcode, text)
  local head = string.char(0x80 + opcode)
  if #text < 126 then
    head = head .. string.char(0x80 + #text)
  else
    head = head .. string.char(0x80 + 126, math.floor(#text / 256), #text % 256)
  end
  return head .. "\0\0\0\0" .. text -- a mask of zeros changes nothing
end

function Client:send(text)
  return self.tcp:send(frame(1, text))
end

function Client:settimeout(seconds)
  self.tcp:settimeout(seconds)
end

--- The next message; pings are answered on the way. @return string|nil kind, string|integer what
function Client:receive()
  local head, why = self.tcp:receive(2)
  if not head then
    return nil, why
  end
  local opcode, n = bit.band(head:byte(1), 15), bit.band(head:byte(2), 127)
  if n == 126 then
    local high, low = self.tcp:receive(2):byte(1, 2)
    n = high * 256 + low
  end
  local payload = n > 0 and self.tcp:receive(n) or ""
  if opcode == 9 then
    self.tcp:send(frame(10, payload))
    return self:receive()
  elseif opcode == 8 then
    local code = #payload >= 2 and payload:byte(1) * 256 + payload:byte(2) or 1005
    self.tcp:send(frame(8, payload:sub(1, 2)))
    return "close", code
  end
  return KINDS[opcode], payload
end

function Client:close()
  self.tcp:close()
end

return M
