--- app.now, app.sleep, app.spawn, app.call.
local words = require "maru.words"

return function(raw, info)
  local app = info.app
  app.now, app.sleep, app.spawn = raw.now, raw.sleep, raw.spawn

  local needed = {}
  for _, entry in ipairs(info.declaration.requires) do
    needed[string.match(entry, "^[a-z0-9_]+")] = true
  end

  --- Decodes what the other plugin's handler returned; null stands for nil. (vm/ raw.call gave JSON)
  local function finish(ok, ...)
    if ok == nil then
      return nil, ...
    end
    return ...
  end

  function app.call(name, ...)
    local plugin, fn = string.match(type(name) == "string" and name or "", "^([a-z0-9_]+)%.([%w_]+)$")
    if not plugin then
      error('app.call(name, …): name must be "plugin.function"', 2)
    elseif not needed[plugin] and plugin ~= info.name then
      error("app.call: '" .. plugin .. "' is not in this plugin's requires" .. words.suggest(plugin, needed), 2)
    end
    return finish(raw.call(plugin, fn, ...))
  end
end
