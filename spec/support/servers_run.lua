--- servers_run.lua start|stop FILE: the PostgreSQL and the Redis of spec/support/servers.lua.
package.path = "./?.lua;" .. package.path

local function start(file)
  local database = require("spec.support.postgres").start("-c fsync=off -c max_connections=500")
  local cache = require("spec.support.redis").start("--appendonly no")
  local out = assert(io.open(file, "w"))
  out:write(("return { postgres = %q, postgres_dir = %q, postgres_pid = %d,\n"):format(database.url, database.dir,
    database.pid))
  out:write(("  redis = %q, redis_dir = %q, redis_pid = %d }\n"):format(cache.url, cache.dir, cache.pid))
  out:close()
end

local function stop(file)
  local at = assert(dofile(file))
  os.execute(("kill -9 %d; kill -QUIT %d; sleep 1; rm -rf '%s' '%s'"):format(at.redis_pid, at.postgres_pid,
    at.postgres_dir, at.redis_dir))
end

local command = { start = start, stop = stop }
assert(command[arg[1]], "usage: luajit spec/support/servers_run.lua start|stop FILE")(assert(arg[2], "FILE is missing"))
