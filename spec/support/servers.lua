--- The drivers that all specs run on when the environment says so: scripts/test runs them once on the embedded
--- defaults and once on real servers.
---
---   luajit spec/support/servers_run.lua start FILE  starts PostgreSQL and Redis, writes what stop needs to know
---   SPEC_SERVERS=FILE busted …                      spec/support/server.lua then gives every maru a database and
---                                                   a prefix of its own there
---   luajit spec/support/servers_run.lua stop FILE
---
--- A spec's own options win, so one that is about SQLite or about a server of its own stays so.

local M = {}

local function run(url, sql)
  local pipe = assert(io.popen(("psql -X -q -At -F ' ' -d '%s' -c '%s' 2>&1"):format(url, (sql:gsub("'", "'\\''")))))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

local function known()
  local path = os.getenv("SPEC_SERVERS")
  return path and path ~= "" and assert(dofile(path)) or nil
end

-- Whether the spec says itself what a kind of driver is: then nothing of it is set here.
local function names(set, kind)
  for _, text in ipairs(set) do
    if text:find(kind .. ".", 1, true) == 1 then
      return true
    end
  end
  return false
end

--- What a maru that keeps its things in `dir` is to be told beside the spec's own `set`. @return string[] --set options
function M.settings(dir, set)
  local at = known()
  if not at then
    return {}
  end
  local name = dir:match("[^/]+$"):gsub("[^%w]", "_"):lower()
  local output = run(at.postgres, "create database " .. name)
  assert(not output:find("ERROR") or output:find("already exists"), output)
  local database, settings = at.postgres:gsub("/postgres$", "/" .. name), {}
  for kind, of in pairs({ store = { "driver=postgres", "url=" .. database },
    series = { "driver=postgres", "url=" .. database },
    cache = { "driver=redis", "url=" .. at.redis, "prefix=" .. name .. ":" },
    channels = { "driver=redis", "url=" .. at.redis } }) do
    for _, text in ipairs(names(set, kind) and {} or of) do
      settings[#settings + 1] = kind .. "." .. text
    end
  end
  return settings
end

--- What a plugin's tables there hold, a line for each row; nil where they are in SQLite. @return string|nil
function M.query(dir, plugin, sql)
  local at = known()
  if not at then
    return nil
  end
  local database = at.postgres:gsub("/postgres$", "/" .. dir:match("[^/]+$"):gsub("[^%w]", "_"):lower())
  return run(database .. "?options=-csearch_path%3Dmaru_" .. plugin, sql)
end

--- Removes what a maru kept there.
function M.drop(dir)
  local at = known()
  if at then
    run(at.postgres, "drop database if exists " .. dir:match("[^/]+$"):gsub("[^%w]", "_"):lower() .. " with (force)")
  end
end

return M
