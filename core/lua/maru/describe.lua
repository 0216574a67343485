--- What a field is, in words and as JSON Schema (2020-12), and an example of it.
local formats = require "maru.formats"
local patterns = require "maru.pattern"
local words = require "maru.words"

local concat, format, rep = table.concat, string.format, string.rep

local M = {}

local WHOLE_MOST = 2 ^ 53 - 1

-- json.null and the mark of empty arrays, which boot.lua sets.
local null, array_mark

--- "1 to 20", "at least 1", "at most 20", nil.
local function range(least, most)
  if least and most then
    return format("%s to %s", least, most)
  end
  return least and "at least " .. least or most and "at most " .. most
end

local function counted(noun, field, unit)
  local text = range(field.min, field.max)
  return text and format("%s of %s %s", noun, text, unit) or noun
end

local function measured(noun, field)
  local parts = {}
  if field.min and field.max then
    parts[1] = format("from %s to %s", field.min, field.max)
  elseif field.min or field.max then
    parts[1] = "of " .. range(field.min, field.max)
  end
  parts[#parts + 1] = field.above and "above " .. field.above
  parts[#parts + 1] = field.below and "below " .. field.below
  if field.step then
    parts[#parts + 1] = "in steps of " .. field.step
  end
  return parts[1] and noun .. " " .. concat(parts, " and ") or noun
end

local sayings = {
  string = function(field)
    return counted(field.format and formats.KNOWN[field.format].says or "text", field, "characters")
  end,
  integer = function(field) return measured("a whole number", field) end,
  number = function(field) return measured("a number", field) end,
  boolean = function() return "true or false" end,
  enum = function(field) return "one of " .. concat(field.values, ", ") end,
  array = function(field) return counted("an array", field, "items") end,
  object = function(field) return counted("an object", field, "entries") end,
  any = function() return "anything" end,
  one_of = function(field)
    local parts = {}
    for i, alternative in ipairs(field.one_of) do
      parts[i] = M.says(alternative)
    end
    return concat(parts, ", or ")
  end,
}

--- "a whole number from 0 to 100"
function M.says(field)
  return sayings[field.type](field)
end

local shapes = {
  string = function(out, field)
    out.minLength, out.maxLength = field.min, field.max
    for key, value in pairs(field.format and formats.KNOWN[field.format].schema or {}) do
      out[key] = value
    end
    if field.pattern then
      local regex = patterns.regex(field.pattern)
      if regex and out.pattern then
        out.allOf = { { pattern = regex } }
      else
        out.pattern = regex or out.pattern
      end
      out["x-lua-pattern"] = field.pattern
    end
  end,
  number = function(out, field)
    out.minimum, out.maximum = field.min, field.max
    out.exclusiveMinimum, out.exclusiveMaximum = field.above, field.below
  end,
  integer = function(out, field)
    out.minimum, out.maximum = field.min or not field.above and -WHOLE_MOST or nil,
      field.max or not field.below and WHOLE_MOST or nil
    out.exclusiveMinimum, out.exclusiveMaximum, out.multipleOf = field.above, field.below, field.step
  end,
  array = function(out, field)
    out.minItems, out.maxItems, out.uniqueItems = field.min, field.max, field.unique
  end,
  enum = function(out, field)
    out.type, out.enum = type(field.values[1]), { unpack(field.values) }
  end,
  object = function(out, field)
    out.minProperties, out.maxProperties = field.min, field.max
  end,
  one_of = function(out) out.type = nil end,
  any = function(out) out.type = nil end,
  boolean = function() end,
}

--- The field without what is inside of it.
function M.shallow(field)
  local out = { type = field.type }
  shapes[field.type](out, field)
  if field.nullable then
    M.allow_null(out)
  end
  return out
end

function M.allow_null(out)
  if out.anyOf then
    out.anyOf[#out.anyOf + 1] = { type = "null" }
  elseif out.type then
    out.type = { out.type, "null" }
    if out.enum then
      out.enum[#out.enum + 1] = null
    end
  end
end

local insides = {
  array = function(out, field, json)
    out.items = field.items and M.schema(field.items, json)
  end,
  object = function(out, field, json)
    if field.fields then
      M.members(field, out, json)
    elseif field.values then
      out.additionalProperties = M.schema(field.values, json)
    end
  end,
  one_of = function(out, field, json)
    out.anyOf = {}
    for i, alternative in ipairs(field.one_of) do
      out.anyOf[i] = M.schema(alternative, json)
    end
  end,
}

--- The members of an object into its schema. In JSON null stands for an absent field.
function M.members(field, out, json)
  local required, properties = {}, {}
  for _, name in ipairs(words.sorted_keys(field.fields)) do
    local inner = field.fields[name]
    local schema = M.schema(inner, json)
    if inner.optional or inner.default ~= nil then
      if json and not inner.nullable then
        M.allow_null(schema)
      end
    else
      required[#required + 1] = name
    end
    properties[name] = schema
  end
  out.properties, out.required = properties, required[1] and required or nil
  if not field.open then
    out.additionalProperties = false
  end
end

--- A field -> JSON Schema as a table. json: whether values come as JSON, where null is possible.
function M.schema(field, json)
  local out = { type = field.type }
  shapes[field.type](out, field)
  if insides[field.type] then
    insides[field.type](out, field, json)
  end
  if field.nullable then
    M.allow_null(out)
  end
  out.description, out.default, out.deprecated = field.help, field.default, field.deprecated
  if type(out.default) == "table" and field.type == "array" then
    out.default = M.array(out.default)
  end
  if field.example ~= nil then
    out.examples = { field.example }
  end
  return out
end

local function sized_text(field)
  if field.format then
    return formats.KNOWN[field.format].example
  end
  local least, most = field.min or 0, field.max or 1000
  local text = "text"
  if #text < least then
    text = rep("text ", math.ceil(least / 5)):sub(1, least)
    text = text:gsub(" $", ".")
  end
  return text:sub(1, most)
end

local function sample_number(field)
  local whole, step = field.type == "integer", field.step or 1
  local least, most = field.min or field.above, field.max or field.below
  local value = least or most and math.min(most, 1) or 1
  if whole then
    value = math.ceil(value / step) * step
    if value == field.above then
      value = value + step
    elseif value == field.below then
      value = value - step
    end
  elseif value == field.above or value == field.below then
    value = least and most and (least + most) / 2 or least and least + 1 or most - 1
  end
  return value
end

local function several(field)
  local out = M.array({})
  for i = 1, math.max(field.min or 1, (field.max or 1) > 0 and 1 or 0) do
    local value = field.items and M.example(field.items) or "text"
    if field.unique and i > 1 then
      local inner = field.items
      if type(value) == "number" then
        value = value + (i - 1) * (inner.step or 1)
      elseif inner.type == "enum" then
        value = inner.values[i]
      elseif type(value) == "boolean" then
        value = i == 1
      else
        value = format("%s%d", value, i):sub(-(inner.max or 1000))
      end
    end
    out[i] = value
  end
  return out
end

local samples = {
  string = sized_text, number = sample_number, integer = sample_number, array = several,
  boolean = function() return true end,
  enum = function(field) return field.values[1] end,
  any = function() return "anything" end,
  one_of = function(field) return M.example(field.one_of[1]) end,
  object = function(field)
    local out = {}
    for _, name in ipairs(field.fields and words.sorted_keys(field.fields) or {}) do
      out[name] = M.example(field.fields[name])
    end
    if not field.fields then
      for i = 1, math.max(field.min or 1, 1) do
        out["name" .. (i > 1 and i or "")] = field.values and M.example(field.values) or "text"
      end
    end
    return out
  end,
}

--- Marks a list so that it is one in JSON also when it is empty.
function M.array(list)
  return getmetatable(list) == "array" and list or setmetatable(list, array_mark)
end

--- A value that fits the field in most cases; one with a pattern needs an example of its own.
function M.example(field)
  if field.example ~= nil then
    return field.example
  elseif field.default ~= nil then
    return field.default
  end
  return samples[field.type](field)
end

function M.setup(json)
  null, array_mark = json.null, json.array_mark
end

return M
