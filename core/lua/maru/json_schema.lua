--- Whether a value fits a JSON Schema: the part of draft 2020-12 that models are asked to keep to. What stands in
--- a schema and not here (pattern, format) is told to the model and not checked.

local format, concat, floor = string.format, table.concat, math.floor

local M = {}

local MOST_ERRORS, MOST_DEPTH = 20, 32

local check

local function at(path, key)
  if type(key) == "number" then
    return path .. "[" .. key .. "]"
  end
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

local function fail(state, path, message, ...)
  local errors = state.errors
  if #errors < MOST_ERRORS then
    errors[#errors + 1] = (path == "" and "the answer" or path) .. " " .. format(message, ...)
  end
end

local function is_array(state, value)
  return type(value) == "table" and (#value > 0 or next(value) == nil and state.json.encode(value) == "[]")
end

--- "object", "array", "string", "integer", "number", "boolean", "null"
local function kind_of(state, value)
  if value == nil or value == state.json.null then
    return "null"
  elseif type(value) == "table" then
    return is_array(state, value) and "array" or "object"
  elseif type(value) == "number" then
    return floor(value) == value and "integer" or "number"
  end
  return type(value)
end

local function fits_type(state, wanted, value)
  local kind = kind_of(state, value)
  if type(wanted) == "table" then
    for _, one in ipairs(wanted) do
      if fits_type(state, one, value) then
        return true
      end
    end
    return false
  end
  -- An empty table decoded from {} or [] may be either.
  if type(value) == "table" and next(value) == nil and (wanted == "object" or wanted == "array") then
    return true
  end
  return kind == wanted or wanted == "number" and kind == "integer"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function characters(text)
  local _, count = text:gsub("[^\128-\191]", "")
  return count
end

--- 0.3 is three times 0.1, although in binary it is a little less.
local function is_multiple(value, unit)
  local times = value / unit
  return math.abs(times - floor(times + 0.5)) <= 1e-9 * math.max(1, math.abs(times))
end

local function check_range(state, schema, value, path)
  if schema.minimum and value < schema.minimum then
    fail(state, path, "must be at least %s", schema.minimum)
  elseif schema.maximum and value > schema.maximum then
    fail(state, path, "must be at most %s", schema.maximum)
  elseif schema.exclusiveMinimum and value <= schema.exclusiveMinimum then
    fail(state, path, "must be over %s", schema.exclusiveMinimum)
  elseif schema.exclusiveMaximum and value >= schema.exclusiveMaximum then
    fail(state, path, "must be below %s", schema.exclusiveMaximum)
  elseif schema.multipleOf and not is_multiple(value, schema.multipleOf) then
    fail(state, path, "must be a multiple of %s", schema.multipleOf)
  end
end

local function check_length(state, schema, value, path)
  local length = characters(value)
  if schema.minLength and length < schema.minLength then
    fail(state, path, "must have at least %d characters", schema.minLength)
  elseif schema.maxLength and length > schema.maxLength then
    fail(state, path, "must have at most %d characters", schema.maxLength)
  end
end

local function check_array(state, schema, value, path, depth)
  if schema.minItems and #value < schema.minItems then
    fail(state, path, "must have at least %d items", schema.minItems)
  elseif schema.maxItems and #value > schema.maxItems then
    fail(state, path, "must have at most %d items", schema.maxItems)
  end
  if type(schema.items) == "table" then
    for i, item in ipairs(value) do
      check(state, schema.items, item, at(path, i), depth + 1)
    end
  end
end

local function check_object(state, schema, value, path, depth)
  local properties = schema.properties or {}
  for _, name in ipairs(schema.required or {}) do
    if value[name] == nil then
      fail(state, at(path, name), "is missing")
    end
  end
  for name, one in pairs(value) do
    if type(properties[name]) == "table" then
      check(state, properties[name], one, at(path, name), depth + 1)
    elseif schema.additionalProperties == false then
      fail(state, at(path, name), "is not a property of the schema")
    elseif type(schema.additionalProperties) == "table" then
      check(state, schema.additionalProperties, one, at(path, name), depth + 1)
    end
  end
end

local function count_fits(state, list, value, depth)
  local count = 0
  for _, one in ipairs(list) do
    local trial = { json = state.json, root = state.root, errors = {} }
    check(trial, one, value, "", depth + 1)
    count = count + (#trial.errors == 0 and 1 or 0)
  end
  return count
end

local function check_combined(state, schema, value, path, depth)
  for _, one in ipairs(schema.allOf or {}) do
    check(state, one, value, path, depth + 1)
  end
  if schema.anyOf and count_fits(state, schema.anyOf, value, depth) == 0 then
    fail(state, path, "fits none of anyOf")
  elseif schema.oneOf and count_fits(state, schema.oneOf, value, depth) ~= 1 then
    fail(state, path, "must fit exactly one of oneOf")
  end
end

--- "#/$defs/name"
local function resolve(state, ref)
  local here = state.root
  for part in ref:gsub("^#/?", ""):gmatch("[^/]+") do
    here = type(here) == "table" and here[part] or nil
  end
  return here
end

local function check_values(state, schema, value, path)
  if schema.const ~= nil and not same(schema.const, value) then
    fail(state, path, "must be %s", state.json.encode(schema.const))
  elseif schema.enum then
    for _, one in ipairs(schema.enum) do
      if same(one, value) then
        return
      end
    end
    fail(state, path, "must be one of %s", state.json.encode(schema.enum))
  end
end

function check(state, schema, value, path, depth)
  if depth > MOST_DEPTH then
    return fail(state, path, "is nested too deeply")
  elseif schema == false then
    return fail(state, path, "is not allowed")
  elseif type(schema) ~= "table" then
    return
  elseif schema["$ref"] then
    return check(state, resolve(state, schema["$ref"]), value, path, depth + 1)
  elseif schema.type and not fits_type(state, schema.type, value) then
    local wanted = type(schema.type) == "table" and concat(schema.type, " or ") or schema.type
    return fail(state, path, "must be %s, got %s", wanted, kind_of(state, value))
  end
  check_values(state, schema, value, path)
  check_combined(state, schema, value, path, depth)
  if type(value) == "number" then
    check_range(state, schema, value, path)
  elseif type(value) == "string" then
    check_length(state, schema, value, path)
  elseif is_array(state, value) then
    check_array(state, schema, value, path, depth)
  elseif type(value) == "table" then
    check_object(state, schema, value, path, depth)
  end
end

--- json: app.json. Returns nil when the value fits, else a list of sentences.
function M.check(json, schema, value)
  local state = { json = json, root = schema, errors = {} }
  check(state, schema, value, "", 0)
  return #state.errors > 0 and state.errors or nil
end

return M
