--- The part of the contract about search: indexes and the types of their fields.
local words = require "maru.words"

local find = string.find
local refuse, under = words.refuse, words.under

local TYPES = { text = true, keyword = true, number = true, time = true, boolean = true }
local TAKEN = { id = true, score = true, highlight = true }
local NAME_BYTES, FIELDS = 40, 64

local function check_name(keys, name, what)
  if type(name) ~= "string" or not find(name, "^[a-z][a-z0-9_]*$") or #name > NAME_BYTES then
    refuse(keys, "%s is [a-z][a-z0-9_]* of at most %d bytes", what, NAME_BYTES)
  end
end

local function read_fields(keys, declared, out, seen, type_name, context)
  local fields, types = out.fields, out.types
  for i, name in ipairs(context.list_of(keys, declared)) do
    check_name(under(keys, i), name, "a field's name")
    if TAKEN[name] or seen[name] then
      refuse(under(keys, i), "the field '%s' is taken", name)
    end
    seen[name] = true
    fields[#fields + 1], types[#types + 1] = name, type_name
  end
end

local function read_index(name, index, context)
  local keys, seen = { "search", name }, {}
  local out = { name = name, fields = {}, types = {} }
  check_name(keys, name, "an index' name")
  if type(index) ~= "table" then
    refuse(keys, "must be a table { text = {…}, keyword = {…} }, got %s", type(index))
  end
  words.only(keys, index, TYPES, "type of fields")
  for _, type_name in ipairs(words.sorted_keys(TYPES)) do
    read_fields(under(keys, type_name), index[type_name], out, seen, type_name, context)
  end
  if type(index.text) ~= "table" or #index.text == 0 then
    refuse(under(keys, "text"), "needs at least one field, whose words are searched")
  elseif #out.fields > FIELDS then
    refuse(keys, "has %d fields, at most %d", #out.fields, FIELDS)
  end
  return out
end

return {
  --- M.search -> { { name, fields = names, types = a type for each } }, sorted by name.
  read = function(declared, context)
    local out = {}
    for i, name in ipairs(context.keys_of({ "search" }, declared)) do
      out[i] = read_index(name, declared[name], context)
    end
    return out
  end,
}
