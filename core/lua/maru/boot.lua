--- First file of a VM: sandbox, plugin.lua, contract, app, handlers. vm/vm.c calls it with the C parts
--- and gets back the declaration, the function that every task runs, and what `maru check` looks at.
local build_app = require "maru.app"
local contract = require "maru.contract"
local route = require "maru.route"
local sandbox = require "maru.sandbox"
local schema = require "maru.schema"
local words = require "maru.words"

local concat, format = table.concat, string.format

-- What `require "maru.…"` reaches from a plugin, besides the objects of MODULE_NOUNS.
local MODULES = { "collector" }
local MODULE_NOUNS = { "crypto", "json", "kernels", "text" }

--- print(…): a line in the log, under the plugin's name.
local function printer(raw)
  return function(...)
    local words_of_line = {}
    for i = 1, select("#", ...) do
      words_of_line[i] = sandbox.tostring((select(i, ...)))
    end
    if raw.log then
      raw.log.write("info", concat(words_of_line, "\t"))
    end
  end
end

--- "plugins/x/plugin.lua:7: routes["GET /a"].cache: message"
local function describe(parts, refusal)
  local line = words.line(parts.source("plugin.lua") or "", refusal.keys)
  local path = words.path(refusal.keys)
  return format("%s/plugin.lua%s: %s%s", parts.dir, line and ":" .. line or "",
    path ~= "" and path .. ": " or "", refusal.message)
end

local function read_contract(parts, plugin)
  local ok, declaration, handlers, config = pcall(contract.read, plugin, {
    name = parts.name, settings = parts.settings, source = parts.source, hash = parts.hash,
    encode = parts.raw.json and parts.raw.json.encode,
  })
  if ok then
    return declaration, handlers, config
  end
  error(type(declaration) == "table" and describe(parts, declaration) or declaration, 0)
end

--- function(number) for a handler of the declaration; a number below 1 means that the event's first
--- value is the function itself (app.spawn).
local function runner(app, functions, arguments)
  local function call(fn, ...)
    return fn(app, ...)
  end
  return function(number)
    local handler = functions[number]
    if handler then
      return handler(app, arguments())
    end
    return call(arguments())
  end
end

return function(parts)
  local raw = parts.raw
  sandbox.apply(parts, printer(raw))
  if raw.json then
    schema.setup(raw.json)
  end
  local shared = {}
  for _, name in ipairs(MODULES) do
    parts.loaded["maru." .. name] = require("maru." .. name)
  end
  for _, name in ipairs(MODULE_NOUNS) do
    if raw[name] then
      shared[name] = require("maru." .. name)(raw[name], { raw = raw })
      parts.loaded["maru." .. name] = shared[name]
    end
  end
  local plugin = parts.load_plugin()
  local declaration, handlers, config = read_contract(parts, plugin)
  local app = build_app(parts, shared, plugin, declaration, config)
  local functions = {}
  for i, handler in ipairs(handlers) do
    functions[i] = handler.checks and route(handler, raw.http, parts.development) or handler.fn
  end
  return declaration, runner(app, functions, parts.arguments), { app = app, modules = parts.loaded }
end
