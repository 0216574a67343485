--- The table that plugin.lua returns, as far as the source shows it, and what of it is never used.
local values = require "maru.check.values"
local words = require "maru.words"

local M = {}

local HTTP = { get = true, post = true, put = true, patch = true, delete = true, head = true, request = true }
local JOBS = { ["app.jobs:push"] = true, ["app.jobs:push_many"] = true, ["tx.jobs:push"] = true,
  ["tx.jobs:push_many"] = true, ["maybe_tx.jobs:push"] = true, ["maybe_tx.jobs:push_many"] = true }
-- These name jobs within their lists.
local MEMBERS = { ["app.jobs:batch"] = true, ["app.workflows:chain"] = true, ["app.workflows:group"] = true,
  ["app.workflows:chord"] = true, ["app.jobs:push_celery"] = true }

--- The entries of a table constructor by their constant keys, and its list; nil when there is no constructor.
local function entries(node)
  node = values.source(node)
  if not node or node.k ~= "table" then
    return nil
  end
  local out = { list = {}, keys = {}, whole = true }
  for _, item in ipairs(node.items) do
    local key = item.key and values.text(item.key)
    if key then
      out.keys[key.text] = item.value
    elseif item.key then
      out.whole = false
    else
      out.list[#out.list + 1] = item.value
    end
  end
  return out
end

--- Whether the node is a name of the table that the file returns.
local function is_plugin(node, plugin)
  return node.k == "name" and node.binding ~= nil and node.binding == plugin
end

local function add_field(fields, target, value, plugin)
  local key = values.text(target.key)
  if not key then
    return
  elseif is_plugin(target.object, plugin) then
    fields[key.text] = fields[key.text] == nil and { value = value, more = {} } or { more = {}, unknown = true }
  elseif target.object.k == "index" and is_plugin(target.object.object, plugin) then
    local outer = values.text(target.object.key)
    local field = outer and fields[outer.text]
    if field then
      field.more[key.text] = value or true
    end
  end
end

--- M.config, M.jobs … of plugin.lua: name → { value, more = what M.config.x = … adds }.
local function read_fields(parsed)
  local last = parsed.returns[#parsed.returns]
  local value = last and not last.func and last.values[1]
  local binding = value and value.k == "name" and value.binding
  local fields = {}
  local constructor = entries(value)
  for key, field in pairs(constructor and constructor.keys or {}) do
    fields[key] = { value = field, more = {} }
  end
  if binding then
    for _, assign in ipairs(parsed.assigns) do
      if assign.target.k == "index" then
        add_field(fields, assign.target, assign.value, binding)
      end
    end
  end
  return fields, value ~= nil
end

--- Set of a field's keys; nil when the source does not show all of them.
local function keys_of(fields, name, readable)
  local field = fields[name]
  if not field then
    return readable and {} or nil
  end
  local found = not field.unknown and entries(field.value)
  if not found or not found.whole then
    return nil
  end
  local keys = {}
  for _, from in ipairs({ found.keys, field.more }) do
    for key in pairs(from) do
      keys[key] = true
    end
  end
  return keys
end

--- The texts of a list with their nodes; nil when one of them is not constant.
local function texts_of(node)
  local found = entries(node)
  if not found then
    return nil
  end
  local list = {}
  for i, item in ipairs(found.list) do
    local constant = values.text(item)
    if not constant then
      return nil
    end
    list[i] = { text = constant.text, pos = constant.segments[1].node.pos }
  end
  return list
end

--- "private:" only says that the address may be a private one.
local function without_private(list)
  for _, entry in ipairs(list or {}) do
    entry.text = entry.text:gsub("^private:", "")
  end
end

--- declared: config, env, jobs, series (sets, nil = unknown); allow (kind → list); requires (list).
function M.read(unit)
  local fields, readable = read_fields(unit.parsed)
  local allow = fields.allow and entries(fields.allow.value)
  local declared = { allow = {}, requires = fields.requires and texts_of(fields.requires.value) or {},
    config = keys_of(fields, "config", readable), jobs = keys_of(fields, "jobs", readable),
    series = keys_of(fields, "series", readable) }
  for _, kind in ipairs({ "net", "fs", "env", "exec", "exports", "jobs", "events" }) do
    local node = allow and allow.keys[kind]
    declared.allow[kind] = node and texts_of(node) or nil
    declared[kind .. "_known"] = not fields.allow or (allow ~= nil and allow.whole and (not node or
      declared.allow[kind] ~= nil))
  end
  declared.model_allowed = fields.allow ~= nil and (not allow or not allow.whole or allow.keys.model ~= nil)
  without_private(declared.allow.net)
  if declared.env_known and readable then
    declared.env = {}
    for _, entry in ipairs(declared.allow.env or {}) do
      declared.env[entry.text] = true
    end
  end
  return declared
end

-- ---- use ---------------------------------------------------------------------------------------

--- app[name] may be any part, and app.env by itself, as in pairs(app.env), any variable.
local function note_indexes(unit, use)
  local env, taken = {}, {}
  for _, node in ipairs(unit.parsed.indexes) do
    local key = values.text(node.key)
    local path = values.kind(node.object)
    if key then
      use.fields[key.text] = true
    end
    if path == "app" and not key then
      use.dynamic = true
    elseif path == "app" then
      use.parts[key.text] = true
      env[#env + 1] = key.text == "env" and node or nil
    elseif path == "app.env" then
      use.env[key and key.text or "*"], taken[node.object] = true, true
    elseif path == nil and key and key.text == "exec" then
      use.parts.exec = true
    end
  end
  for _, node in ipairs(env) do
    use.env["*"] = use.env["*"] or not taken[node] or nil
  end
end

local function note_call(call, use)
  local what = values.called(call)
  local method = what and string.match(what, "^app%.http:(%a+)$")
  local first = call.args[1]
  if method and HTTP[method] then
    local host = values.authority(values.prefix(first))
    use.hosts[host or "*"] = first and first.pos or call.pos
  elseif what == "app.call" then
    local name = values.text(first)
    use.calls[name and name.text or "*"] = true
    use.calls_prefix[string.match(values.prefix(first), "^([%w_]+)%.") or "*"] = true
  elseif JOBS[what] then
    local name = values.text(first)
    use.pushes[name and name.text or "*"] = true
  elseif MEMBERS[what] then
    use.pushes["*"] = true
  end
end

local function collect(units)
  local use = { fields = {}, parts = {}, env = {}, hosts = {}, calls = {}, calls_prefix = {}, pushes = {},
    strings = {} }
  for _, unit in ipairs(units) do
    note_indexes(unit, use)
    for _, call in ipairs(unit.parsed.calls) do
      note_call(call, use)
      if call.k == "method" then
        use.fields[call.name] = true
      end
    end
    for _, node in ipairs(unit.parsed.strings) do
      use.strings[#use.strings + 1] = node.value
    end
  end
  return use
end

local function check_kind(unit, declared, kind, used, what, context)
  local list = declared.allow[kind]
  if list and #list > 0 and not used then
    context.warn(unit, list[1].pos, "capability", "M.allow." .. kind .. " is never used: nothing here "
      .. what, #list[1].text + 2)
    return false
  end
  return list ~= nil
end

local function matches(entry, host)
  if entry:sub(1, 2) == "*." then
    return host:sub(-#entry + 1) == entry:sub(2)
  end
  return entry == host
end

--- Hosts of M.allow.net against the URLs of the sources, when all of them are constant.
local function check_hosts(unit, declared, use, context)
  local list, plain = declared.allow.net or {}, true
  for _, entry in ipairs(list) do
    plain = plain and not entry.text:find("^config:")
  end
  for _, entry in ipairs(use.hosts["*"] and {} or list) do
    local found = entry.text:find("^config:") ~= nil
    for host in pairs(use.hosts) do
      found = found or matches(entry.text:lower(), host)
    end
    if not found then
      context.warn(unit, entry.pos, "capability", "M.allow.net lists '" .. entry.text
        .. "', which no request here goes to", #entry.text + 2)
    end
  end
  return plain and declared.net_known
end

local function check_requests(units, declared, context)
  for _, unit in ipairs(units) do
    for _, call in ipairs(unit.parsed.calls) do
      local what = values.called(call)
      local host = what and string.match(what, "^app%.http:%a+$") and values.authority(values.prefix(call.args[1]))
      local allowed = not host
      for _, entry in ipairs(declared.allow.net or {}) do
        allowed = allowed or matches(entry.text:lower(), host)
      end
      if not allowed then
        context.report(unit, call.args[1].pos, "capability", "M.allow.net does not list '" .. host .. "'", 1)
      end
    end
  end
end

local function check_models(units, declared, context)
  for _, unit in ipairs(units) do
    for _, call in ipairs(unit.parsed.calls) do
      if string.find(values.called(call) or "", "^app%.model:") and call.args[1] and not declared.model_allowed then
        context.report(unit, call.args[1].pos, "capability", "M.allow.model is not there: app.model refuses", 1)
      end
    end
  end
end

--- A constant name of another plugin's job, against M.allow.jobs.
local function check_foreign(unit, argument, declared, context)
  local name = values.text(argument)
  local plugin = name and name.text:match("^([^.]+)%.")
  local allowed = not plugin or plugin == context.plugin or not declared.jobs_known
  for _, entry in ipairs(declared.allow.jobs or {}) do
    allowed = allowed or entry.text == name.text or entry.text == plugin .. ".*"
  end
  if not allowed then
    context.report(unit, argument.pos, "capability", "M.allow.jobs does not list '" .. name.text .. "'", #name.text + 2)
  end
end

local function check_names(units, declared, context)
  local lists = { ["app.series:append"] = "series",
    ["app.series:latest"] = "series",
    ["app.series:window"] = "series", ["app.series:downsample"] = "series", ["app.series:stats"] = "series",
    ["app.series:export"] = "series" }
  for _, unit in ipairs(units) do
    for _, call in ipairs(unit.parsed.calls) do
      local what = values.called(call) or ""
      local list = JOBS[what] and "jobs" or lists[what]
      local name = list and declared[list] and values.text(call.args[1])
      if name and not name.text:find(".", 1, true) and not declared[list][name.text] then
        context.report(unit, call.args[1].pos, "unknown", "there is no '" .. name.text .. "' in M." .. list
          .. words.suggest(name.text, declared[list]), #name.text + 2)
      end
      if JOBS[what] then
        check_foreign(unit, call.args[1], declared, context)
      end
    end
  end
end

local function check_requires(unit, declared, use, context)
  for _, entry in ipairs(declared.requires) do
    local name = string.match(entry.text, "^[%w_]+") or ""
    local used = use.calls_prefix["*"] or use.calls_prefix[name]
    for _, text in ipairs(use.strings) do
      used = used or text:sub(1, #name + 1) == name .. "."
    end
    if not used then
      context.warn(unit, entry.pos, "unused", "requires '" .. name .. "', but nothing here calls it or names its "
        .. "jobs or channels", #entry.text + 2)
    end
  end
end

local function check_entries(unit, list, used, format, context)
  for _, entry in ipairs(used["*"] and {} or list or {}) do
    local found = used[entry.text] or context.fields[entry.text]
    if not found and not entry.text:find("*", 1, true) then
      context.warn(unit, entry.pos, "capability", format:format(entry.text), #entry.text + 2)
    end
  end
end

--- What is declared and not used, and what is used and not declared.
function M.check(unit, declared, context)
  local use = collect(context.units)
  context.fields = use.fields
  check_names(context.units, declared, context)
  check_requires(unit, declared, use, context)
  check_models(context.units, declared, context)
  local any = use.dynamic
  if check_kind(unit, declared, "net", any or use.fields.http, "uses app.http", context)
    and check_hosts(unit, declared, use, context) or declared.net_known and not declared.allow.net then
    check_requests(context.units, declared, context)
  end
  check_kind(unit, declared, "fs", any or use.fields.read, "uses app.read", context)
  check_kind(unit, declared, "exec", any or use.parts.exec, "uses app.exec", context)
  if check_kind(unit, declared, "env", any or use.fields.env, "reads app.env", context) and not any then
    check_entries(unit, declared.allow.env, use.env, "M.allow.env lists '%s', which nothing here reads", context)
  end
  if check_kind(unit, declared, "exports", any or use.fields.call, "uses app.call", context) and not any then
    check_entries(unit, declared.allow.exports, use.calls,
      "M.allow.exports lists '%s', which nothing here calls", context)
  end
  if check_kind(unit, declared, "jobs", any or next(use.pushes), "pushes a job", context) and not any then
    check_entries(unit, declared.allow.jobs, use.pushes, "M.allow.jobs lists '%s', which nothing here pushes", context)
  end
end

return M
