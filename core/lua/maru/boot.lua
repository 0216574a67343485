--- First file of a VM: sandbox, plugin.lua, contract, app, handlers. vm/vm.c calls it with the C parts
--- and gets back the declaration, the function that every task runs, and what `maru check` looks at.
local build_app = require "maru.app"
local loading = require "maru.loading"
local route = require "maru.route"
local sandbox = require "maru.sandbox"

local concat = table.concat

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
  local shared = loading.shared(parts)
  local plugin = parts.load_plugin()
  local declaration, handlers, config = loading.contract(parts, plugin)
  local app = build_app(parts, shared, plugin, declaration, config)
  local functions = {}
  for i, handler in ipairs(handlers) do
    functions[i] = handler.checks and route(handler, raw.http, parts.development) or handler.fn
  end
  return declaration, runner(app, functions, parts.arguments), { app = app, modules = parts.loaded }
end
