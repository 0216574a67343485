--- Tokens of a Lua source that compiles: names, strings with their value and place, everything else as text.
local M = {}

local byte, char, find, match, sub = string.byte, string.char, string.find, string.match, string.sub

local KEYWORDS = {}
for word in string.gmatch("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while", "%a+") do
  KEYWORDS[word] = true
end

local ESCAPES = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v", ["\n"] = "\n" }
local SYMBOLS = { "...", "..", "==", "~=", "<=", ">=", "::" } -- longest first; others are one character

local function utf8(code)
  if code < 0x80 then
    return char(code)
  elseif code < 0x800 then
    return char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

--- The value of the escape whose backslash stands at `at`, and the place behind it.
local function escape(text, at)
  local digits = match(text, "^%d%d?%d?", at + 1)
  if digits then
    return char(tonumber(digits)), at + 1 + #digits
  end
  local hex = match(text, "^x(%x%x)", at + 1)
  if hex then
    return char(tonumber(hex, 16)), at + 4
  end
  local code = match(text, "^u{(%x+)}", at + 1)
  if code then
    return utf8(tonumber(code, 16)), at + 4 + #code
  end
  local _, blank = find(text, "^z%s*", at + 1)
  if blank then
    return "", blank + 1
  end
  local one = sub(text, at + 1, at + 1)
  return ESCAPES[one] or one, at + 2
end

--- 'text' or "text" that begins at `at`: value, place behind it, whether nothing in it was escaped.
local function quoted(text, at)
  local quote, from, parts = sub(text, at, at), at + 1, {}
  local exact = true
  while true do
    local stop = find(text, "[\\" .. quote .. "]", from)
    parts[#parts + 1] = sub(text, from, stop - 1)
    if byte(text, stop) ~= 92 then
      return table.concat(parts), stop + 1, exact
    end
    exact = false
    parts[#parts + 1], from = escape(text, stop)
  end
end

--- [[text]] or [==[text]==] that begins at `at`: value, place behind it, place of its first character.
local function long(text, at)
  local level = match(text, "^%[(=*)%[", at)
  if not level then
    return nil
  end
  local from = at + #level + 2
  local _, newline = find(text, "^\r?\n", from)
  from = newline and newline + 1 or from
  local stop, behind = find(text, "]" .. level .. "]", from, true)
  return sub(text, from, stop - 1), behind + 1, from
end

--- The place of the next token, behind white space and comments.
local function skip(text, at)
  while true do
    at = find(text, "%S", at)
    if not at or sub(text, at, at + 1) ~= "--" then
      return at
    end
    local _, behind = long(text, at + 2)
    at = behind or find(text, "\n", at, true)
    if not at then
      return nil
    end
  end
end

local function string_token(text, at)
  local first = sub(text, at, at)
  if first == "[" then
    local value, behind, from = long(text, at)
    if value then
      return { kind = "string", value = value, pos = at, content = from, exact = true }, behind
    end
    return nil
  end
  local value, behind, exact = quoted(text, at)
  return { kind = "string", value = value, pos = at, content = at + 1, exact = exact }, behind
end

local function number_token(text, at)
  local _, stop = find(text, "^0[xX][%x.]*[pP][-+]?%d+", at)
  if not stop then
    _, stop = find(text, "^0[xX][%x.]+", at)
  end
  if not stop then
    _, stop = find(text, "^[%d.]+[eE][-+]?%d+", at)
  end
  if not stop then
    _, stop = find(text, "^[%d.]+", at)
  end
  local _, suffix = find(text, "^[uUlLiI]+", stop + 1) -- 42LL, 2i
  return { kind = "number", pos = at }, (suffix or stop) + 1
end

local function symbol_token(text, at)
  for _, symbol in ipairs(SYMBOLS) do
    if sub(text, at, at + #symbol - 1) == symbol then
      return { kind = symbol, pos = at }, at + #symbol
    end
  end
  return { kind = sub(text, at, at), pos = at }, at + 1
end

local function token_at(text, at)
  local word = match(text, "^[%a_\128-\255][%w_\128-\255]*", at)
  if word then
    return { kind = KEYWORDS[word] and word or "name", value = word, pos = at }, at + #word
  end
  local first = sub(text, at, at)
  if first == '"' or first == "'" or first == "[" then
    local token, behind = string_token(text, at)
    if token then
      return token, behind
    end
  end
  if find(text, "^%.?%d", at) then
    return number_token(text, at)
  end
  return symbol_token(text, at)
end

--- All tokens of the text, which must compile; the last one has the kind "end of file".
function M.read(text)
  local tokens, at = {}, 1
  local _, line = find(text, "^#[^\n]*")
  at = line and line + 1 or at
  while true do
    at = skip(text, at)
    if not at then
      break
    end
    tokens[#tokens + 1], at = token_at(text, at)
  end
  tokens[#tokens + 1] = { kind = "end of file", pos = #text + 1 }
  return tokens
end

return M
