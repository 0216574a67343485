--- What an expression of the parser's stands for: a constant text, or a part of the host's handle.
local M = {}

local match = string.match

--- Whether the binding has one value for its whole life, and which.
local function fixed(binding)
  return binding and binding.k == "local" and not binding.assigned and binding.init or nil
end

--- The expression behind parentheses and local names.
function M.source(node)
  for _ = 1, 20 do
    if node and node.k == "paren" then
      node = node.inner
    else
      local init = node and node.k == "name" and fixed(node.binding)
      if not init then
        return node
      end
      node = init
    end
  end
  return node
end

local function join(a, b)
  local segments = {}
  for _, segment in ipairs(a.segments) do
    segments[#segments + 1] = segment
  end
  for _, segment in ipairs(b.segments) do
    segments[#segments + 1] = { at = segment.at + #a.text, node = segment.node }
  end
  return { text = a.text .. b.text, segments = segments }
end

--- { text, segments = { { at = offset, node } } } of a constant text; nil when it is only known at run time.
function M.text(node)
  node = M.source(node)
  if not node then
    return nil
  elseif node.k == "str" then
    return { text = node.value, segments = { { at = 0, node = node } } }
  elseif node.k == "bin" and node.op == ".." then
    local a, b = M.text(node.a), M.text(node.b)
    return a and b and join(a, b)
  end
end

--- The constant text that the value begins with, "" when nothing is known.
function M.prefix(node)
  node = M.source(node)
  if node and node.k == "bin" and node.op == ".." then
    local a = M.text(node.a)
    return a and a.text .. M.prefix(node.b) or M.prefix(node.a)
  end
  return node and node.k == "str" and node.value or ""
end

--- The place in the source of the byte at `offset` (from 0) of a constant text.
function M.place(constant, offset)
  local found = constant.segments[1]
  for _, segment in ipairs(constant.segments) do
    if segment.at <= offset then
      found = segment
    end
  end
  local node = found.node
  return node.exact and node.content + offset - found.at or node.content or node.pos
end

-- ---- the host's handle -------------------------------------------------------------------------

local PASSED = { ["app.store:tx"] = "tx", ["app.sse"] = "stream" } -- function given there → its parameter
local RESULTS = { ["app.channels:subscribe"] = "subscription", ["app.http:stream"] = "http_stream",
  ["app.kernels.floats"] = "floats", ["app.kernels.full"] = "floats", ["app.kernels.parse_floats"] = "floats" }
-- A parameter called tx may be a transaction that is handed on: its SQL is read, its names are not judged.
local BY_NAME = { app = "app", tx = "maybe_tx" }
local AFTER_APP = { socket = "socket", stream = "stream" }

local kind_of

local function called(node)
  if node.k == "method" then
    local object = kind_of(node.object)
    return object and object .. ":" .. node.name
  end
  return kind_of(node.fn)
end

--- Remembers, for every function given to store:tx and the like, what its first parameter is.
function M.learn(parsed)
  for _, call in ipairs(parsed.calls) do
    local first = call.args[1]
    local what = first and first.k == "func" and first.params[1] and PASSED[called(call) or ""]
    if what then
      first.params[1].handle = what
    end
  end
  for _, func in ipairs(parsed.functions) do
    local first, second = func.params[1], func.params[2]
    if first and second and first.name == "app" then
      second.handle = second.handle or AFTER_APP[second.name]
    end
  end
end

local function of_binding(binding)
  if not binding then
    return nil
  elseif binding.handle then
    return binding.handle
  elseif binding.k == "param" then
    return not binding.assigned and BY_NAME[binding.name] or nil
  end
  return kind_of(fixed(binding))
end

--- "app", "app.store", "tx", "subscription" …; nil when the value is something else.
function kind_of(node)
  if not node then
    return nil
  elseif node.k == "name" then
    return of_binding(node.binding)
  elseif node.k == "paren" then
    return kind_of(node.inner)
  elseif node.k == "index" then
    local object, key = kind_of(node.object), M.text(node.key)
    return object and key and object .. "." .. key.text or nil
  elseif node.k == "call" and node.fn.k == "name" and node.fn.name == "assert" then
    return kind_of(node.args[1])
  elseif node.k == "method" or node.k == "call" then
    return RESULTS[called(node) or ""]
  end
end

M.kind = kind_of
M.called = called

--- Whether the last argument may stand for any number of values.
function M.is_open(args)
  local last = args[#args]
  return last ~= nil and (last.k == "call" or last.k == "method" or last.k == "other" and last.what == "...")
end

--- "host:port" of a URL whose authority is whole, or nil.
function M.authority(url)
  local scheme, host = match(url, "^(https?)://([^/?#]+)[/?#]")
  if not scheme then
    return nil
  end
  host = string.lower(match(host, "([^@]*)$"))
  return match(host, ":%d+$") and host or host .. (scheme == "https" and ":443" or ":80")
end

return M
