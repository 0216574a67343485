--- Checks the table that plugin.lua returned against the contract (maru.d.lua) and returns it in one form,
--- which vm/plugin.c reads field by field. Errors are raised by words.refuse with the path of the key.
local allow = require "maru.contract_allow"
local fields = require "maru.fields"
local queues = require "maru.contract_queues"
local routes = require "maru.contract_routes"
local schema = require "maru.schema"
local search = require "maru.contract_search"
local units = require "maru.units"
local words = require "maru.words"
local workflow = require "maru.contract_workflow"
local work = require "maru.contract_work"

local find = string.find
local refuse, under = words.refuse, words.under

local M = {}

local KNOWN = { name = true, version = true, requires = true, config = true, limits = true, jit = true,
  allow = true, series = true, search = true, routes = true, jobs = true, queues = true, workflows = true, cron = true,
  on = true, sockets = true, pages = true, exports = true, model = true, start = true, stop = true, health = true }
-- What a plugin may have at once on each lane.
local CAPS = { tasks = 1000, timers = 1000, sockets = 10000, connections = 64 }
local MOST = 1000000
local LIMITS = { memory = true, task = true, watchdog = true, tasks = true, timers = true, sockets = true,
  connections = true }
local DEFAULT_TASK_SECONDS, LEAST_WATCHDOG_SECONDS = 30, 0.05

local function table_of(keys, value)
  if value == nil then
    return {}
  elseif type(value) ~= "table" then
    refuse(keys, "must be a table, got %s", type(value))
  end
  return value
end

