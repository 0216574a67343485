--- Compiles field declarations into functions that check a value, fill in defaults and collect every
--- wrong field. A checker is function(value, run) -> value; run = { errors, coerce }. An error's path is
--- put together on the way out, so that right values cost no text.
local fields = require "maru.fields"
local words = require "maru.words"

local concat, find, floor, format, gsub, match = table.concat, string.find, math.floor,
  string.format, string.gsub, string.match

local M = {}

local INTEGER_MOST = 2 ^ 53
local ERRORS_KEPT = 50

-- json.null, which boot.lua sets: a null in an optional field is an absent field.
local null

local function wrong(run, message, field)
  local errors = run.errors
  if #errors < ERRORS_KEPT then
    errors[#errors + 1] = { field = field or "", message = message }
  end
end

local function put_before(run, from, prefix)
  local errors = run.errors
  for i = from, #errors do
    errors[i].field = prefix .. errors[i].field
  end
end

--- "from 1 to 20", "of at least 1", "of at most 20", "".
local function range(field, from, unit)
  if field.min and field.max then
    return format(" %s %s to %s%s", from, field.min, field.max, unit)
  elseif field.min then
    return format(" of at least %s%s", field.min, unit)
  end
  return field.max and format(" of at most %s%s", field.max, unit) or ""
end

local function length(text)
  if not find(text, "[\128-\255]") then
    return #text
  end
  local _, continuation = gsub(text, "[\128-\191]", "")
  return #text - continuation
end

local compile

local checkers = {}

function checkers.string(field)
  local least, most = field.min or 0, field.max or math.huge
  local message = "must be text" .. range(field, "of", " characters")
  local pattern = field.pattern and "^" .. match(field.pattern, "^%^?(.-)%$?$") .. "$"
  return function(value, run)
    if type(value) ~= "string" then
      return wrong(run, message)
    end
    local n = #value
    if (n > most or n < least * 4) and (length(value) > most or length(value) < least) then
      return wrong(run, message)
    elseif pattern and not find(value, pattern) then
      return wrong(run, "must match the pattern " .. field.pattern)
    end
    return value
  end
end

local function to_number(value, run)
  if type(value) == "string" and run.coerce
    and (find(value, "^%-?%d+%.?%d*$") or find(value, "^%-?%d+%.?%d*[eE][-+]?%d+$")) then
    return tonumber(value)
  end
  return value
end

function checkers.number(field)
  local least, most = field.min or -math.huge, field.max or math.huge
  local message = "must be a number" .. range(field, "from", "")
  return function(value, run)
    value = to_number(value, run)
    if type(value) ~= "number" or not (value >= least and value <= most) then
      return wrong(run, message)
    end
    return value
  end
end

function checkers.integer(field)
  local least, most = field.min or -INTEGER_MOST, field.max or INTEGER_MOST
  local message = "must be a whole number" .. range(field, "from", "")
  return function(value, run)
    if type(value) == "string" and run.coerce and find(value, "^%-?%d+$") then
      value = tonumber(value)
    end
    if type(value) ~= "number" or floor(value) ~= value or not (value >= least and value <= most) then
      return wrong(run, message)
    end
    return value
  end
end

function checkers.boolean()
  return function(value, run)
    if run.coerce and (value == "true" or value == "false") then
      return value == "true"
    elseif type(value) ~= "boolean" then
      return wrong(run, "must be true or false")
    end
    return value
  end
end

function checkers.enum(field)
  local known = {}
  for _, word in ipairs(field.values) do
    known[word] = true
  end
  local message = "must be one of " .. concat(field.values, ", ")
  return function(value, run)
    if type(value) ~= "string" or not known[value] then
      return wrong(run, message)
    end
    return value
  end
end

function checkers.any()
  return function(value)
    return value
  end
end

function checkers.array(field)
  local least, most = field.min or 0, field.max or math.huge
  local message = "must be an array" .. range(field, "of", " items")
  local check = field.items and compile(field.items)
  return function(value, run)
    if run.coerce and type(value) == "string" then
      value = { value }
    end
    if type(value) ~= "table" or (value[1] == nil and next(value) ~= nil) then
      return wrong(run, message)
    end
    local n = #value
    if n < least or n > most then
      return wrong(run, message)
    elseif not check then
      return value
    end
    local out, errors = {}, run.errors
    for i = 1, n do
      local before = #errors
      out[i] = check(value[i], run)
      if #errors > before then
        put_before(run, before + 1, format("[%d]", i))
      end
    end
    return n == 0 and setmetatable(out, M.array_mark) or out
  end
end

local function default_of(field)
  if type(field.default) == "table" then
    return function()
      return M.copy(field.default)
    end
  end
  return function()
    return field.default
  end
end

local function member(name, field)
  local check, default = compile(field), default_of(field)
  local optional = field.optional or field.default ~= nil
  return function(value, run)
    if value == nil or (value == null and field.type ~= "any") then
      if not optional then
        wrong(run, value == nil and "is required" or "must not be null", "." .. name)
      end
      return default()
    end
    local before = #run.errors
    value = check(value, run)
    if #run.errors > before then
      put_before(run, before + 1, "." .. name)
    end
    return value
  end
end

local function refuse_unknown(value, members, run)
  local unknown = {}
  for key in pairs(value) do
    if not members[key] then
      unknown[#unknown + 1] = tostring(key)
    end
  end
  table.sort(unknown)
  for _, key in ipairs(unknown) do
    wrong(run, "unknown field" .. words.suggest(key, members), "." .. key)
  end
end

function checkers.object(field)
  if not field.fields then
    return function(value, run)
      if type(value) ~= "table" or value[1] ~= nil then
        return wrong(run, "must be an object")
      end
      return value
    end
  end
  local names, members = words.sorted_keys(field.fields), {}
  for _, name in ipairs(names) do
    members[name] = member(name, field.fields[name])
  end
  return function(value, run)
    if type(value) ~= "table" or value[1] ~= nil then
      return wrong(run, "must be an object")
    end
    local out, given = {}, 0
    for i = 1, #names do
      local name = names[i]
      local raw = value[name]
      if raw ~= nil then
        given = given + 1
      end
      out[name] = members[name](raw, run)
    end
    for _ in next, value do
      given = given - 1
    end
    if given ~= 0 then
      refuse_unknown(value, members, run)
    end
    return out
  end
end

compile = function(field)
  return checkers[field.type](field)
end

function M.copy(value)
  if type(value) ~= "table" then
    return value
  end
  local out = {}
  for key, item in pairs(value) do
    out[key] = M.copy(item)
  end
  return getmetatable(value) == "array" and setmetatable(out, M.array_mark) or out
end

--- Field declarations -> function(value, name, coerce) -> checked copy | nil, errors. `name` begins the
--- paths in the errors ("body"); coerce turns text into numbers and booleans (query and path).
function M.compile(specs, keys)
  local read = fields.read_all(keys or { "fields" }, specs)
  local check = compile({ type = "object", fields = read })
  local function run_check(value, name, coerce)
    local run = { errors = {}, coerce = coerce }
    local out = check(value, run)
    if run.errors[1] then
      put_before(run, 1, name)
      return nil, run.errors
    end
    return out
  end
  return run_check, read
end

--- Called once by boot.lua with the JSON binding's null and a marked empty array.
function M.setup(json)
  null = json.null
  M.array_mark = json.array_mark
end

local function bound(out, field, least, most)
  out[least], out[most] = field.min, field.max
end

local describers = {
  string = function(out, field)
    bound(out, field, "minLength", "maxLength")
    out["x-lua-pattern"] = field.pattern
  end,
  integer = function(out, field)
    bound(out, field, "minimum", "maximum")
  end,
  array = function(out, field)
    bound(out, field, "minItems", "maxItems")
    out.items = field.items and M.describe(field.items) or nil
  end,
  enum = function(out, field)
    out.type, out.enum = "string", field.values
  end,
  object = function(out, field)
    if field.fields then
      M.describe_all(field.fields, out)
    end
  end,
  any = function(out)
    out.type = nil
  end,
  boolean = function() end,
}
describers.number = describers.integer

--- A field -> JSON Schema (2020-12) as a table.
function M.describe(field)
  local out = { type = field.type, description = field.help, default = field.default }
  describers[field.type](out, field)
  return out
end

--- { name = field } -> JSON Schema of an object with exactly these.
function M.describe_all(all, out)
  out = out or {}
  local required, properties = {}, {}
  for _, name in ipairs(words.sorted_keys(all)) do
    local field = all[name]
    properties[name] = M.describe(field)
    if not field.optional and field.default == nil then
      required[#required + 1] = name
    end
  end
  out.type, out.additionalProperties, out.properties = "object", false, properties
  out.required = required[1] and required or nil
  return out
end

return M
