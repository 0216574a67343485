--- Faults between maru and a server it uses.
---
---   local fault = require("spec.support.fault")
---   local proxy = fault.proxy(5432)            -- TCP between its .port and that port; closed by proxy:stop()
---   proxy:freeze()                             -- connections are taken and nothing passes, as of a machine that hangs
---   proxy:slow(50)                             -- each piece waits 50 ms, both ways
---   proxy:cut()                                -- connections are reset; new ones work
---   proxy:refuse()                             -- connections are reset, new ones refused
---   proxy:heal()                               -- everything passes again
---   fault.pause(pid) fault.resume(pid)         -- SIGSTOP and SIGCONT of a process and of its children
local server = require("spec.support.server")
local socket = require("socket")

local M = {}
local Proxy = {}
Proxy.__index = Proxy

local function order(self, text)
  local control = assert(socket.connect("127.0.0.1", self.control))
  control:settimeout(10)
  assert(control:send(text .. "\n"))
  local answer = assert(control:receive("*l"))
  control:close()
  assert(answer == "ok", answer)
end

function Proxy:freeze() order(self, "freeze") end
function Proxy:slow(milliseconds) order(self, "slow " .. milliseconds) end
function Proxy:cut() order(self, "cut") end
function Proxy:refuse() order(self, "refuse") end
function Proxy:heal() order(self, "heal") end

function Proxy:stop()
  server.shell("kill -9 " .. self.pid)
  server.shell("rm -rf '" .. self.dir .. "'")
end

--- Between a free port and the server on `port`. @return Proxy with port, pid
function M.proxy(port, host)
  local dir = server.make_dir()
  local pid = server.shell(("node spec/support/fault_proxy.mjs %s %d >%s/out 2>&1 & echo $!")
    :format(host or "127.0.0.1", port, dir)):match("%d+")
  local ports = server.wait_for(function()
    return (server.read_file(dir .. "/out") or ""):match("^%d+ %d+\n")
  end)
  assert(ports, "the proxy did not start: " .. (server.read_file(dir .. "/out") or ""))
  local listening, control = ports:match("(%d+) (%d+)")
  return setmetatable({ pid = pid, dir = dir, port = tonumber(listening), control = tonumber(control) }, Proxy)
end

local function signal(name, pid)
  server.shell(("kill -%s $(ps -o pid= --ppid %d) %d"):format(name, pid, pid))
end

function M.pause(pid) signal("STOP", pid) end
function M.resume(pid) signal("CONT", pid) end

return M
