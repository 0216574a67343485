--- Reads a plugin's sources and lists everything that is wrong in them, without running any of it.
local declared = require "maru.check.declared"
local names = require "maru.check.names"
local parser = require "maru.check.parser"
local sql = require "maru.check.sql"
local values = require "maru.check.values"

--- Line and column of a place; lines: where each begins.
local function line_of(unit, pos)
  if not unit.lines then
    unit.lines = { 1 }
    for at in string.gmatch(unit.text, "\n()") do
      unit.lines[#unit.lines + 1] = at
    end
  end
  local low, high = 1, #unit.lines
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if unit.lines[middle] <= pos then
      low = middle
    else
      high = middle - 1
    end
  end
  return low, pos - unit.lines[low] + 1
end

local function reporter(findings, severity)
  return function(unit, pos, code, message, length)
    local line, column = line_of(unit, pos)
    findings[#findings + 1] = { file = unit.name, line = line, column = column, length = length or 1,
      severity = severity, code = code, message = message }
  end
end

--- The syntax error of a source, as loading it would say it; nil when it compiles.
local function syntax_error(unit, dir)
  if unit.text:byte(1) == 27 then
    return 1, "bytecode is not accepted"
  end
  local ok, message = loadstring(unit.text, "@" .. dir .. "/" .. unit.name)
  if ok then
    return nil
  end
  local prefix = dir .. "/" .. unit.name .. ":"
  local line, text = message:sub(#prefix + 1):match("^(%d+): (.*)$")
  return tonumber(line) or 1, text or message
end

local function read_units(plugin, findings)
  local units = {}
  for _, file in ipairs(plugin.files) do
    local unit = { name = file.name, text = file.text }
    local line, message = syntax_error(unit, plugin.dir)
    if line then
      findings[#findings + 1] = { file = unit.name, line = line, column = 0, length = 0, severity = "error",
        code = "syntax", message = message }
    else
      unit.parsed = parser.read(unit.text)
      values.learn(unit.parsed)
      units[#units + 1] = unit
    end
  end
  return units
end

local function main_unit(units)
  for _, unit in ipairs(units) do
    if unit.name == "plugin.lua" then
      return unit
    end
  end
end

local UNKNOWN = { allow = {}, requires = {} }

--- plugin: { name, dir, files = { { name, text } }, prepare }. Returns the findings and how many
--- statements were prepared and how many are only known at run time.
return function(plugin, surface, types)
  local findings = {}
  local units = read_units(plugin, findings)
  local main = main_unit(units)
  local context = { units = units, surface = surface, types = types, prepare = plugin.prepare, plugin = plugin.name,
    statements = 0, unchecked = 0, declared = main and declared.read(main) or UNKNOWN,
    report = reporter(findings, "error"), warn = reporter(findings, "warning") }
  for _, unit in ipairs(units) do
    names.globals(unit, surface, context.report)
    names.handles(unit, context)
    names.modules(unit, context)
    if plugin.prepare then
      sql.check(unit, context)
    end
  end
  if main and #units == #plugin.files then
    declared.check(main, context.declared, context)
  end
  return findings, context.statements, context.unchecked
end
