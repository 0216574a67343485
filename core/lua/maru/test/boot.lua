--- First file of a spec's VM (server_test.c makes it): all of Lua, and busted, which runs the spec file as
--- one task; the plugin's own `app` when the spec asks for it.
local build_app = require "maru.app"
local loading = require "maru.loading"
local run = require "maru.test.run"

local FOREVER = 1e9 -- seconds; a spec is ended by whoever started it
local SPEC_MEMORY, SPEC_COUNT = 2 ^ 31, 10 ^ 6

local function with(parts, settings)
  return setmetatable({ settings = settings }, { __index = parts })
end

local function unbounded(declaration)
  declaration.memory_limit, declaration.task, declaration.watchdog = SPEC_MEMORY, FOREVER, FOREVER
  for name in pairs(declaration) do
    if string.find(name, "^limit_") then
      declaration[name] = SPEC_COUNT
    end
  end
  return declaration
end

--- The plugin's files see its own `require`, as they do in a VM of a plugin.
local function load_plugin(parts)
  local globals = parts.globals
  local outer = globals.require
  globals.require = parts.require
  local ok, plugin = pcall(parts.load_plugin)
  globals.require = outer
  return ok and plugin or error(plugin, 0)
end

--- require "parse" in a spec finds the plugin's parse.lua; what Lua finds itself comes first.
local function add_searcher(parts)
  local package = parts.globals.package
  package.loaders[#package.loaders + 1] = function(name)
    local ok, module = pcall(parts.require, name)
    if ok then
      return function()
        return module
      end
    end
    return "\n\t" .. tostring(module)
  end
end

return function(parts)
  local raw, shared = parts.raw, loading.shared(parts)
  local declaration = loading.contract(with(parts, {}), { name = parts.name, version = "0.0.0" })
  parts.globals.os.time, parts.globals.os.date = os.time, os.date
  function parts.globals.os.exit(code)
    raw.test.exit(type(code) == "number" and code or (code == false and 1 or 0))
  end
  add_searcher(parts)

  local function make_app(settings)
    local mine = with(parts, settings)
    local plugin = load_plugin(mine)
    local declared, _, config = loading.contract(mine, plugin)
    raw.test.declare(unbounded(declared))
    return build_app(mine, shared, plugin, declared, config), declared
  end

  return unbounded(declaration), function(number)
    if number == 0 then
      return run({ globals = parts.globals, raw = raw, json = shared.json, crypto = shared.crypto,
        name = parts.name, settings = parts.settings, make_app = make_app })
    end
    local function call(fn, ...)
      return fn(nil, ...)
    end
    return call(parts.arguments())
  end
end
