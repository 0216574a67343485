--- Prints what spec files report: their events are published again to busted's output handlers, as if the
--- tests had run here. Runs in a bare Lua state (bind/report.c).
local NOT_THERE = "maru test needs busted, which Lua does not find here; on Debian: apt-get install lua-busted"

-- Output of the handler "json", which would like to have dkjson for it.
local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function encode_text(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local encode

local function encode_table(value)
  local parts, keys = {}, {}
  if #value > 0 or next(value) == nil then
    for i, item in ipairs(value) do
      parts[i] = encode(item)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key in pairs(value) do
    keys[#keys + 1] = tostring(key)
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = encode_text(key) .. ":" .. encode(value[key])
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if kind == "table" then
    return encode_table(value)
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return value == nil and "null" or encode_text(tostring(value))
end

local function load_busted()
  package.preload.dkjson = function()
    return { encode = encode }
  end
  local found, core = pcall(require, "busted.core")
  if not found then
    error(NOT_THERE, 0)
  end
  local busted = core()
  require "busted"(busted)
  return busted
end

local function choose(handler)
  if handler then
    return handler
  end
  local has_term, term = pcall(require, "term")
  return has_term and term.isatty(io.stdout) and "utfTerminal" or "plainTerminal"
end

local function add_handler(name)
  local found, make = pcall(require, "busted.outputHandlers." .. name)
  if not found then
    error("busted has no output handler '" .. name .. "'", 0)
  end
  local options = { verbose = false, suppressPending = false, language = "en", deferPrint = false, arguments = {} }
  make(options):subscribe(options)
end

--- What the plugin logged meanwhile stands behind the message.
local function with_log(line)
  local message = tostring(line.message)
  for i, entry in ipairs(line.log or {}) do
    message = message .. (i == 1 and "\nLogged:" or "") .. "\n  " .. entry
  end
  return message
end

return function(handler)
  local busted = load_busted()
  add_handler(choose(handler))
  local context, failed, root = busted.context, 0, busted.context.get()
  local report, current = {}, nil

  local function attach(line)
    local element = { descriptor = line.descriptor, name = line.name, attributes = {}, trace = line.trace,
      duration = line.duration }
    context.attach(element)
    return element
  end

  local function begin(line)
    local element = attach(line)
    context.push(element)
    return element
  end

  local function bad(kind, line)
    failed = failed + 1
    local file, number = tostring(line.message):match("^([^\n:]+):(%d+):")
    line.trace = line.trace or {}
    line.trace.short_src = line.trace.short_src or file or tostring(context.get().name)
    line.trace.currentline = line.trace.currentline or tonumber(number) or 0
    local element = current
    if not element or line.descriptor ~= element.descriptor then
      element = attach(line)
    end
    busted.publish({ kind, element.descriptor }, element, context.parent(element), with_log(line),
      line.debug or line.trace)
  end

  local events = {
    describe_start = function(line)
      local element = begin(line)
      busted.publish({ "describe", "start" }, element, context.parent(element))
    end,
    describe_end = function()
      local element = context.get()
      busted.publish({ "describe", "end" }, element, context.parent(element))
      context.pop()
    end,
    test_start = function(line)
      current = attach(line)
      busted.publish({ "test", "start" }, current, context.parent(current))
    end,
    test_end = function(line)
      current.duration = line.duration
      busted.publish({ "test", "end" }, current, context.parent(current), line.status)
      current = nil
    end,
    pending = function(line)
      busted.publish({ "pending", line.descriptor }, current, context.parent(current), line.message, line.debug)
    end,
    failure = function(line)
      bad("failure", line)
    end,
    error = function(line)
      bad("error", line)
    end,
    gone = function(line)
      report.failure(line.message)
    end,
  }

  local function end_file()
    while context.get() ~= root do
      local element = context.get()
      if element.descriptor == "file" then
        busted.publish({ "file", "end" }, element)
      end
      context.pop()
    end
    current = nil
  end

  function report.file(path)
    end_file()
    local element = begin({ descriptor = "file", name = path })
    busted.publish({ "file", "start" }, element)
  end

  --- @return boolean whether more comes
  function report.line(text)
    local line = assert(loadstring(text))()
    if events[line.event] then
      events[line.event](line)
    end
    return line.event ~= "done"
  end

  function report.failure(message)
    if current then
      message = ("%s (in \"%s\")"):format(message, tostring(current.name))
      current = nil
    end
    while context.get().descriptor ~= "file" and context.get() ~= root do
      context.pop()
    end
    bad("error", { descriptor = "file", name = context.get().name, message = message })
  end

  function report.close()
    end_file()
    busted.safe_publish("suite", { "suite", "end" }, root, 1, 1)
    return failed
  end

  busted.safe_publish("suite", { "suite", "start" }, root, 1, 1)
  return report
end
