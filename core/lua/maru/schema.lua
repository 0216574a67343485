--- Compiles field declarations into functions that check a value, fill in defaults and collect every
--- wrong field. A checker is function(value, run) -> value. An error's place is put together on the way
--- out, so that right values cost no text.
---
--- run: errors (those kept), count (all of them), text (numbers and booleans may be written as text),
--- split (text with commas is an array), strict (as JSON: {} is no array), own (change in place).
local describe = require "maru.describe"
local fast = require "maru.fast"
local fields = require "maru.fields"
local formats = require "maru.formats"
local patterns = require "maru.pattern"
local words = require "maru.words"

local find, floor, format, gmatch, gsub, match, sub = string.find, math.floor, string.format,
  string.gmatch, string.gsub, string.match, string.sub
local refuse, under = words.refuse, words.under

local M = {}

local WHOLE_MOST = fields.WHOLE_MOST
local NUMBER_MOST = 1.7976931348623157e308 -- neither infinity nor NaN is between this and its negative
local ERRORS_KEPT = 50
local NAME_BYTES = 60 -- of a field that is not ours, in an error
local SUGGESTIONS = 5 -- for one object: each compares a name with all that are declared
local MODES = {
  config = { text = true },
  text = { text = true, split = true, strict = true },
  json = { strict = true, own = true },
  answer = { strict = true },
}

-- json.null, which boot.lua sets: a null in an optional field is an absent field.
local null

--- expected: a small JSON Schema of what the place should have held.
local function wrong(run, code, message, expected, place, pointer)
  local errors = run.errors
  run.count = run.count + 1
  if #errors < ERRORS_KEPT then
    errors[#errors + 1] = { field = place or "", pointer = pointer or "", code = code, message = message,
      expected = expected }
  end
end

local function put_before(run, from, place, pointer)
  local errors = run.errors
  for i = from, #errors do
    local item = errors[i]
    item.field, item.pointer = place .. item.field, pointer .. item.pointer
  end
end

--- A name that came from outside, cut between two characters.
local function cut(name)
  if #name <= NAME_BYTES then
    return name
  end
  return match(sub(name, 1, NAME_BYTES), "^(.-)[\192-\255]?[\128-\191]*$") .. "…"
end

--- "price" -> ".price", "/price"; what reads badly behind a dot stands in brackets.
local function step_to(name)
  name = cut(name)
  local pointer = "/" .. gsub(gsub(name, "~", "~0"), "/", "~1")
  return find(name, "^[%w_-]+$") and "." .. name or '["' .. name .. '"]', pointer
end

local function length(text)
  if not find(text, "[\128-\255]") then
    return #text
  end
  local _, continuation = gsub(text, "[\128-\191]", "")
  return #text - continuation
end

local function fits_length(text, least, most)
  local n = length(text)
  return n >= least and n <= most
end

--- least, above, most, below: the last two of each pair are nil unless they bind.
local function bounds(field)
  local edge = field.type == "integer" and WHOLE_MOST or NUMBER_MOST
  local least, above, most, below = field.min or -edge, field.above, field.max or edge, field.below
  if above and above < least then
    above = nil
  end
  if below and below > most then
    below = nil
  end
  return least, above, most, below
end

local compile

local checkers = {}

local function repeated(value, run, expected)
  if run.split and type(value) == "table" then
    wrong(run, "repeated", "is given more than once", expected)
    return true
  end
end

function checkers.string(field, message, expected)
  local least, most = field.min or 0, field.max or math.huge
  local pattern = field.pattern and patterns.anchored(field.pattern)
  local fits = field.format and formats.KNOWN[field.format].check
  return function(value, run)
    if type(value) ~= "string" then
      return repeated(value, run, expected) or wrong(run, "type", message, expected)
    end
    local n = #value
    if (n > most or n < least * 4) and not fits_length(value, least, most) then
      return wrong(run, "length", message, expected)
    elseif pattern and not find(value, pattern) then
      return wrong(run, "pattern", "must match the pattern " .. field.pattern, expected)
    elseif fits and not fits(value) then
      return wrong(run, "format", message, expected)
    end
    return value
  end
end

local function to_number(value, run, form)
  if run.text and type(value) == "string" and #value <= 400 and (find(value, form)
    or form ~= "^%-?%d+$" and find(value, "^%-?%d+%.?%d*[eE][-+]?%d+$")) then
    return tonumber(value)
  end
  return value
end

