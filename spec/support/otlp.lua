--- A stand-in for an OpenTelemetry collector, in a process of its own (otlp_collector.mjs says what it checks).
---
---   local collector = otlp.start()
---   collector.url                       -- for trace.url
---   collector:spans()                   -- what it has; attributes and resource as plain tables
---   collector:mode({ status = 503 })    -- how it answers from now on
---   collector:wait(7)                   -- until it has so many spans, or nil
local cjson = require("cjson")
local server = require("spec.support.server")

local M = {}
local Collector = {}
Collector.__index = Collector

function M.start()
  local dir = server.make_dir()
  local pid = server.shell(("node spec/support/otlp_collector.mjs >%s/out 2>&1 & echo $!"):format(dir)):match("%d+")
  local port = server.wait_for(function()
    return (server.read_file(dir .. "/out") or ""):match("^(%d+)\n")
  end)
  assert(port, "the collector did not start: " .. (server.read_file(dir .. "/out") or ""))
  return setmetatable({ pid = tonumber(pid), dir = dir, port = tonumber(port), url = "http://127.0.0.1:" .. port },
    Collector)
end

local function get(self, path)
  local text, status = server.shell("curl -sS " .. self.url .. path)
  assert(status == 0, text)
  return cjson.decode(text)
end

function Collector:spans() return get(self, "/spans") end
function Collector:asked() return get(self, "/asked") end

function Collector:mode(mode)
  local text = next(mode) and cjson.encode(mode) or "{}"
  local out, status = server.shell(("curl -sS -X PUT -d '%s' %s/mode"):format(text, self.url))
  assert(status == 0, out)
end

--- @return table[]|nil the spans, once there are `count` of them for which `fits` (or any)
function Collector:wait(count, fits)
  return server.wait_for(function()
    local found = {}
    for _, span in ipairs(self:spans()) do
      if not fits or fits(span) then
        found[#found + 1] = span
      end
    end
    return #found >= count and found or nil
  end)
end

function Collector:stop()
  server.shell("kill -9 " .. self.pid)
  server.shell("rm -rf '" .. self.dir .. "'")
end

return M
