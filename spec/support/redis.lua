--- A real redis-server on a loopback port and in a folder of its own, append-only file on.
---
---   local redis = require("spec.support.redis")
---   local db = redis.start()
---   db.url                              -- "redis://127.0.0.1:PORT/0"
---   local sealed = redis.start("", made) -- takes only TLS, from who shows a certificate; rediss://127.0.0.1:PORT/0
---   db:call("LLEN", "celery")           -- redis-cli's raw output, without the line feed
---   db:kill() db:again() db:stop()
local server = require("spec.support.server")

local M = {}
local Redis = {}
Redis.__index = Redis

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- Starts it on its port and folder.
function Redis:again()
  local port = (self.made and "--port 0 --tls-port " or "--port ") .. self.port
  local out = server.shell(("redis-server %s --bind 127.0.0.1 --dir %s --appendonly yes --appendfsync always "
    .. "--save '' %s >%s/out 2>&1 & echo $!"):format(port, self.dir, self.extra, self.dir))
  self.pid = tonumber(out:match("%d+"))
  assert(server.wait_for(function()
    return self:call("PING") == "PONG"
  end), "redis-server did not start: " .. (server.read_file(self.dir .. "/out") or ""))
end

--- One command. @return string raw output of redis-cli
function Redis:call(...)
  local words = { "redis-cli -p " .. self.port }
  if self.made then
    words[2] = ("--tls --cacert %s --cert %s --key %s"):format(self.made.ca, self.made.cert, self.made.key)
  end
  for i = 1, select("#", ...) do
    words[#words + 1] = quote((select(i, ...)))
  end
  return (server.shell(table.concat(words, " ")):gsub("\n$", ""))
end

function Redis:kill()
  if self.pid then
    server.shell("kill -9 " .. self.pid)
    server.wait_for(function()
      return not server.alive(self.pid)
    end)
    self.pid = nil
  end
end

function Redis:stop()
  self:kill()
  server.shell("rm -rf '" .. self.dir .. "'")
end

--- extra: more of its command line. made: of spec.support.certificates, for TLS.
function M.start(extra, made)
  local self = setmetatable({ port = server.free_port(), dir = server.make_dir(), extra = extra or "", made = made },
    Redis)
  self.url = (made and "rediss" or "redis") .. "://127.0.0.1:" .. self.port .. "/0"
  if made then
    self.extra = ("--tls-ca-cert-file %s --tls-cert-file %s --tls-key-file %s %s"):format(made.ca, made.cert, made.key,
      self.extra)
  end
  self:again()
  return self
end

return M
