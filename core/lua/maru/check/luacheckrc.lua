--- Makes the .luacheckrc of a plugin from maru.d.lua: a plugin's globals and nothing else.
local types = require "maru.check.types"

local HEAD = [[
-- What a plugin has of Lua; anything else is a mistake that the host would refuse.
std = "none"
max_line_length = 120
unused_args = false -- handlers are function(app, event) also where one of them is not needed
exclude_files = { "**/.maru" }
]]

local TAIL = [[
-- A spec runs under busted, outside of the sandbox; `maru test` gives it `test`.
files["**/spec/**/*.lua"] = { std = "luajit+busted", read_globals = { "test" } }
]]

local function fields_of(class)
  local parts = {}
  for i, name in ipairs(types.names(class)) do
    parts[i] = name .. " = {}"
  end
  return table.concat(parts, ", ")
end

--- parsed: what types.read returned.
return function(parsed)
  local lines, globals = { HEAD .. "read_globals = {" }, parsed.classes["maru.Lua"]
  for _, name in ipairs(types.names(globals)) do
    local library = parsed.classes["maru.Lua." .. name]
    lines[#lines + 1] = library and ("  %s = { fields = { %s } },"):format(name, fields_of(library))
      or ('  "%s",'):format(name)
  end
  lines[#lines + 1] = "}\n" .. TAIL
  return table.concat(lines, "\n")
end
