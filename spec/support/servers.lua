--- The drivers that all specs run on when the environment says so: scripts/test runs them once on the embedded
--- defaults and once on real servers.
---
---   luajit spec/support/servers_run.lua start FILE      starts PostgreSQL and Redis, writes what stop needs to know
---   MARU_SERVERS=FILE busted …                      spec/support/server.lua then gives every maru a database and
---                                                   a prefix of its own there
---   luajit spec/support/servers_run.lua stop FILE
---
--- A spec's own options win, so one that is about SQLite or about a server of its own stays so.

local M = {}

local function run(url, sql)
  local pipe = assert(io.popen(("psql -X -q -At -d '%s' -c '%s' 2>&1"):format(url, sql)))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

local function known()
  local path = os.getenv("MARU_SERVERS")
  return path and path ~= "" and assert(dofile(path)) or nil
end

--- What a maru that keeps its things in `dir` is to be told: --set options. @return string[]
function M.settings(dir)
  local at = known()
  if not at then
    return {}
  end
  local name = dir:match("[^/]+$"):gsub("[^%w]", "_"):lower()
  local output = run(at.postgres, "create database " .. name)
  assert(not output:find("ERROR") or output:find("already exists"), output)
  local database = at.postgres:gsub("/postgres$", "/" .. name)
  return { "store.driver=postgres", "store.url=" .. database, "series.driver=postgres", "cache.driver=redis",
    "cache.url=" .. at.redis, "cache.prefix=" .. name .. ":", "channels.driver=redis" }
end

--- Removes what a maru kept there.
function M.drop(dir)
  local at = known()
  if at then
    run(at.postgres, "drop database if exists " .. dir:match("[^/]+$"):gsub("[^%w]", "_"):lower() .. " with (force)")
  end
end

return M
