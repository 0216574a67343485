--- Reads field declarations, "string(1,280)" or { type = "string", min = 1, max = 280 }, into one form,
--- which schema.lua compiles and describe.lua describes:
--- { type, optional, nullable, default, min, max, above, below, step, values, items, unique, fields, open,
---   one_of, pattern, format, example, deprecated, secret, help, bare (an object whose fields were declared
---   without `type` and `fields` around them) }.
local formats = require "maru.formats"
local words = require "maru.words"

local find, gmatch, gsub, match = string.find, string.gmatch, string.gsub, string.match
local refuse, under = words.refuse, words.under

local M = {}

-- Options of each type besides those of COMMON, and what each must be: see check_option.
local TYPES = {
  string = { min = "length", max = "length", pattern = "pattern", format = "format" },
  integer = { min = "whole", max = "whole", above = "whole", below = "whole", step = "step" },
  number = { min = "number", max = "number", above = "number", below = "number" },
  boolean = {},
  array = { min = "length", max = "length", items = "field", unique = "flag" },
  object = { fields = "fields", values = "field", min = "length", max = "length", open = "flag" },
  enum = { values = "words" },
  one_of = { one_of = "list" },
  any = {},
}
local COMMON = { type = true, default = true, optional = "flag", nullable = "flag", secret = "flag",
  deprecated = "flag", help = "text", example = true }
local SCALARS = { string = true, integer = true, number = true, boolean = true, enum = true }
local DEPTH, MEMBERS, WORDS = 16, 200, 1000
local WHOLE_MOST = 2 ^ 53 - 1

-- What a declaration's type may be: a type or a format, "uuid" for { type = "string", format = "uuid" }.
local NAMES = {}
for name in pairs(TYPES) do
  NAMES[name] = name ~= "one_of" or nil
end
for name in pairs(formats.KNOWN) do
  NAMES[name] = true
end

M.TYPES = TYPES
M.COMMON = COMMON
M.WHOLE_MOST = WHOLE_MOST

local function is_number(value)
  return type(value) == "number" and value == value and value > -math.huge and value < math.huge
end

--- "1" -> 1; ">0" -> nil, 0; "" -> nil. mark: "[>]" or "[<]". False when it is neither.
local function read_bound(text, mark)
  local exclusive, digits = match(text, "^%s*(" .. mark .. "?)%s*(%-?[%d.]*)%s*$")
  if digits == "" and exclusive == "" then
    return nil
  end
  local number = tonumber(digits)
  if not number then
    return false
  elseif exclusive ~= "" then
    return nil, number
  end
  return number
end

local function read_bounds(keys, text, field, shown)
  local left, right = match(text, "^([^,]*),([^,]*)$")
  local options = TYPES[field.type]
  local least, above, most, below
  if left and options.min then
    least, above = read_bound(left, "[>]")
    most, below = read_bound(right, "[<]")
  end
  if not left or not options.min or least == false or most == false
    or ((above or below) and not options.above) then
    refuse(keys, "'%s(%s)' is not a field: write '%s(least,most)' or '%s'", shown, text, shown, shown)
  end
  field.min, field.above, field.max, field.below = least, above, most, below
end

--- The outermost "[]" or "[1,20]" at the end makes an array of what stands before it.
local function read_array(keys, text)
  local inner, bounds = match(text, "^(.-)%s*%[([^%[%]]*)%]$")
  if not inner then
    return nil
  end
  local field = { type = "array", items = inner }
  if find(bounds, "%S") then
    read_bounds(keys, bounds, field, "array")
  end
  return field
end

