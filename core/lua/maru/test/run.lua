--- Runs one spec file with busted inside this VM's task, and tells what came of each test, a line of Lua
--- each, to whoever prints it (maru/test/report.lua).
---
--- raw.test.run() says what to do: { spec, filter, phase, record }; phase is "before", "during" or "after" in
--- `maru test --reload`.
local make_test = require "maru.test.api"

local PHASES = {
  before = "reloaded before it", during = "reloaded during it", after = "reloaded after it",
}

--- A table of texts, numbers and such tables as one line: "return {…}".
local function line_of(value)
  if type(value) == "table" then
    local parts = {}
    for key, item in pairs(value) do
      local name = type(key) == "number" and ("[%d]"):format(key) or ("[%q]"):format(key)
      parts[#parts + 1] = name .. "=" .. line_of(item)
    end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif type(value) == "number" or type(value) == "boolean" then
    return tostring(value)
  end
  return (("%q"):format(tostring(value)):gsub("\\\n", "\\n"))
end

local function text_of(message)
  return type(message) == "string" and message or tostring(message)
end

local function place_of(trace)
  return trace and {
    short_src = trace.short_src, currentline = trace.currentline, traceback = trace.traceback,
    message = trace.message ~= nil and text_of(trace.message) or nil,
  }
end

--- What busted publishes, as lines. Callbacks return nil, true: others hear it too.
local function tell(busted, report, test)
  local function on(channel, event, more)
    busted.subscribe(channel, function(element, parent, ...)
      local line = { event = event, descriptor = element.descriptor, name = element.name,
        trace = place_of(element.trace), duration = element.duration }
      if more then
        more(line, parent, ...)
      end
      report(line)
      return nil, true
    end)
  end
  local function with_message(line, _, message, trace)
    line.message, line.debug = text_of(message), place_of(trace)
    line.log = test.failures_logged()
  end
  on({ "describe", "start" }, "describe_start")
  on({ "describe", "end" }, "describe_end")
  on({ "test", "start" }, "test_start")
  on({ "test", "end" }, "test_end", function(line, _, status)
    line.status = text_of(status)
  end)
  on({ "pending" }, "pending", with_message)
  on({ "failure" }, "failure", with_message)
  on({ "error" }, "error", with_message)
end

--- `it` and its other names: the test's own beginning and end stand around the body, inside what busted
--- judges. A tail call, so that busted finds the spec's line where it looks.
local function wrap_tests(busted, context, test)
  local suffix = PHASES[context.run.phase] and " (" .. PHASES[context.run.phase] .. ")" or ""
  local function wrapped(fn)
    local at = context.globals.debug.getinfo(fn, "S")
    local place = at.short_src .. ":" .. at.linedefined
    return setfenv(function(...)
      test.begin()
      fn(...)
      test.finish(place)
    end, getfenv(fn))
  end
  local it = busted.executors.it
  local function register(name, fn)
    if type(fn) ~= "function" or type(name) ~= "string" then
      return it(name, fn)
    end
    return it(name .. suffix, wrapped(fn))
  end
  busted.export("it", register)
  busted.export("spec", register)
  setmetatable(test.object, { __call = function(_, ...)
    return register(...)
  end })
  busted.export("test", test.object)
  busted.executors.test = nil -- else busted would take it away inside of tests
end

return function(context)
  local raw, globals = context.raw, context.globals
  context.run = context.json.decode(raw.test.run())
  local function report(line)
    raw.test.report("return " .. line_of(line) .. "\n")
  end

  local require_outside = globals.require
  local busted = require_outside "busted.core"()
  require_outside "busted"(busted)
  local test = make_test(context, busted)
  globals.package.loaded["maru.test"] = test.object
  require_outside "busted.modules.filter_loader"()(busted, {
    tags = {}, excludeTags = {}, filterOut = {}, filter = { context.run.filter }, list = false,
    nokeepgoing = true, suppressPending = false,
  })
  tell(busted, report, test)
  wrap_tests(busted, context, test)
  local folder, file = context.run.spec:match("^(.*)/([^/]+)$")
  local load = require_outside "busted.modules.test_file_loader"(busted, { "lua" })
  load({ context.run.spec }, { file:gsub("%p", "%%%0") .. "$" }, { excludes = {}, recursive = false })
  globals.package.path = folder .. "/?.lua;" .. globals.package.path
  require_outside "busted.execute"(busted)(1, {})
  test.close()
  report({ event = "done" })
end
