--- The numbers of a submission: whether they are such, and which is the first that is not.
local abs, find, match, sub = math.abs, string.find, string.match, string.sub

local M = {}

--- Models compute in 32 bits; sums of a million such values stay far from infinity.
M.LARGEST = 1e30
local LARGEST_FLOAT = 2 ^ 76 * 13234890 -- the float32 next to it, which is above it

local FINITE, BASE64 = { finite = true }, { base64 = true }
local WORDS = { NaN = true, nan = true, Infinity = true, inf = true }

local function wrong(index, code, message)
  return { index = index, code = code, message = message }
end

local KINDS = { ["nil"] = "nothing (it is missing)", string = "text", boolean = "a boolean", number = "a number" }

--- What a client sent there, in the words of JSON.
local function kind(app, value)
  if value == app.json.null then
    return "null"
  elseif type(value) == "table" and value[1] == nil and (next(value) ~= nil or app.json.encode(value) == "{}") then
    return "an object"
  end
  return KINDS[type(value)] or "an array"
end

--- Floats have no infinity, and NaN only where they came as bytes, which parse refuses.
local function check_floats(data, most)
  local n, largest = #data, LARGEST_FLOAT
  if n > most then
    return nil, wrong(most, "too_long", ("data has %d points, at most %d are taken"):format(n, most))
  end
  local least, greatest = data:range()
  if greatest <= largest and least >= -largest then
    return n
  end
  local i = 1
  while abs(data[i]) <= largest do
    i = i + 1
  end
  return nil, wrong(i - 1, "range", "a point must be a number from -1e30 to 1e30")
end

--- Floats, or the array that JSON gave where it is more than numbers. @return integer|nil points, table|nil wrong
function M.check(app, data, most)
  if type(data) == "userdata" and data ~= app.json.null then
    return check_floats(data, most)
  elseif type(data) ~= "table" or (#data == 0 and next(data) ~= nil) then
    return nil, wrong(nil, "type", "data must be an array of numbers, got " .. kind(app, data))
  end
  local n, largest = #data, M.LARGEST
  if n == 0 then
    return nil, wrong(nil, "empty", "data has no points")
  elseif n > most then
    return nil, wrong(most, "too_long", ("data has %d points, at most %d are taken"):format(n, most))
  end
  for i = 1, n do
    local value = data[i]
    if type(value) ~= "number" then
      return nil, wrong(i - 1, "type", "a point must be a number, got " .. kind(app, value))
    elseif not (value <= largest and value >= -largest) then
      return nil, wrong(i - 1, "range", "a point must be a number from -1e30 to 1e30")
    end
  end
  return n
end

local BEGINNINGS = { ['"'] = "text", ["{"] = "an object", ["["] = "an array", ["]"] = "nothing",
  ["null"] = "null", ["true"] = "a boolean", ["false"] = "a boolean" }

--- What stands there instead of a number: its kind, or the word itself.
local function beginning(text, at)
  local word = match(text, "^%-?%a+", at) or match(text, "^[%z\1-\127\194-\244][\128-\191]*", at)
  if not word then
    return at > #text and "nothing" or "what is no text"
  end
  return BEGINNINGS[word] or #word <= 20 and word or sub(word, 1, 1)
end

--- Text that is no JSON: the first item of "data" that no number can begin with, NaN mostly.
--- @return table|nil wrong  nil: the fault is elsewhere
function M.find_bad(text)
  local _, at = find(text, '"data"%s*:%s*%[%s*')
  if not at or sub(text, at + 1, at + 1) == "]" then
    return nil
  end
  at = at + 1
  for index = 0, 100000 do
    local from, stop = find(text, "^%-?%d+%.?%d*[eE]?[+-]?%d*%s*", at)
    if not from then
      local code = WORDS[match(text, "^%-?(%a+)", at)] and "range" or "type"
      return wrong(index, code, "a point must be a number, got " .. beginning(text, at))
    elseif abs(tonumber(match(text, "^[^%s,%]]+", from)) or 0) > M.LARGEST then
      return wrong(index, "range", "a point must be a number from -1e30 to 1e30")
    elseif sub(text, stop + 1, stop + 1) ~= "," then
      return nil
    end
    _, at = find(text, "^%s*", stop + 2)
    at = at + 1
  end
end

--- Points that came as bytes (float32, little-endian) or as lines; ends the request with what is wrong.
function M.parse(app, text, binary, refuse)
  local floats, message, _, index
  if text == "" or not binary and not find(text, "%S") then
    refuse(app, "data", "empty", "data has no points")
  elseif binary and #text % 4 ~= 0 then
    refuse(app, "data", "type", ("%d bytes are no 32-bit numbers"):format(#text))
  elseif binary then
    floats, message, _, index = app.kernels.floats(text, FINITE)
  else
    floats, message, _, index = app.kernels.parse_floats(text)
  end
  if not floats then
    refuse(app, "data", "type", message:gsub("^value %d+", "a point"), index and index - 1)
  end
  return floats
end

local ENCODED = 65536 -- points that are in the job's arguments

--- Puts the points into the arguments of a job, as 32-bit numbers; the longest series are objects, whose bytes are in
--- plan.bytes until they are kept.
function M.keep(app, plan, data)
  local floats = type(data) == "table" and app.kernels.floats(data) or data
  if plan.n <= ENCODED then
    plan.b = floats:base64()
  else
    plan.o, plan.bytes = true, floats:bytes()
  end
end

--- The points of a job. @return userdata|nil floats, string? message
function M.load(app, args, key)
  if args.b then
    return app.kernels.floats(args.b, BASE64)
  elseif args.d then -- of a job that waits since an earlier version
    return app.kernels.floats(args.d)
  end
  local bytes, message = app.objects:get(key)
  if not bytes then
    return nil, message
  end
  return app.kernels.floats(bytes)
end

--- Decimals that leave seven digits to the largest of these: shorter to write, and as exact as the models.
function M.decimals(data)
  local least, greatest = data:range()
  local largest = math.max(abs(least), abs(greatest))
  return largest > 0 and math.min(math.max(6 - math.floor(math.log10(largest)), 0), 15) or 6
end

return M
