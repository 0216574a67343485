--- Cuts the plugin's globals down to what may stay, and makes them strict.
local format, find, raw_tostring = string.format, string.find, tostring

local KEPT = {
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget",
  "rawset", "select", "setmetatable", "tonumber", "type", "unpack", "xpcall",
}
local LIBRARIES = { "bit", "coroutine", "math", "string", "table" }
local REFERENCES = { table = true, userdata = true, ["function"] = true, thread = true }
local FORMATS_KEPT = 1000 -- format strings that are known not to print addresses

local function copy(from)
  local to = {}
  for key, value in pairs(from) do
    to[key] = value
  end
  return to
end

-- Objects get numbers instead of addresses, which would tell where memory lies.
local numbers, last_number = setmetatable({}, { __mode = "k" }), 0

local function safe_tostring(value)
  local kind = type(value)
  if not REFERENCES[kind] then
    return raw_tostring(value)
  end
  local text = raw_tostring(value)
  if type(text) ~= "string" or not find(text, "^%a+: 0x%x+$") then
    return text == "userdata: NULL" and "null" or text
  end
  if not numbers[value] then
    last_number = last_number + 1
    numbers[value] = last_number
  end
  return kind .. " #" .. format("%d", numbers[value])
end

local checked, checked_count = {}, 0

local function check_format(text)
  local from = 1
  while true do
    local _, stop, conversion = find(text, "%%[-+ #0-9.]*(.)", from)
    if not stop then
      break
    elseif conversion == "p" then
      error("string.format: %p would print an address", 3)
    end
    from = stop + 1
  end
  if checked_count >= FORMATS_KEPT then
    checked, checked_count = {}, 0
  end
  checked[text], checked_count = true, checked_count + 1
end

local function safe_format(text, ...)
  if type(text) == "string" and not checked[text] then
    check_format(text)
  end
  for i = 1, select("#", ...) do
    if REFERENCES[type((select(i, ...)))] then
      local values = { ... }
      for k = i, select("#", ...) do
        if REFERENCES[type(values[k])] then
          values[k] = safe_tostring(values[k])
        end
      end
      return format(text, unpack(values, 1, select("#", ...)))
    end
  end
  return format(text, ...)
end

local function count_memory(what)
  if what ~= "count" then
    error('collectgarbage: only "count" is available to plugins', 2)
  end
  return collectgarbage("count")
end

--- table.insert moves one item at a time, from the end to the position: minus two thousand million is
--- half a minute away.
local MOVES = 2 ^ 24
local insert = table.insert

local function bounded_insert(list, ...)
  if select("#", ...) == 2 and type(list) == "table" then
    local position = tonumber((...))
    if position and #list - position > MOVES then
      error("bad argument #2 to 'insert' (position out of bounds)", 2)
    end
  end
  return insert(list, ...)
end

--- coroutine.resume and wrap: each coroutine inside of another takes some of the thread's stack.
local function bounded_coroutines(coroutine, has_room)
  local resume, wrap = coroutine.resume, coroutine.wrap

  function coroutine.resume(co, ...)
    if not has_room() then
      return false, "stack overflow (coroutines nested too deeply)"
    end
    return resume(co, ...)
  end

  function coroutine.wrap(fn)
    if type(fn) ~= "function" then
      return wrap(fn)
    end
    local run = wrap(fn)
    return function(...)
      if not has_room() then
        error("stack overflow (coroutines nested too deeply)", 2)
      end
      return run(...)
    end
  end
end

local STRICT = {
  __metatable = "locked",
  __index = function(_, name)
    error("undeclared variable '" .. safe_tostring(name) .. "' (misspelt, or not available to plugins)", 2)
  end,
  __newindex = function(_, name)
    error("assignment to undeclared variable '" .. safe_tostring(name) .. "': declare it with local", 2)
  end,
}

--- parts: what vm/sandbox.c gives: globals, load, require, yield, running.
local function apply(parts, print)
  local globals = parts.globals
  for name in pairs(globals) do
    globals[name] = nil
  end
  for _, name in ipairs(KEPT) do
    globals[name] = _G[name]
  end
  for _, name in ipairs(LIBRARIES) do
    globals[name] = copy(_G[name])
  end
  globals._G, globals._VERSION = globals, _VERSION
  globals.load, globals.loadstring, globals.require = parts.load, parts.load, parts.require
  globals.tostring, globals.print, globals.collectgarbage = safe_tostring, print, count_memory
  globals.os = { time = os.time, date = os.date, clock = os.clock, difftime = os.difftime }
  globals.coroutine.yield, globals.coroutine.running = parts.yield, parts.running
  bounded_coroutines(globals.coroutine, parts.has_room)
  globals.table.insert = bounded_insert
  globals.string.format, globals.string.dump = safe_format, nil
  local methods = getmetatable("")
  methods.__index = copy(globals.string)
  methods.__metatable = "locked"
  setmetatable(globals, STRICT)
end

return { apply = apply, tostring = safe_tostring }
