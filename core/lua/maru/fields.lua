--- Reads field declarations, "string(1,280)" or { type = "string", min = 1, max = 280 }, into one form:
--- { type, optional, default, min, max, values, items, fields, pattern, secret, help }.
local words = require "maru.words"

local find, gmatch, match, sub = string.find, string.gmatch, string.match, string.sub
local refuse, under = words.refuse, words.under

local M = {}

-- Options of each type besides type, default, optional, help and secret.
local TYPES = {
  string = { min = "length", max = "length", pattern = "text" },
  integer = { min = "number", max = "number" },
  number = { min = "number", max = "number" },
  boolean = {},
  array = { min = "length", max = "length", items = "field" },
  object = { fields = "fields" },
  enum = { values = "words" },
  any = {},
}
local COMMON = { type = true, default = true, optional = true, help = true, secret = true }
local DEPTH = 16

M.TYPES = TYPES

local function bounds(keys, text, kind, field)
  if text == "" then
    return field
  end
  local least, most = match(text, "^%s*(%-?[%d.]*)%s*,%s*(%-?[%d.]*)%s*$")
  if not least or not TYPES[kind].min then
    refuse(keys, "'%s(%s)' is not a field: write '%s(least,most)' or '%s'", kind, text, kind, kind)
  end
  field.min, field.max = tonumber(least), tonumber(most)
  return field
end

--- "enum(a,b)?" -> { type = "enum", values = { "a", "b" }, optional = true }
local function parse_text(keys, text)
  local kind, rest = match(text, "^%s*(%a+)%s*(.-)%s*$")
  if not kind or not TYPES[kind] then
    refuse(keys, "unknown type '%s'%s", text, words.suggest(kind, TYPES))
  end
  local field = { type = kind }
  if sub(rest, -1) == "?" then
    field.optional, rest = true, match(rest, "^(.-)%s*%?$")
  end
  local inside = match(rest, "^%((.*)%)$")
  if rest ~= "" and not inside then
    refuse(keys, "'%s' is not a field declaration", text)
  end
  if kind == "enum" then
    field.values = {}
    for word in gmatch(inside or "", "[^,%s]+") do
      field.values[#field.values + 1] = word
    end
    return field
  end
  return bounds(keys, inside or "", kind, field)
end

local function is_text_list(list)
  if type(list) ~= "table" or #list == 0 then
    return false
  end
  for _, item in ipairs(list) do
    if type(item) ~= "string" then
      return false
    end
  end
  return true
end

local function check_option(keys, key, value, kind)
  local at = under(keys, key)
  if kind == "number" and type(value) ~= "number" then
    refuse(at, "must be a number, got %s", type(value))
  elseif kind == "length" and not (type(value) == "number" and value >= 0 and value % 1 == 0) then
    refuse(at, "must be a whole number >= 0, got %s", type(value) == "number" and value or type(value))
  elseif kind == "text" then
    if type(value) ~= "string" then
      refuse(at, "must be text, got %s", type(value))
    end
    local ok, message = pcall(find, "", value)
    if not ok then
      refuse(at, "%s", message)
    end
  elseif kind == "words" and not is_text_list(value) then
    refuse(at, "must be a list of words")
  end
end

local function check_common(keys, spec)
  for _, key in ipairs({ "optional", "secret" }) do
    if spec[key] ~= nil and type(spec[key]) ~= "boolean" then
      refuse(under(keys, key), "must be true or false, got %s", type(spec[key]))
    end
  end
  if spec.help ~= nil and type(spec.help) ~= "string" then
    refuse(under(keys, "help"), "must be text, got %s", type(spec.help))
  end
end

local function check_shape(keys, field)
  if field.min and field.max and field.min > field.max then
    refuse(keys, "min is over max")
  elseif field.type == "enum" and not field.values then
    refuse(under(keys, "values"), "is required for an enum")
  elseif field.type == "enum" and #field.values == 0 then
    refuse(keys, "an enum needs values: 'enum(a,b)'")
  end
end

local function known_options(kind)
  local known = {}
  for key in pairs(COMMON) do
    known[key] = true
  end
  for key in pairs(TYPES[kind]) do
    known[key] = true
  end
  return known
end

--- One declaration in the one form. Raises through words.refuse.
function M.read(keys, spec, depth)
  depth = depth or 0
  if depth > DEPTH then
    refuse(keys, "fields nested deeper than %d", DEPTH)
  elseif type(spec) == "string" then
    spec = parse_text(keys, spec)
  elseif type(spec) ~= "table" then
    refuse(keys, "must be a field such as \"string(1,280)\" or { type = … }, got %s", type(spec))
  elseif type(spec.type) ~= "string" or not TYPES[spec.type] then
    refuse(under(keys, "type"), "unknown type '%s'%s", tostring(spec.type),
      words.suggest(spec.type, TYPES))
  end
  words.only(keys, spec, known_options(spec.type), "option of a field of type " .. spec.type)
  check_common(keys, spec)
  local field = {}
  for key, value in pairs(spec) do
    check_option(keys, key, value, TYPES[spec.type][key])
    field[key] = value
  end
  check_shape(keys, field)
  if field.items then
    field.items = M.read(under(keys, "items"), field.items, depth + 1)
  end
  if field.fields then
    field.fields = M.read_all(under(keys, "fields"), field.fields, depth + 1)
  end
  return field
end

--- { name = declaration } -> { name = field }.
function M.read_all(keys, specs, depth)
  if type(specs) ~= "table" then
    refuse(keys, "must be a table of fields, got %s", type(specs))
  end
  local all = {}
  for name, spec in pairs(specs) do
    if type(name) ~= "string" then
      refuse(keys, "a field needs a name, got item %s", tostring(name))
    end
    all[name] = M.read(under(keys, name), spec, depth)
  end
  return all
end

return M
