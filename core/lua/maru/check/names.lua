--- Names that nothing stands behind: globals, parts of the host's handle, modules.
local values = require "maru.check.values"
local words = require "maru.words"

local M = {}

local TITLES = { tx = "a transaction", stream = "a stream", socket = "a socket", subscription = "a subscription",
  request = "a request", http_stream = "a streamed answer", floats = "floats" }

--- Undefined globals, and what a plugin does not have of the standard libraries.
function M.globals(unit, surface, report)
  for _, node in ipairs(unit.parsed.names) do
    if not node.binding and surface.globals[node.name] == nil then
      if node.target then
        report(unit, node.pos, "global", "assignment to undeclared variable '" .. node.name
          .. "': declare it with local", #node.name)
      else
        report(unit, node.pos, "global", "undeclared variable '" .. node.name
          .. "' (misspelt, or not available to plugins)" .. words.suggest(node.name, surface.globals), #node.name)
      end
    end
  end
  for _, node in ipairs(unit.parsed.indexes) do
    local object, key = node.object, values.text(node.key)
    local library = object.k == "name" and not object.binding and surface.globals[object.name]
    if type(library) == "table" and key and library[key.text] == nil and not node.written then
      report(unit, node.pos, "global", object.name .. "." .. key.text .. " is not available to plugins"
        .. words.suggest(key.text, library), #key.text)
    end
  end
end

--- The names known below "app", "app.store", "tx.jobs" …; nil when anything may stand there.
local function known(surface, declared, path)
  if path == "app.config" then
    return declared.config
  elseif path == "app.env" then
    return declared.env
  end
  local here = surface
  for word in string.gmatch(path, "[^.]+") do
    here = type(here) == "table" and here[word] or nil
  end
  return type(here) == "table" and here or nil
end

local function complaint(path, name, names)
  local suggestion = words.suggest(name, names)
  if path == "app" then
    return "app." .. name .. " is not a part of app" .. suggestion
  elseif path == "app.config" then
    return "M.config has no '" .. name .. "'" .. suggestion
  elseif path == "app.env" then
    return "M.allow.env does not list '" .. name .. "'" .. suggestion
  end
  return (TITLES[path] or path) .. " has no '" .. name .. "'" .. suggestion
end

local function check_name(unit, path, name, pos, context)
  local names = known(context.surface, context.declared, path)
  if names and names[name] == nil then
    context.report(unit, pos, "unknown", complaint(path, name, names), #name)
    return false
  end
  return names ~= nil
end

--- app.store.all(…) where app.store:all(…) is meant, and the other way round.
local function check_mark(unit, call, context)
  local object, name, given
  if call.k == "method" then
    object, name, given = values.kind(call.object), call.name, "method"
  elseif call.fn.k == "index" then
    local key = values.text(call.fn.key)
    object, name, given = values.kind(call.fn.object), key and key.text, "function"
  end
  local class = object and context.types.variables[object]
  local style = class and name and context.types.classes[class].fields[name]
  if (style == "method" or style == "function") and style ~= given then
    local mark = style == "method" and ":" or "."
    context.report(unit, call.k == "method" and call.pos or call.fn.pos, "unknown",
      object .. mark .. name .. " is called with a " .. (mark == ":" and "colon" or "dot"), #name)
  end
end

--- app.* and the handles that the host gives.
function M.handles(unit, context)
  for _, node in ipairs(unit.parsed.indexes) do
    local path, key = values.kind(node.object), values.text(node.key)
    if path and key then
      check_name(unit, path, key.text, node.pos, context)
    end
  end
  for _, call in ipairs(unit.parsed.calls) do
    local path = call.k == "method" and values.kind(call.object)
    if not path or check_name(unit, path, call.name, call.pos, context) then
      check_mark(unit, call, context)
    end
  end
end

local function module_names(context)
  local names = {}
  for name in pairs(context.surface.modules) do
    names[name] = true
  end
  for _, unit in ipairs(context.units) do
    local name = unit.name:match("^(.*)/init%.lua$") or unit.name:match("^(.*)%.lua$")
    names[(name:gsub("/", "."))] = true
  end
  return names
end

--- Modules that are not there, and those that are loaded for nothing.
function M.modules(unit, context)
  context.module_names = context.module_names or module_names(context)
  local owners = {}
  for _, binding in ipairs(unit.parsed.bindings) do
    if binding.init then
      owners[binding.init] = binding
    end
  end
  for _, call in ipairs(unit.parsed.calls) do
    local is_require = call.k == "call" and call.fn.k == "name" and call.fn.name == "require"
      and not call.fn.binding
    local name = is_require and values.text(call.args[1])
    if name and not context.module_names[name.text] then
      context.report(unit, call.args[1].pos, "module", "no module '" .. name.text .. "' in this plugin or maru.*"
        .. words.suggest(name.text, context.module_names), #name.text + 2)
    elseif name and owners[call] and owners[call].reads <= 0 and not owners[call].assigned then
      context.warn(unit, owners[call].pos, "unused", "'" .. name.text .. "' is required and never used",
        #owners[call].name)
    end
  end
end

return M