function checkers.number(field, message, expected)
  local least, above, most, below = bounds(field)
  local whole, step = field.type == "integer", field.step
  local form = whole and "^%-?%d+$" or "^%-?%d+%.?%d*$"
  return function(value, run)
    value = to_number(value, run, form)
    if type(value) ~= "number" or whole and floor(value) ~= value then
      return repeated(value, run, expected) or wrong(run, "type", message, expected)
    elseif not (value >= least and value <= most) or above and value <= above or below and value >= below then
      return wrong(run, "range", message, expected)
    elseif step and value % step ~= 0 then
      return wrong(run, "step", message, expected)
    end
    return value
  end
end
checkers.integer = checkers.number

function checkers.boolean(_, message, expected)
  return function(value, run)
    if run.text and (value == "true" or value == "false") then
      return value == "true"
    elseif type(value) ~= "boolean" then
      return repeated(value, run, expected) or wrong(run, "type", message, expected)
    end
    return value
  end
end

function checkers.enum(field, message, expected)
  local known = words.set(field.values)
  return function(value, run)
    if known[value] and value ~= nil then
      return value
    elseif run.text and type(value) == "string" and known[tonumber(value)] then
      return tonumber(value)
    end
    return repeated(value, run, expected) or wrong(run, "enum", message, expected)
  end
end

function checkers.any()
  return function(value)
    return value
  end
end

--- The first alternative that fits gives the value.
function checkers.one_of(field, message, expected, keys)
  local checks = {}
  for i, alternative in ipairs(field.one_of) do
    checks[i] = compile(alternative, under(keys, "one_of", i))
  end
  return function(value, run)
    local trial = { errors = {}, count = 0, text = run.text, split = run.split, strict = run.strict }
    for i = 1, #checks do
      local checked = checks[i](value, trial)
      if trial.count == 0 then
        return checked
      end
      trial.errors, trial.count = {}, 0
    end
    return wrong(run, "one_of", message, expected)
  end
end