local function read_words(text)
  local list = {}
  for word in gmatch(text, "[^,%s]+") do
    list[#list + 1] = word
  end
  return list
end

local function read_name(keys, text)
  local kind, rest = match(text, "^(%a[%w_]*)%s*(.-)$")
  if not kind or not NAMES[kind] then
    refuse(keys, "unknown type '%s'%s", text, words.suggest(kind, NAMES))
  end
  local field = TYPES[kind] and { type = kind } or { type = "string", format = kind }
  local inside = match(rest, "^%((.*)%)$")
  if rest ~= "" and not inside then
    refuse(keys, "'%s' is not a field declaration", text)
  end
  if kind == "enum" then
    field.values = read_words(inside or "")
  elseif inside and find(inside, "%S") then
    read_bounds(keys, inside, field, kind)
  end
  return field
end

--- "enum(a,b)|null?" -> { type = "enum", values = { "a", "b" }, nullable = true, optional = true }
local function parse_text(keys, text)
  local rest, optional = gsub(match(text, "^%s*(.-)%s*$"), "%s*%?$", "")
  local bare, nullable = gsub(rest, "%s*|%s*null$", "")
  local field = read_array(keys, bare) or read_name(keys, bare)
  field.optional, field.nullable = optional > 0 or nil, nullable > 0 or nil
  return field
end

local function is_word_list(list)
  if type(list) ~= "table" or #list == 0 or #list > WORDS then
    return false
  end
  local kind = type(list[1])
  for _, item in ipairs(list) do
    if type(item) ~= kind or not (kind == "string" or is_number(item)) then
      return false
    end
  end
  return true
end

local function show(value)
  return type(value) == "number" and tostring(value) or type(value)
end

local CHECKS = {
  flag = function(at, value)
    if type(value) ~= "boolean" then
      refuse(at, "must be true or false, got %s", type(value))
    end
  end,
  text = function(at, value)
    if type(value) ~= "string" then
      refuse(at, "must be text, got %s", type(value))
    end
  end,
  number = function(at, value)
    if not is_number(value) then
      refuse(at, "must be a number, got %s", show(value))
    end
  end,
  whole = function(at, value)
    if not is_number(value) then
      refuse(at, "must be a number, got %s", show(value))
    elseif value % 1 ~= 0 or value < -WHOLE_MOST or value > WHOLE_MOST then
      refuse(at, "must be a whole number, got %s", show(value))
    end
  end,
  step = function(at, value)
    if not is_number(value) or value % 1 ~= 0 or value < 1 or value > WHOLE_MOST then
      refuse(at, "must be a whole number >= 1, got %s", show(value))
    end
  end,
  length = function(at, value)
    if not is_number(value) or value < 0 or value % 1 ~= 0 then
      refuse(at, "must be a whole number >= 0, got %s", show(value))
    end
  end,
  pattern = function(at, value)
    if type(value) ~= "string" then
      refuse(at, "must be text, got %s", type(value))
    end
    local ok, message = pcall(find, "", value)
    if not ok then
      refuse(at, "%s", message)
    end
  end,
  format = function(at, value)
    if not formats.KNOWN[value] then
      refuse(at, "unknown format '%s'%s", tostring(value), words.suggest(value, formats.KNOWN))
    end
  end,
  words = function(at, value)
    if not is_word_list(value) then
      refuse(at, "must be a list of words, or of numbers")
    end
  end,
  list = function(at, value)
    if type(value) ~= "table" or #value < 2 or #value > 20 then
      refuse(at, "must be a list of 2 to 20 fields")
    end
  end,
}

local function check_shape(keys, field)
  local least, most = field.min or field.above, field.max or field.below
  if least and most and least > most then
    refuse(keys, "min is over max")
  elseif field.type == "enum" and not field.values then
    refuse(under(keys, "values"), "is required for an enum")
  elseif field.type == "enum" and #field.values == 0 then
    refuse(keys, "an enum needs values: 'enum(a,b)'")
  elseif field.fields and (field.values or field.min or field.max) then
    refuse(keys, "an object has either `fields` or `values`, and `min` and `max` go with `values`")
  elseif field.nullable and field.type == "any" then
    refuse(under(keys, "nullable"), "a field of type any may be null already")
  end
end

local known_options = {}
for kind, options in pairs(TYPES) do
  known_options[kind] = {}
  for _, some in ipairs({ COMMON, options }) do
    for key in pairs(some) do
      known_options[kind][key] = true
    end
  end
end

--- A copy whose type is one of TYPES: a format used as a type, and `one_of` without a type, are written out.
local function expand(keys, spec)
  local field = {}
  for key, value in pairs(spec) do
    field[key] = value
  end
  if field.type == nil and field.one_of ~= nil then
    field.type = "one_of"
  elseif type(field.type) ~= "string" or not (NAMES[field.type] or field.type == "one_of") then
    refuse(under(keys, "type"), "unknown type '%s'%s", tostring(field.type),
      words.suggest(field.type, NAMES))
  elseif formats.KNOWN[field.type] then
    field.type, field.format = "string", field.type
  end
  return field
end

local function read_inner(keys, field, depth)
  if field.items then
    field.items = M.read(under(keys, "items"), field.items, depth + 1)
    if field.unique and not SCALARS[field.items.type] then
      refuse(under(keys, "unique"), "only text, numbers and booleans can be compared")
    end
  elseif field.unique then
    refuse(under(keys, "unique"), "needs `items`")
  end
  if field.fields then
    field.fields = M.read_all(under(keys, "fields"), field.fields, depth + 1)
  end
  if field.type == "object" and field.values then
    field.values = M.read(under(keys, "values"), field.values, depth + 1)
  end
  if field.one_of then
    local list = {}
    for i, spec in ipairs(field.one_of) do
      list[i] = M.read(under(keys, "one_of", i), spec, depth + 1)
      if list[i].optional or list[i].default ~= nil then
        refuse(under(keys, "one_of", i), "`optional` and `default` belong to the field around it")
      end
    end
    field.one_of = list
  end
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
  end
  local field = expand(keys, spec)
  words.only(keys, field, known_options[field.type], "option of a field of type " .. field.type)
  for _, key in ipairs(words.sorted_keys(field)) do
    local check = CHECKS[TYPES[field.type][key] or COMMON[key]]
    if check then
      check(under(keys, key), field[key])
    end
  end
  check_shape(keys, field)
  read_inner(keys, field, depth)
  return field
end

--- { name = declaration } -> { name = field }.
function M.read_all(keys, specs, depth)
  if type(specs) ~= "table" then
    refuse(keys, "must be a table of fields, got %s", type(specs))
  end
  local all, count = {}, 0
  for name, spec in pairs(specs) do
    if type(name) ~= "string" then
      refuse(keys, "a field needs a name, got item %s", tostring(name))
    end
    all[name] = M.read(under(keys, name), spec, depth)
    count = count + 1
  end
  if count > MEMBERS then
    refuse(keys, "has %d fields; at most %d", count, MEMBERS)
  end
  return all
end

local function is_single(specs)
  if specs.type == "array" then
    return specs.items ~= nil
  elseif specs.type == "object" then
    return type(specs.fields) == "table" or specs.values ~= nil
  elseif specs.type == "any" then
    return type(specs.help) == "string"
  end
  return specs.type == nil and type(specs.one_of) == "table" and specs.one_of[1] ~= nil
end

--- Whether a text is a declaration, right or wrong, rather than a sentence.
function M.is_field(text)
  local name, rest = match(text, "^%s*(%a[%w_]*)%s*(.-)%s*$")
  return NAMES[name] ~= nil and (rest == "" or find(rest, "^[%(%[?|]") ~= nil)
end

--- What a body may be declared as: a table of fields, or one field, as text or as a table of type array,
--- object (with `fields` or `values`), any (with `help`), or with `one_of`.
function M.read_body(keys, specs)
  if type(specs) == "string" or type(specs) == "table" and is_single(specs) then
    return M.read(keys, specs)
  end
  return { type = "object", fields = M.read_all(keys, specs, 1), bare = true }
end

return M
