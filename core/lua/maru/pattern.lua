--- Lua patterns that the whole of a text must match, and the same as regular expressions of ECMA-262, which
--- JSON Schema speaks; nil where they differ. Lua counts bytes and JSON Schema characters: what could tell
--- these apart is not translated.
local byte, find, gsub, match, sub = string.byte, string.find, string.gsub, string.match, string.sub

-- What stands for %a in and outside of brackets.
local CLASSES = { a = "A-Za-z", d = "0-9", l = "a-z", u = "A-Z", w = "A-Za-z0-9", x = "A-Fa-f0-9",
  s = " \\t-\\r", c = "\\u0000-\\u001f\\u007f", p = "!-/:-@\\[-`{-~" }
local QUANTIFIERS = { ["*"] = "*", ["+"] = "+", ["-"] = "*?", ["?"] = "?" }

local function literal(char)
  return (gsub(char, "[%^%$%\\%.%*%+%?%(%)%[%]{}|/]", "\\%0"))
end

local function in_brackets(char)
  return (gsub(char, "[%^%]%[\\-]", "\\%0"))
end

--- The set that begins at `at` ("[") -> its regular expression, place behind it, whether other than ASCII
--- characters match; or nil.
local function read_set(text, at)
  local out, negated = "[", false
  at = at + 1
  if sub(text, at, at) == "^" then
    out, at, negated = "[^", at + 1, true
  end
  local first = true
  while first or sub(text, at, at) ~= "]" do
    local char = sub(text, at, at)
    first = false
    if char == "" or byte(char) > 127 then
      return nil
    elseif char == "%" then
      local class = sub(text, at + 1, at + 1)
      if find(class, "^%w$") and not CLASSES[class] or class == "" or byte(class) > 127 then
        return nil
      end
      out, at = out .. (CLASSES[class] or in_brackets(class)), at + 2
    else
      local from, to = match(text, "^(.)%-([^%]])", at)
      if from then
        if byte(to) > 127 or to == "%" then
          return nil
        end
        out, at = out .. in_brackets(from) .. "-" .. in_brackets(to), at + 3
      else
        out, at = out .. in_brackets(char), at + 1
      end
    end
  end
  return out .. "]", at + 1, negated
end

--- One item of the pattern at `at` -> regular expression, place behind it, wide; or nil. wide: it matches
--- bytes of other than ASCII characters, so that it must be repeated to mean the same.
local function read_item(text, at)
  local char = sub(text, at, at)
  if char == "." then
    return "[\\s\\S]", at + 1, true
  elseif char == "[" then
    return read_set(text, at)
  elseif char ~= "%" then
    return byte(char) < 128 and literal(char) or char, at + 1, false
  end
  local class = sub(text, at + 1, at + 1)
  if CLASSES[class] then
    return "[" .. CLASSES[class] .. "]", at + 2, false
  elseif find(class, "^%u$") and CLASSES[class:lower()] then
    return "[^" .. CLASSES[class:lower()] .. "]", at + 2, true
  elseif not find(class, "^%p$") then
    return nil
  end
  return literal(class), at + 2, false
end

local M = {}

--- The pattern without ^ before and an unescaped $ behind.
local function bare(text)
  local escapes = match(text, "(%%*)%$$")
  if escapes and #escapes % 2 == 0 then
    text = sub(text, 1, -2)
  end
  return (gsub(text, "^%^", ""))
end

--- The pattern that the whole of a text must match.
function M.anchored(text)
  return "^" .. bare(text) .. "$"
end

function M.regex(text)
  local out, at = "^(?:", 1
  text = bare(text)
  if find(text, "[%z\1-\8\14-\31]") then
    return nil
  end
  while at <= #text do
    local char = sub(text, at, at)
    if char == "(" or char == ")" then
      out, at = out .. (char == "(" and "(?:" or ")"), at + 1
    else
      local item, behind, wide = read_item(text, at)
      if not item then
        return nil
      end
      local mark = sub(text, behind, behind)
      local quantifier = QUANTIFIERS[mark]
      if wide and (not quantifier or mark == "?") or quantifier and byte(char) > 127 then
        return nil
      end
      out, at = out .. item .. (quantifier or ""), quantifier and behind + 1 or behind
    end
  end
  return out .. ")$"
end

return M