--- "a,b" -> { "a", "b" }; one occurrence may hold several items, several occurrences hold one each.
local function split_text(value)
  local list = {}
  if value ~= "" then
    for item in gmatch(value .. ",", "([^,]*),") do
      list[#list + 1] = match(item, "^%s*(.-)%s*$")
    end
  end
  return list
end

local function is_array(value, run)
  if type(value) ~= "table" then
    return false
  elseif value[1] ~= nil then
    return true
  end
  return next(value) == nil and (not run.strict or run.text or getmetatable(value) == "array")
end

local function check_items(value, out, check, run, unique)
  local seen, errors = unique and {}, run.errors
  local kept, count = #errors, run.count
  for i = 1, #value do
    local item = check(value[i], run)
    if seen and item ~= nil then
      if seen[item] then
        wrong(run, "unique", format("is the same as item %d", seen[item]))
      end
      seen[item] = seen[item] or i
    end
    if item ~= value[i] or out ~= value then
      out[i] = item
    end
    if run.count > count then
      put_before(run, kept + 1, format("[%d]", i), format("/%d", i - 1))
      kept, count = #errors, run.count
    end
  end
end

function checkers.array(field, message, expected, keys)
  local least, most = field.min or 0, field.max or math.huge
  local check = field.items and compile(field.items, under(keys, "items"))
  return function(value, run)
    if run.text and type(value) == "string" then
      value = run.split and split_text(value) or { value }
    end
    if not is_array(value, run) then
      return wrong(run, "type", message, expected)
    end
    local n = #value
    if n < least or n > most then
      return wrong(run, "items", message, expected)
    elseif not check then
      return value
    end
    local out = run.own and value or {}
    check_items(value, out, check, run, field.unique)
    return n == 0 and describe.array(out) or out
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

local function member(name, field, keys)
  local check, default = compile(field, keys), default_of(field)
  local required = not field.optional and field.default == nil
  local keeps_null = field.nullable or field.type == "any"
  local place, pointer = step_to(name)
  local expected = describe.shallow(field)
  return function(value, run)
    if value == nil or (value == null and not keeps_null) then
      if required then
        wrong(run, value == nil and "required" or "null",
          value == nil and "is required" or "must not be null", expected, place, pointer)
      end
      return default()
    end
    local before = #run.errors
    value = check(value, run)
    if #run.errors > before then
      put_before(run, before + 1, place, pointer)
    end
    return value
  end
end

local function refuse_unknown(value, members, run, out)
  local unknown = {}
  for key in pairs(value) do
    if not members[key] then
      unknown[#unknown + 1] = tostring(key)
    end
  end
  table.sort(unknown)
  for i, key in ipairs(unknown) do
    if #run.errors >= ERRORS_KEPT then
      run.count = run.count + #unknown - i + 1
      break
    end
    local place, pointer = step_to(key)
    local near = i <= SUGGESTIONS and words.suggest(key, members) or ""
    wrong(run, "unknown", "unknown field" .. near, nil, place, pointer)
  end
  return out
end

local function is_object(value)
  return type(value) == "table" and value[1] == nil and getmetatable(value) ~= "array"
end

local function check_members(field, message, expected, keys)
  local names, members = words.sorted_keys(field.fields), {}
  for _, name in ipairs(names) do
    members[name] = member(name, field.fields[name], under(keys, name))
  end
  return function(value, run)
    if not is_object(value) then
      return wrong(run, "type", message, expected)
    end
    local out, given = run.own and value or {}, 0
    for _ in next, value do
      given = given + 1
    end
    for i = 1, #names do
      local name = names[i]
      local raw = value[name]
      if raw ~= nil then
        given = given - 1
      end
      out[name] = members[name](raw, run)
    end
    if given == 0 then
      return out
    elseif not field.open then
      return refuse_unknown(value, members, run, out)
    end
    for key, item in pairs(value) do
      if not members[key] then
        out[key] = item
      end
    end
    return out
  end
end

--- Names that nobody declared, values of one kind.
local function check_values(field, message, expected, keys)
  local check = compile(field.values or { type = "any" }, under(keys, "values"))
  local least, most = field.min or 0, field.max or math.huge
  return function(value, run)
    if not is_object(value) then
      return wrong(run, "type", message, expected)
    end
    local names, out = {}, run.own and value or {}
    for key in pairs(value) do
      names[#names + 1] = type(key) == "string" and key or nil
    end
    if #names < least or #names > most then
      return wrong(run, "items", message, expected)
    end
    table.sort(names)
    for _, name in ipairs(names) do
      local before = #run.errors
      out[name] = check(value[name], run)
      if #run.errors > before then
        put_before(run, before + 1, step_to(name))
      end
    end
    return out
  end
end

function checkers.object(field, message, expected, keys)
  if field.fields then
    return check_members(field, message, expected, field.bare and keys or under(keys, "fields"))
  elseif field.values or field.min or field.max then
    return check_values(field, message, expected, keys)
  end
  return function(value, run)
    if not is_object(value) then
      return wrong(run, "type", message, expected)
    end
    return value
  end
end

--- The default as it will be given: checked, with the defaults inside it filled in.
local function check_sample(field, check, keys, name)
  if field[name] ~= nil then
    local run = { errors = {}, count = 0 }
    local checked = check(field[name], run)
    local first = run.errors[1]
    if first then
      refuse(under(keys, name), "%s%s", first.field ~= "" and first.field .. " " or "", first.message)
    end
    field[name] = checked
  end
end

compile = function(field, keys)
  local check = checkers[field.type](field, "must be " .. describe.says(field), describe.shallow(field), keys)
  if field.nullable then
    local inner = check
    check = function(value, run)
      if value == null then
        return value
      end
      return inner(value, run)
    end
  end
  check_sample(field, check, keys, "default")
  check_sample(field, check, keys, "example")
  return check
end

function M.copy(value)
  if type(value) ~= "table" then
    return value
  end
  local out = {}
  for key, item in pairs(value) do
    out[key] = M.copy(item)
  end
  return getmetatable(value) == "array" and describe.array(out) or out
end

--- One field -> function(value, name, mode) -> checked copy | nil, errors, count. `name` begins the places
--- in the errors ("body"); mode: nil for values of Lua; "config", where numbers may be text; "text", where they
--- are and commas part arrays; "answer", as JSON would be; "json", the same, changed in place.
--- Of more than 50 errors the first ones are given; count is the number of all.
function M.compile_field(field, keys)
  local check = compile(field, keys)
  local fits
  return function(value, name, mode)
    local options = MODES[mode] or {}
    if options.own then
      fits = fits or fast(field, { null = null, copy = M.copy, fits_length = fits_length, bounds = bounds })
      if fits(value) then
        return value
      end
    end
    local run = { errors = {}, count = 0, text = options.text, split = options.split,
      strict = options.strict, own = options.own }
    local out = check(value, run)
    if run.count > 0 then
      put_before(run, 1, name, "")
      return nil, run.errors, run.count
    end
    return out
  end
end

--- Field declarations -> the same function for an object of exactly these fields, and the fields.
function M.compile(specs, keys)
  keys = keys or { "fields" }
  local read = fields.read_all(keys, specs)
  return M.compile_field({ type = "object", fields = read, bare = true }, keys), read
end

--- Called once by boot.lua with the JSON binding's null and the mark of empty arrays.
function M.setup(json)
  null = json.null
  describe.setup(json)
end

return M
