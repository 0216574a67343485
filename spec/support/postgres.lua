--- A real PostgreSQL in a folder and on a port of its own, started as another user when we are root.
---
---   local database = postgres.start()
---   local sealed = postgres.start_tls(made)   -- takes only TLS; made: of spec.support.certificates
---   database.url                    -- for jobs.url
---   database:sql("SELECT 1")        -- psql's unaligned output
---   database:restart("fast")        -- or "immediate": as after a crash
---   database:replica()              -- another one, that streams from it and answers reads
---   database:drop()
---
--- Durability is what is tested, so fsync and synchronous_commit are as they come.
local server = require("spec.support.server")
local socket = require("socket")

local M = {}
local Database = {}
Database.__index = Database

local BIN = "/usr/lib/postgresql/15/bin/"

--- The words before a program that must not be root's.
local function as_other()
  local id = server.shell("id -u"):match("%d+")
  if id ~= "0" then
    return "", nil
  end
  local user = server.shell("id -u postgres"):match("^%d+") and "postgres" or "nobody"
  local group = server.shell("id -g " .. user):match("%d+")
  return "setpriv --reuid=" .. user .. " --regid=" .. group .. " --clear-groups ", user
end

local function must(command)
  local output, status = server.shell(command)
  if status ~= 0 then
    error(command .. "\n" .. output, 2)
  end
  return output
end

--- extra: more of its command line.
function M.start(extra)
  local prefix, user = as_other()
  local self = setmetatable({ dir = server.make_dir(), prefix = prefix, user = user,
    port = server.free_port(), extra = extra or "" }, Database)
  if user then
    must("chown " .. user .. " " .. self.dir)
  end
  must("cd / && " .. prefix .. BIN .. "initdb -D " .. self.dir .. "/data -A trust -U maru -E UTF8 --no-sync --locale=C")
  self.url = "postgresql://maru@127.0.0.1:" .. self.port .. "/postgres"
  self:launch()
  return self
end

function Database:launch()
  local command = table.concat({
    "cd / && exec " .. self.prefix .. BIN .. "postgres -D " .. self.dir .. "/data -p " .. self.port,
    "-k " .. self.dir,
    "-c listen_addresses=127.0.0.1 -c shared_buffers=64MB -c max_wal_size=2GB " .. self.extra,
  }, " ")
  self.pid = tonumber((server.shell("sh -c '" .. command .. " >>" .. self.dir .. "/log 2>&1' & echo $!"):match("%d+")))
  local up = server.wait_for(function()
    return select(2, server.shell(BIN .. "pg_isready -q -h 127.0.0.1 -p " .. self.port)) == 0
  end)
  if not up then
    error("PostgreSQL did not start: " .. (server.read_file(self.dir .. "/log") or ""), 2)
  end
end

local SIGNALS = { smart = "TERM", fast = "INT", immediate = "QUIT" }

--- how: "fast" (default), "immediate", or "smart"
function Database:stop(how)
  if not self.pid then
    return
  end
  -- The shell's pid is the postmaster's: exec all the way.
  local postmaster = (server.read_file(self.dir .. "/data/postmaster.pid") or ""):match("^(%d+)") or self.pid
  server.shell("kill -" .. SIGNALS[how or "fast"] .. " " .. postmaster)
  server.wait_for(function()
    return not server.alive(self.pid) and not server.alive(postmaster)
  end)
  self.pid = nil
end

--- away: seconds between the two, 0 if left out
function Database:restart(how, away)
  self:stop(how)
  socket.sleep(away or 0)
  self:launch()
end

--- As start(), with a certificate: who comes over TLS is let in, without a password, and nobody else is.
function M.start_tls(made)
  local self = M.start()
  self:stop()
  must(("cp %s %s %s/data && chmod 600 %s/data/key.pem"):format(made.cert, made.key, self.dir, self.dir))
  if self.user then
    must(("chown %s %s/data/cert.pem %s/data/key.pem"):format(self.user, self.dir, self.dir))
  end
  server.write_file(self.dir .. "/data/pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n")
  must(("chmod 644 %s/data/pg_hba.conf"):format(self.dir))
  self.extra = self.extra .. " -c ssl=on -c ssl_cert_file=cert.pem -c ssl_key_file=key.pem"
  self:launch()
  return self
end

--- A hot standby of it; also has url, stop, launch, drop.
function Database:replica()
  local replica = setmetatable({ dir = server.make_dir(), prefix = self.prefix, port = server.free_port(),
    extra = self.extra }, Database)
  if self.prefix ~= "" then
    must("chown " .. self.prefix:match("reuid=(%S+)") .. " " .. replica.dir)
  end
  must(("cd / && %s%spg_basebackup -h 127.0.0.1 -p %d -U maru -D %s/data -R -X stream -c fast"):format(
    self.prefix, BIN, self.port, replica.dir))
  replica.url = "postgresql://maru@127.0.0.1:" .. replica.port .. "/postgres"
  replica:launch()
  return replica
end

--- psql's unaligned rows, without the last line's end. Raises with its message.
function Database:sql(text)
  local file = self.dir .. "/statement.sql"
  server.write_file(file, text)
  local output, status = server.shell("psql -X -q -At -v ON_ERROR_STOP=1 -d '" .. self.url .. "' -f " .. file)
  if status ~= 0 then
    error(output, 2)
  end
  return (output:gsub("%s+$", ""))
end

function Database:drop()
  self:stop("immediate")
  server.shell("rm -rf " .. self.dir)
end

return M
