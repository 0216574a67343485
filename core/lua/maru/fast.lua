--- Compiles a field into a function(value) -> boolean for values fresh from JSON, which nobody else holds:
--- true when the value fits. It fills in defaults and drops null where it means absent, in place, and says
--- nothing about what is wrong: schema.lua's checkers, which know all of it, look again at what does not fit.
--- The function is Lua text made for this one declaration: straight-line code that the JIT compiles well.
local formats = require "maru.formats"
local pattern = require "maru.pattern"
local words = require "maru.words"

local concat, format = table.concat, string.format
local find, getmetatable, loadstring, next, type = string.find, getmetatable, loadstring, next, type

local SCALARS = { string = true, integer = true, number = true, boolean = true, enum = true, any = true }
local HEAD = "local K, C, null, find, getmetatable, next, type = ...\n"

-- The generated text's constants (K) and functions (C), and what it is made with.
local Maker = {}
Maker.__index = Maker

function Maker:constant(value)
  local at = #self.constants + 1
  self.constants[at] = value
  return format("K[%d]", at)
end

function Maker:write(text, ...)
  self.lines[#self.lines + 1] = select("#", ...) > 0 and format(text, ...) or text
end

local function number_text(value)
  return format("%.17g", value)
end

local tests = {}

--- Lengths are in characters, which are 1 to 4 bytes: mostly the bytes alone decide.
function tests.string(maker, field)
  local parts = { "type(v) == \"string\"" }
  local least, most = field.min or 0, field.max
  if least > 0 or most then
    local sure = {}
    sure[1] = least > 0 and format("#v >= %d", least == 1 and 1 or least * 4) or nil
    sure[#sure + 1] = most and format("#v <= %d", most) or nil
    parts[2] = format("(%s or %s(v, %d, %s))", concat(sure, " and "), maker:constant(maker.fits_length),
      least, most and number_text(most) or "1/0")
  end
  if field.pattern then
    parts[#parts + 1] = format("find(v, %s)", maker:constant(pattern.anchored(field.pattern)))
  end
  if field.format then
    parts[#parts + 1] = format("%s(v)", maker:constant(formats.KNOWN[field.format].check))
  end
  return concat(parts, " and ")
end

function tests.number(maker, field)
  local least, above, most, below = maker.bounds(field)
  return format("type(v) == \"number\" and v %s %s and v %s %s", above and ">" or ">=",
    number_text(above or least), below and "<" or "<=", number_text(below or most))
end

function tests.integer(maker, field)
  return tests.number(maker, field) .. format(" and v %% %d == 0", field.step or 1)
end

function tests.boolean()
  return "(v == true or v == false)"
end

function tests.enum(maker, field)
  return format("%s[v]", maker:constant(words.set(field.values)))
end

function tests.any()
  return "true"
end

--- Alternatives that would change a value before they refuse it are left to the checkers.
function tests.one_of(maker, field)
  local parts = {}
  for i, alternative in ipairs(field.one_of) do
    if not (SCALARS[alternative.type]
      or alternative.type == "array" and (not alternative.items or SCALARS[alternative.items.type])) then
      return "false"
    end
    parts[i] = "(" .. maker:test(alternative) .. ")"
  end
  return "(" .. concat(parts, " or ") .. ")"
end

--- An expression over `v`, which is not nil.
function Maker:test(field)
  local test = tests[field.type]
  local text = test and test(self, field) or format("C[%d](v)", self["make_" .. field.type](self, field))
  return field.nullable and format("(v == null or %s)", text) or text
end

--- Writes one function of the text apart, so that those of its parts, which write theirs meanwhile, stand
--- beside it. body(number) writes it. Returns its number in C.
function Maker:make_function(body)
  self.count = self.count + 1
  local at, outer = self.count, self.lines
  self.lines = {}
  self:write("C[%d] = function(t)", at)
  body()
  self:write("  return true\nend")
  self.done[#self.done + 1] = concat(self.lines, "\n")
  self.lines = outer
  return at
end

function Maker:write_count(field)
  if field.min or field.max then
    self:write("  if n < %d or n > %s then return false end", field.min or 0,
      field.max and number_text(field.max) or "1/0")
  end
end

function Maker:make_array(field)
  return self:make_function(function()
    self:write("  if type(t) ~= \"table\" then return false end\n  local n = #t")
    self:write("  if n == 0 and (next(t) ~= nil or getmetatable(t) ~= \"array\") then return false end")
    self:write_count(field)
    if field.items and (field.items.type ~= "any" or field.unique) then
      self:write(field.unique and "  local seen = {}" or "")
      self:write("  for i = 1, n do\n    local v = t[i]\n    if not (%s) then return false end",
        self:test(field.items))
      self:write(field.unique and "    if seen[v] then return false end\n    seen[v] = true\n  end" or "  end")
    end
  end)
end

function Maker:write_member(name, field)
  local key = format("%q", name)
  local fits = self:test(field)
  self:write("  v = t[%s]", key)
  local absent = field.nullable and "v == nil" or "v == nil or v == null"
  if field.default ~= nil then
    local value = self:constant(field.default)
    value = type(field.default) == "table" and format("%s(%s)", self:constant(self.copy), value) or value
    self:write("  if %s then t[%s] = %s\n  elseif not (%s) then return false end\n  n = n + 1", absent, key,
      value, fits)
  elseif field.optional then
    if not field.nullable and field.type ~= "any" then
      self:write("  if v == null then t[%s] = nil v = nil end", key)
    end
    self:write("  if v ~= nil then\n    if not (%s) then return false end\n    n = n + 1\n  end", fits)
  elseif field.type == "any" then
    self:write("  if v == nil then return false end\n  n = n + 1")
  else
    self:write("  if v == nil or not (%s) then return false end\n  n = n + 1", fits)
  end
end

function Maker:make_object(field)
  return self:make_function(function()
    self:write("  if type(t) ~= \"table\" or t[1] ~= nil or next(t) == nil and getmetatable(t) == \"array\" then")
    self:write("    return false\n  end")
    if field.fields then
      self:write("  local n, v = 0")
      for _, name in ipairs(words.sorted_keys(field.fields)) do
        self:write_member(name, field.fields[name])
      end
      if not field.open then
        self:write("  for _ in next, t do n = n - 1 end\n  if n ~= 0 then return false end")
      end
    elseif field.values or field.min or field.max then
      self:write("  local n = 0\n  for _, v in next, t do\n    if not (%s) then return false end\n    n = n + 1\n  end",
        field.values and self:test(field.values) or "true")
      self:write_count(field)
    end
  end)
end

--- with: null, copy(value), fits_length(text, least, most), bounds(field).
return function(field, with)
  local maker = setmetatable({ constants = {}, lines = {}, done = {}, count = 0,
    fits_length = with.fits_length, copy = with.copy, bounds = with.bounds }, Maker)
  local fits = maker:test(field)
  local text = HEAD .. concat(maker.done, "\n") .. "\nreturn function(v) return " .. fits .. " end"
  local make = assert(loadstring(text, "=maru/fast.lua made this"))
  return make(maker.constants, {}, with.null, find, getmetatable, next, type)
end
