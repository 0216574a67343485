--- probe.lua PORT STOP_FILE: asks GET /good over one connection, a millisecond apart, until the file is there;
--- prints p50, p99 and the longest in milliseconds, the number, and how many were not answered with 200.
local socket = require("socket")

local port, stop = tonumber(arg[1]), arg[2]
local times, wrong, client = {}, 0, nil

local function ask()
  client = client or assert(socket.connect("127.0.0.1", port))
  client:settimeout(30)
  client:send("GET /good HTTP/1.1\r\nhost: x\r\n\r\n")
  local status, length = client:receive("*l"), 0
  repeat
    local line = client:receive("*l")
    length = tonumber(line and line:match("^[Cc]ontent%-[Ll]ength: (%d+)")) or length
  until line == "" or not line
  client:receive(length)
  return status and status:find("^HTTP/1.1 200")
end

local function over()
  local file = io.open(stop)
  return file and file:close()
end

repeat
  local began = socket.gettime()
  if not ask() then
    wrong = wrong + 1
    client:close()
    client = nil
  end
  times[#times + 1] = (socket.gettime() - began) * 1000
  socket.sleep(0.001)
until over()
table.sort(times)
print(("%.3f %.3f %.1f %d %d"):format(times[math.ceil(#times * 0.5)], times[math.ceil(#times * 0.99)], times[#times],
  #times, wrong))
