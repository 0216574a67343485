--- Reads maru.d.lua: which classes there are, what stands in each, and which variable is of which class.
local M = {}

local find, gmatch, match = string.find, string.gmatch, string.match

local function class_of(types, name)
  types.classes[name] = types.classes[name] or { fields = {}, optional = {}, line = types.line }
  return types.classes[name]
end

--- The name, and whether "?" makes it optional, of "---@field name? type".
local function read_field(types, line)
  local key, question = match(line, "^%-%-%-@field (%[?[%w_]+%]?)(%??)")
  if key and types.open then
    key = match(key, "^%[(%d+)%]$") and tonumber(match(key, "%d+")) or key
    types.open.fields[key] = "field"
    types.open.optional[key] = question == "?"
  end
  return key
end

--- "app.store" of "app.store = {}" and "Stream" of "local Stream = {}" get the class above them.
local function read_variable(types, line)
  local name = match(line, "^local ([%w_]+) = {}") or match(line, "^([%w_.]+) = {}")
  if not name then
    return false
  end
  if types.open then
    types.variables[name] = types.open_name
  end
  local owner, key = match(name, "^(.*)%.([%w_]+)$")
  local class = owner and types.variables[owner]
  if class then
    class_of(types, class).fields[key] = "table"
  end
  return true
end

local function read_function(types, line)
  local owner, mark, name = match(line, "^function ([%w_.]-)([.:])([%w_]+)%(")
  local class = owner and types.variables[owner]
  if class then
    class_of(types, class).fields[name] = mark == ":" and "method" or "function"
  elseif owner then
    error("maru.d.lua:" .. types.line .. ": nothing says what " .. owner .. " is", 0)
  end
  return owner
end

local function read_value(types, line)
  local owner, name = match(line, "^([%w_.]+)%.([%w_]+) = nil")
  local class = owner and types.variables[owner]
  if class then
    class_of(types, class).fields[name] = "field"
  end
end

--- { classes = { ["maru.Store"] = { fields = { all = "method" }, optional = {} } },
---   variables = { ["app.store"] = "maru.Store" } }
function M.read(text)
  local types = { classes = {}, variables = {}, line = 0 }
  for line in gmatch(text, "([^\n]*)\n") do
    types.line = types.line + 1
    local name = match(line, "^%-%-%-@class ([%w_.]+)")
    if name then
      types.open, types.open_name = class_of(types, name), name
    elseif not find(line, "^%-%-") then
      if not read_variable(types, line) and not read_function(types, line) then
        read_value(types, line)
      end
      types.open, types.open_name = nil, nil
    else
      read_field(types, line)
    end
  end
  return types
end

--- Names in the order of the alphabet, numbers left out.
function M.names(class)
  local names = {}
  for key in pairs(class.fields) do
    if type(key) == "string" then
      names[#names + 1] = key
    end
  end
  table.sort(names)
  return names
end

return M
