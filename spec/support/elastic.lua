--- The stand-in for Elasticsearch (elastic.mjs says what recorded facts it stands on).
---
---   local elastic = require("spec.support.elastic").start()   -- .url, .port, .pid
---   elastic:mode("storm")                                      -- every _bulk is answered 429
---   elastic:state()                                            -- what it has and saw
---   elastic:stop()
local cjson = require("cjson")
local server = require("spec.support.server")

local M = {}
local Elastic = {}
Elastic.__index = Elastic

--- options: key (an API key it asks for), port, cert and keyfile (TLS).
function M.start(options)
  options = options or {}
  local self = setmetatable({ dir = server.make_dir() }, Elastic)
  self.pid = tonumber(server.shell(("%s node spec/support/elastic.mjs %d %s %s >%s/out 2>%s/err & echo $!"):format(
    options.key and "ELASTIC_KEY=" .. options.key or "", options.port or 0, options.cert or "", options.keyfile or "",
    self.dir, self.dir)):match("%d+"))
  self.port = server.wait_for(function()
    return tonumber((server.read_file(self.dir .. "/out") or ""):match("^(%d+)\n"))
  end) or error("the stand-in did not start: " .. (server.read_file(self.dir .. "/err") or ""))
  self.url = (options.cert and "https" or "http") .. "://127.0.0.1:" .. self.port
  return self
end

function Elastic:control(body)
  local text = server.shell(("curl -ksS -X POST %s/_stand_in -d '%s'"):format(self.url, cjson.encode(body)))
  return cjson.decode(text)
end

function Elastic:mode(name)
  return self:control({ mode = name })
end

function Elastic:state()
  return self:control({ x = 1 })
end

function Elastic:errors()
  return server.read_file(self.dir .. "/err")
end

function Elastic:stop()
  server.shell("kill -9 " .. self.pid)
  server.shell("rm -rf " .. self.dir)
end

return M
