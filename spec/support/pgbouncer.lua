--- A real pgbouncer before a database of spec.support.postgres, on a loopback port and in a folder of its own. It asks
--- the database who may come in, so roles that are made while it runs are known as well.
---
---   local pooler = pgbouncer.start(database, "session")   -- its pool_mode
---   pooler.url                                            -- as database.url
---   pooler:clients()                                      -- how many connections it has taken
---   pooler:stop()
local server = require("spec.support.server")

local M = {}
local Pooler = {}
Pooler.__index = Pooler

local CONFIG = [[
[databases]
postgres = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_user = maru
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
auth_file = %s/users
pool_mode = %s
default_pool_size = 50
max_client_conn = 500
logfile = %s/log
]]

function M.start(database, pool_mode)
  local self = setmetatable({ dir = server.make_dir(), port = server.free_port() }, Pooler)
  server.write_file(self.dir .. "/users", '"maru" ""\n')
  server.write_file(self.dir .. "/pgbouncer.ini",
    CONFIG:format(database.port, self.port, self.dir, pool_mode, self.dir))
  if database.user then
    server.shell(("chown -R %s %s"):format(database.user, self.dir))
  end
  self.pid = tonumber((server.shell(("sh -c 'exec %s/usr/sbin/pgbouncer -q %s/pgbouncer.ini >%s/out 2>&1' & echo $!")
    :format(database.prefix, self.dir, self.dir)):match("%d+")))
  self.url = "postgresql://maru@127.0.0.1:" .. self.port .. "/postgres"
  assert(server.wait_for(function()
    return select(2, server.shell("psql -X -q -At -c 'SELECT 1' '" .. self.url .. "'")) == 0
  end), "pgbouncer did not start: " .. (server.read_file(self.dir .. "/log") or "")
    .. (server.read_file(self.dir .. "/out") or ""))
  return self
end

function Pooler:clients()
  return select(2, server.read_file(self.dir .. "/log"):gsub("login attempt", ""))
end

function Pooler:stop()
  server.shell("kill -9 " .. self.pid)
  server.wait_for(function()
    return not server.alive(self.pid)
  end)
  server.shell("rm -rf " .. self.dir)
end

return M
