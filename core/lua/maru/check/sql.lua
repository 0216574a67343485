--- Every statement that stands in the sources is prepared against the tables of the plugin's migrations.
local values = require "maru.check.values"
local words = require "maru.words"

local M = {}

local RUNS = { all = true, one = true, exec = true, many = true }

--- How many values the call gives; nil when only the run can tell.
local function given(call)
  if call.name ~= "many" then
    return not values.is_open(call.args) and #call.args - 1 or nil
  end
  local rows = values.source(call.args[2])
  local row = rows and rows.k == "table" and rows.items[1] and values.source(rows.items[1].value)
  if not row or row.k ~= "table" then
    return nil
  end
  local items = {}
  for i, item in ipairs(row.items) do
    if item.key then
      return nil
    end
    items[i] = item.value
  end
  return not values.is_open(items) and #items or nil
end

--- "no such column: txt; did you mean 'text'?" among the names of the plugin's tables.
local function suggestion(sql, message, offset, length, names)
  if offset < 0 or not (message:find("no such", 1, true) or message:find("has no column", 1, true)) then
    return ""
  end
  local known = {}
  for name in string.gmatch(names, "%S+") do
    known[name] = true
  end
  return words.suggest(sql:sub(offset + 1, offset + length), known)
end

--- context.prepare(sql, given or -1) -> true | nil, message, offset (or -1), length, names
function M.check(unit, context)
  for _, call in ipairs(unit.parsed.calls) do
    local object = call.k == "method" and RUNS[call.name] and values.kind(call.object)
    if object == "app.store" or object == "tx" or object == "maybe_tx" then
      local constant = values.text(call.args[1])
      if not constant then
        context.unchecked = context.unchecked + 1
      else
        context.statements = context.statements + 1
        local ok, message, offset, length, names = context.prepare(constant.text, given(call) or -1)
        if not ok then
          message = message .. suggestion(constant.text, message, offset, length, names)
          local pos = offset >= 0 and values.place(constant, offset) or call.pos
          context.report(unit, pos, "sql", message, offset >= 0 and length or #call.name)
        end
      end
    end
  end
end

return M
