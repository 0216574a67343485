--- Wording of error messages: nearest known word, path of a field, line of a key in a source.
local M = {}

local byte, concat, find, format, gsub, sub = string.byte, table.concat, string.find, string.format,
  string.gsub, string.sub

--- Number of edits (insert, delete, replace, swap neighbours) between two words.
local function distance(a, b)
  local before, last = {}, {}
  for j = 0, #b do
    last[j] = j
  end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = byte(a, i) == byte(b, j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and byte(a, i) == byte(b, j - 1) and byte(a, i - 1) == byte(b, j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

function M.sorted_keys(t)
  local keys = {}
  for key in pairs(t) do
    if type(key) == "string" then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  return keys
end

--- { "a", "b" } -> { a = true, b = true }
function M.set(list)
  local set = {}
  for _, word in ipairs(list) do
    set[word] = true
  end
  return set
end

--- A key of a list that ipairs does not come to (what is behind a nil, a name), or nil.
function M.beyond(list)
  local n = 0
  for index in ipairs(list) do
    n = index
  end
  for key in pairs(list) do
    if type(key) ~= "number" or key % 1 ~= 0 or key < 1 or key > n then
      return key
    end
  end
  return nil
end

--- "; did you mean 'x'?" for the nearest of the known words, or "". known: set of words.
function M.suggest(word, known)
  if type(word) ~= "string" or #word > 60 then
    return ""
  end
  local best, least = nil, math.max(1, math.min(3, math.floor(#word / 2))) + 1
  for _, candidate in ipairs(M.sorted_keys(known)) do
    if math.abs(#word - #candidate) < least then
      local edits = distance(word, candidate)
      if edits < least then
        best, least = candidate, edits
      end
    end
  end
  return best and format("; did you mean '%s'?", best) or ""
end

--- { "routes", "GET /a", "cache" } -> routes["GET /a"].cache
function M.path(keys)
  local parts = {}
  for i, key in ipairs(keys) do
    if type(key) == "number" then
      parts[i] = format("[%d]", key)
    elseif find(key, "^[%a_][%w_]*$") then
      parts[i] = i > 1 and "." .. key or key
    else
      parts[i] = format('["%s"]', key)
    end
  end
  return concat(parts)
end

local function escape(text)
  return (gsub(text, "%p", "%%%0"))
end

local function find_key(source, key, from)
  local at = find(source, '%[%s*"' .. escape(key) .. '"%s*%]', from)
    or find(source, "%[%s*'" .. escape(key) .. "'%s*%]", from)
  if at then
    return at
  end
  if find(key, "^[%a_][%w_]*$") then
    return find(source, "%f[%w_]" .. key .. "%f[^%w_]%s*=[^=]", from)
      or find(source, "%f[%w_]" .. key .. "%f[^%w_]", from)
  end
  return find(source, key, from, true)
end

--- The line where the path's keys stand one after the other in the source; nil when the first does not.
function M.line(source, keys)
  local at, found = 1, false
  for _, key in ipairs(keys) do
    local next_at = type(key) == "string" and find_key(source, key, at)
    if next_at then
      at, found = next_at, true
    elseif not found then
      return nil
    end
  end
  if not found then
    return nil
  end
  local _, lines = gsub(sub(source, 1, at - 1), "\n", "\n")
  return lines + 1
end

--- Raises a table that boot.lua turns into "plugins/x/plugin.lua:7: path: message".
function M.refuse(keys, message, ...)
  if select("#", ...) > 0 then
    message = format(message, ...)
  end
  error({ keys = keys, message = message }, 0)
end

--- keys with one more at the end.
function M.under(keys, ...)
  local longer = {}
  for i, key in ipairs(keys) do
    longer[i] = key
  end
  for i = 1, select("#", ...) do
    longer[#longer + 1] = (select(i, ...))
  end
  return longer
end

--- options, or {} for nil. Raises for what is no table and for a key that is not known; level as error() has it, where
--- this is called (2: whoever called that).
function M.options(options, known, usage, level)
  if options == nil then
    return {}
  elseif type(options) ~= "table" then
    error(usage .. ": options must be a table, got " .. type(options), level + 1)
  end
  for key in pairs(options) do
    if not known[key] then
      error(usage .. ": unknown option " .. tostring(key) .. M.suggest(key, known), level + 1)
    end
  end
  return options
end

--- Raises for the first key (in order) of t that is not known; numbers are refused too unless allowed.
function M.only(keys, t, known, what)
  for key in pairs(t) do
    if type(key) ~= "string" and not known[key] then
      M.refuse(keys, "unexpected item %s", tostring(key))
    end
  end
  for _, key in ipairs(M.sorted_keys(t)) do
    if not known[key] then
      M.refuse(M.under(keys, key), "unknown %s%s", what, M.suggest(key, known))
    end
  end
end

return M
