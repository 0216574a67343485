--- Builds `app`, the plugin's handle on the host (maru.d.lua says what each part does).
local failure = require "maru.failure"
local schema = require "maru.schema"
local words = require "maru.words"

-- app.<name> = lua/maru/<file>.lua over the raw table of the same noun; in this order, because the later
-- ones use the earlier ones.
local NOUNS = {
  { name = "json", file = "json" },
  { name = "crypto", file = "crypto" },
  { name = "text", file = "text" },
  { name = "kernels", file = "kernels" },
  { name = "log", file = "log" },
  { name = "metrics", file = "metrics" },
  { name = "trace", file = "trace" },
  { name = "cache", file = "cache" },
  { name = "channels", file = "channels" },
  { name = "jobs", file = "jobs" },
  { name = "workflows", file = "workflows" },
  { name = "events", file = "events" },
  { name = "store", file = "store" },
  { name = "series", file = "series" },
  { name = "objects", file = "objects" },
  { name = "search", file = "search" },
  { name = "mail", file = "mail" },
  { name = "http", file = "client" },
  { name = "model", file = "model" },
}

local function environment(names)
  local env = {}
  for _, name in ipairs(names) do
    env[name] = os.getenv(name)
  end
  return env
end

local function is_read_only()
  error("app.env is read only", 2)
end

--- app.schema.check(fields, value): declarations are compiled once.
local function schema_part()
  local compiled = setmetatable({}, { __mode = "k" })
  local usage = "app.schema.check(fields, value): fields must be a table, got "
  return {
    check = function(fields, value)
      if type(fields) ~= "table" then
        error(usage .. type(fields), 2)
      end
      if not compiled[fields] then
        local ok, result = pcall(schema.compile, fields)
        if not ok then
          error(type(result) == "table" and words.path(result.keys) .. ": " .. result.message or result, 2)
        end
        compiled[fields] = result
      end
      return compiled[fields](value, "value")
    end,
  }
end

local function misspelt(app, key)
  error("app." .. tostring(key) .. " is not a part of app" .. words.suggest(key, app), 2)
end

--- parts: what boot.lua got from C; shared: objects made before plugin.lua ran; plugin: its table.
return function(parts, shared, plugin, declaration, config)
  local raw = parts.raw
  local app = { name = parts.name, generation = parts.generation, config = config }
  app.env = setmetatable(environment(declaration.allow_env), { __newindex = is_read_only, __metatable = "locked" })
  failure.add(app, parts.failure)
  local info = { name = parts.name, generation = parts.generation, config = config, env = app.env,
    raw = raw, declared = plugin, declaration = declaration, fail = app.fail, app = app }
  for _, noun in ipairs(NOUNS) do
    if raw[noun.file] then
      app[noun.name] = shared[noun.name] or require("maru." .. noun.file)(raw[noun.file], info)
    end
  end
  if raw.time then
    require("maru.time")(raw.time, info)
  end
  if raw.http then
    app.sse = require("maru.sse")(raw.http)
  end
  if raw.files then
    app.read, app.file, app.files = raw.files.read, raw.files.own, raw.files.list
  end
  if raw.program then
    app.exec = raw.program.exec
  end
  app.schema = schema_part()
  return setmetatable(app, { __index = misspelt, __metatable = "locked" })
end
