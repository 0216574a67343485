--- The same route and socket for nginx with its Lua module. Its package has no WebSocket library, so the few
--- frames of this benchmark (text under 126 bytes, masked by the client) are read by hand.
local bit = require "bit"

local M = {}

function M.version()
  ngx.print(cjson.encode({ v = VERSION, message = "hello, world" }))
end

local function unmask(text, mask)
  local out = {}
  for i = 1, #text do
    out[i] = string.char(bit.bxor(text:byte(i), mask:byte((i - 1) % 4 + 1)))
  end
  return table.concat(out)
end

function M.socket()
  local accept = ngx.encode_base64(ngx.sha1_bin(ngx.var.http_sec_websocket_key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
  ngx.status = 101
  ngx.header["Upgrade"], ngx.header["Connection"], ngx.header["Sec-WebSocket-Accept"] = "websocket", "upgrade", accept
  ngx.send_headers()
  ngx.flush(true)
  local sock = assert(ngx.req.socket(true))
  sock:settimeout(3600000)
  while true do
    local head = sock:receive(2)
    if not head then
      return
    end
    local size = bit.band(head:byte(2), 127)
    local mask, text = sock:receive(4), sock:receive(size)
    if not text or bit.band(head:byte(1), 15) == 8 then
      return
    end
    local answer = unmask(text, mask) .. " VERSION"
    sock:send(string.char(129, #answer) .. answer)
  end
end

return M
