--- A client that keeps its connection: what it sends may be on its way when the server dies.
local cjson = require("cjson")
local socket = require("socket")

local Client = {}
Client.__index = Client

--- body: a table, sent as JSON; or text, with its content-type among `headers` ("name: value\r\n…").
--- @return boolean|nil whether it could be sent
function Client:send(method, path, body, headers)
  body = type(body) == "table" and cjson.encode(body) or body or ""
  if not self.socket then
    self.socket = socket.connect("127.0.0.1", self.port)
    if not self.socket then
      return false
    end
    self.socket:settimeout(15)
  end
  local head = "%s %s HTTP/1.1\r\nhost: x\r\n%scontent-length: %d\r\n\r\n"
  return self.socket:send(head:format(method, path, headers or "content-type: application/json\r\n", #body) .. body)
end

--- The answer to what was sent. @return integer|nil status, table|nil json; nil when the connection broke off
function Client:receive()
  local client = self.socket
  local line = client and client:receive("*l")
  local status, length = tonumber(line and line:match("^HTTP/1.1 (%d+)")), 0
  while line and line ~= "" do
    length = tonumber(line:lower():match("^content%-length: (%d+)")) or length
    line = client:receive("*l")
  end
  local body = line and client:receive(length)
  if not body then
    self:close()
    return nil
  end
  local ok, json = pcall(cjson.decode, body)
  return status, ok and json or {}
end

function Client:close()
  if self.socket then
    self.socket:close()
    self.socket = nil
  end
end

return {
  new = function(port)
    return setmetatable({ port = port }, Client)
  end,
}