--- Refuses metatables in all of it: they could answer otherwise from one look to the next. mark: the one of JSON's
--- arrays, which does nothing.
local function check_plain(keys, value, mark, seen)
  if type(value) ~= "table" or seen[value] then
    return
  end
  seen[value] = true
  local metatable = debug.getmetatable(value)
  if metatable and metatable ~= mark then
    refuse(keys, "%s a plain table, without a metatable", #keys == 0 and "must return" or "must be")
  end
  for key, item in next, value do
    keys[#keys + 1] = (type(key) == "number" or type(key) == "string") and key or type(key)
    check_plain(keys, item, mark, seen)
    keys[#keys] = nil
  end
end

--- The text keys of a table, sorted; other keys are refused.
local function keys_of(keys, value)
  for key in pairs(table_of(keys, value)) do
    if type(key) ~= "string" then
      refuse(keys, "unexpected item %s: entries have names", tostring(key))
    end
  end
  return words.sorted_keys(value or {})
end

--- A copy: what a plugin does to its table after it was checked changes nothing.
local function list_of(keys, value)
  local list, copy = table_of(keys, value), {}
  for key, item in next, list do
    if type(key) ~= "number" or key < 1 or key > #list then
      refuse(keys, "must be a list, found the key '%s'", tostring(key))
    end
    copy[key] = item
  end
  return copy
end

local function text_list(keys, value, pattern, expected)
  local list = list_of(keys, value)
  for i, item in ipairs(list) do
    if type(item) ~= "string" or not find(item, pattern) then
      refuse(under(keys, i), "must be %s, got %s", expected,
        type(item) == "string" and '"' .. item .. '"' or type(item))
    end
  end
  return list
end

local function check_head(plugin, context)
  if plugin.name ~= context.name then
    refuse({ "name" }, "must be the folder's name \"%s\", got %s", context.name,
      type(plugin.name) == "string" and '"' .. plugin.name .. '"' or type(plugin.name))
  elseif not find(plugin.name, "^[a-z][a-z0-9_]*$") then
    refuse({ "name" }, "must match [a-z][a-z0-9_]*")
  elseif type(plugin.version) ~= "string" or not find(plugin.version, "^%d+%.%d+%.%d+[%w.+-]*$") then
    refuse({ "version" }, "must be a version such as \"1.0.0\", got %s",
      type(plugin.version) == "string" and '"' .. plugin.version .. '"' or type(plugin.version))
  end
end

--- Values for M.config out of the configuration file, with defaults; and the names of secrets.
local function read_config(plugin, context)
  local declared = fields.read_all({ "config" }, table_of({ "config" }, plugin.config))
  local secrets = {}
  for _, name in ipairs(words.sorted_keys(declared)) do
    local field = declared[name]
    if field.secret then
      secrets[#secrets + 1] = name
    end
  end
  local check = schema.compile(plugin.config or {}, { "config" })
  local config, errors = check(context.settings, "plugins." .. context.name, "config")
  if not config then
    local messages = {}
    for i, wrong in ipairs(errors) do
      messages[i] = wrong.field .. ": " .. wrong.message
    end
    error(table.concat(messages, "\n"), 0)
  end
  return config, secrets
end

local function read_caps(limits, out)
  for name, default in pairs(CAPS) do
    local count = limits[name] == nil and default or limits[name]
    if type(count) ~= "number" or count < 1 or count > MOST or count % 1 ~= 0 then
      refuse({ "limits", name }, "must be a whole number from 1 to %d, got %s", MOST,
        type(count) == "number" and tostring(count) or type(count))
    end
    out["limit_" .. name] = count
  end
end

local function read_limits(plugin, out)
  local limits = table_of({ "limits" }, plugin.limits)
  words.only({ "limits" }, limits, LIMITS, "limit")
  read_caps(limits, out)
  if limits.memory ~= nil then
    out.memory_limit = units.size(limits.memory)
    if not out.memory_limit or out.memory_limit < 4 * 1024 ^ 2 then
      refuse({ "limits", "memory" }, 'must be a size of at least 4M such as "64M", got %s',
        tostring(limits.memory))
    end
  end
  out.task = units.duration(limits.task or DEFAULT_TASK_SECONDS)
  if not out.task or out.task <= 0 then
    refuse({ "limits", "task" }, 'must be a duration such as "30s", got %s', tostring(limits.task))
  end
  if limits.watchdog ~= nil then
    out.watchdog = units.duration(limits.watchdog)
    if not out.watchdog or out.watchdog < LEAST_WATCHDOG_SECONDS then
      refuse({ "limits", "watchdog" }, 'must be a duration of at least 50ms such as "1s", got %s',
        tostring(limits.watchdog))
    end
  end
end

local function read_jit(plugin, out)
  if plugin.jit ~= nil and type(plugin.jit) ~= "boolean" then
    refuse({ "jit" }, "must be true or false, got %s", type(plugin.jit))
  end
  out.jit = plugin.jit ~= false
end

local function read_series(plugin)
  local out = {}
  local identifier = "^[a-z][a-z0-9_]*$"
  for _, name in ipairs(keys_of({ "series" }, plugin.series)) do
    local keys, series = { "series", name }, table_of({ "series", name }, plugin.series[name])
    words.only(keys, series, { keys = true, values = true, retention = true }, "option of a series")
    if not find(name, identifier) then
      refuse(keys, "a series' name is [a-z][a-z0-9_]*")
    end
    local entry = { name = name,
      keys = text_list(under(keys, "keys"), series.keys, identifier, "a column name"),
      values = text_list(under(keys, "values"), series.values, identifier, "a column name") }
    local seen = { at = true, n = true }
    for _, column in ipairs({ "keys", "values" }) do
      for i, word in ipairs(entry[column]) do
        if seen[word] then
          refuse(under(keys, column, i), "the column '%s' is taken", word)
        end
        seen[word] = true
      end
    end
    if #entry.values == 0 then
      refuse(under(keys, "values"), "needs at least one column")
    elseif series.retention ~= nil then
      entry.retention = units.duration(series.retention)
        or refuse(under(keys, "retention"), 'must be a duration such as "90d"')
    end
    out[#out + 1] = entry
  end
  return out
end

local function read_exports(plugin, out, context)
  out.exports, out.export_handlers = {}, {}
  for i, name in ipairs(keys_of({ "exports" }, plugin.exports)) do
    local handler = plugin.exports[name]
    if type(handler) ~= "function" then
      refuse({ "exports", name }, "must be a function, got %s", type(handler))
    elseif not find(name, "^[%a_][%w_]*$") then
      refuse({ "exports", name }, "must be a name")
    end
    out.exports[i] = name
    context.handler(out.export_handlers, i, "export:" .. name, handler)
  end
end

--- M.model = { rules = function(app, request, reason) }: called where app.model is, in the same task.
local function check_model(plugin)
  local model = table_of({ "model" }, plugin.model)
  words.only({ "model" }, model, { rules = true }, "part of M.model")
  if model.rules ~= nil and type(model.rules) ~= "function" then
    refuse({ "model", "rules" }, "must be a function, got %s", type(model.rules))
  end
end

local function read_life(plugin, out, context)
  for _, name in ipairs({ "start", "stop", "health" }) do
    if plugin[name] ~= nil then
      if type(plugin[name]) ~= "function" then
        refuse({ name }, "must be a function, got %s", type(plugin[name]))
      end
      context.handler(out, name, name, plugin[name])
    end
  end
end

--- Every handler is noted while the parts are read; at the end they are numbered in the order of their
--- names, and the numbers go where they belong.
local function new_handlers()
  local noted = {}
  local function note(owner, field, name, fn, checks)
    noted[#noted + 1] = { owner = owner, field = field, name = name, fn = fn, checks = checks }
  end
  local function number()
    table.sort(noted, function(a, b)
      return a.name < b.name
    end)
    local names = {}
    for i, entry in ipairs(noted) do
      entry.owner[entry.field], names[i] = i, entry.name
    end
    return noted, table.concat(names, "\n")
  end
  return note, number
end

--- "accounts >= 1.2" -> checked text
local function read_requires(plugin)
  local list = text_list({ "requires" }, plugin.requires, "^[a-z][a-z0-9_]*", "a plugin's name")
  for i, entry in ipairs(list) do
    if not find(entry, "^[a-z][a-z0-9_]*$")
      and not find(entry, "^[a-z][a-z0-9_]*%s+[<>=~]+%s*%d[%d.]*$") then
      refuse({ "requires", i }, 'must be "name" or "name >= 1.2", got "%s"', entry)
    end
  end
  return list
end

--- parts: name, settings (the configuration's table), source(file), encode, array_mark, hash.
--- Returns the declaration, the noted handlers in order, and the config values.
function M.read(plugin, parts)
  if type(plugin) ~= "table" then
    refuse({}, "must return a table, got %s", type(plugin))
  end
  check_plain({}, plugin, parts.array_mark, {})
  words.only({}, plugin, KNOWN, "field of a plugin")
  check_head(plugin, parts)
  local note, number = new_handlers()
  local config, secrets = read_config(plugin, parts)
  local out = { name = plugin.name, version = plugin.version, requires = read_requires(plugin),
    secrets = secrets }
  read_limits(plugin, out)
  read_jit(plugin, out)
  for key, list in pairs(allow.read(plugin, config, parts.settings, out.requires, text_list)) do
    out[key] = list
  end
  local context = { name = parts.name, plugin = plugin, config = config, source = parts.source,
    encode = parts.encode, handler = note, keys_of = keys_of, list_of = list_of,
    task_seconds = out.task }
  out.series = read_series(plugin)
  out.search = search.read(plugin.search, context)
  out.routes = routes.routes(plugin.routes, context)
  out.sockets = routes.sockets(plugin.sockets, context)
  out.pages = routes.pages(plugin.pages, context)
  out.queues = queues.read(plugin.queues, context)
  out.jobs = work.jobs(plugin.jobs, context)
  out.workflows = workflow.workflows(plugin.workflows, context, out.jobs)
  out.schedules = work.cron(plugin.cron, context, out.jobs)
  out.topics, out.allow_on = work.on(plugin.on, context, out.jobs)
  read_exports(plugin, out, context)
  check_model(plugin)
  read_life(plugin, out, context)
  local handlers, names = number()
  out.handler_count, out.handlers_hash = #handlers, parts.hash(names)
  return out, handlers, config
end

return M
