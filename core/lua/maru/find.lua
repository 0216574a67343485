--- What string.find and gmatch need besides vm/pattern.c, in Lua so that compiled code runs through it:
--- short plain searches go to the library's own find, which is compiled itself, and a function that gmatch
--- returned is a Lua function, for which one compiled trace is enough. Runs before the sandbox is made.
local parts, string = ...

local type = type
local find, library_find = string.find, parts.find
local refuse_gmatch, is_plain, next_match = parts.refuse_gmatch, parts.is_plain, parts.next_match

-- The library compares the text at each place of the subject; below this product that is over at once.
local LIBRARY_WORK = 2 ^ 20
local KEPT, KEPT_BYTES = 1000, 100

local plain_texts, count = {}, 0

local function learn(text)
  local plain = is_plain(text)
  if #text <= KEPT_BYTES then
    if count >= KEPT then
      plain_texts, count = {}, 0
    end
    plain_texts[text], count = plain, count + 1
  end
  return plain
end

function string.find(...)
  local s, text, init, plain = ...
  if type(s) == "string" and type(text) == "string" and #s * #text < LIBRARY_WORK then
    if not plain then
      plain = plain_texts[text]
      if plain == nil then
        plain = learn(text)
      end
    end
    if plain then
      return library_find(s, text, init, true)
    end
  end
  return find(...)
end

local function is_text(value)
  local kind = type(value)
  return kind == "string" or kind == "number"
end

function string.gmatch(...)
  local s, pattern = ...
  if not is_text(s) or not is_text(pattern) then
    return refuse_gmatch(...)
  end
  local state = { s .. "", pattern .. "", 0 }
  return function()
    return next_match(state)
  end
end
