--- What never leaves in a request to a language model: keys and tokens, what the operator names, and the plugin's own
--- secrets. Each is replaced by a word in brackets.

local replace = require("maru.secrets").replace

local byte, char, find, gsub = string.byte, string.char, string.find, string.gsub

local M = {}

-- ---- what a pattern would look for again at every letter -------------------------------------------
-- Texts come from strangers: time must not grow with the square of a text. Each takes a text and where to begin, and
-- gives the first and the last byte of what it found.

local OF_NAME = {}
for code = 0, 255 do
  OF_NAME[code] = find(char(code), "[%w%.%%%+%-_]") ~= nil
end

local function find_email(text, from)
  local at = find(text, "@", from, true)
  while at do
    local _, stop = find(text, "^[%w%-]+%.[%w%.%-]+%w", at + 1)
    local start = at
    while stop and start > from and OF_NAME[byte(text, start - 1)] do
      start = start - 1
    end
    if start < at then
      return start, stop
    end
    at = find(text, "@", at + 1, true)
  end
end

--- A JSON Web Token: three words with points between them, the first one beginning with "eyJ".
local function find_token(text, from)
  local start = find(text, "eyJ", from, true)
  while start do
    local _, first = find(text, "^[%w_%-]+", start)
    local _, stop = find(text, "^%.[%w_%-]+%.[%w_%-]+", first + 1)
    if stop and first > start + 2 then
      return start, stop
    end
    start = find(text, "eyJ", first + 1, true) -- what else begins in this word ends where it does
  end
end

local function find_private_key(text, from)
  local start = find(text, "-----BEGIN ", from, true)
  while start do
    local _, stop = find(text, "^%-%-%-%-%-BEGIN [%u ]*PRIVATE KEY%-%-%-%-%-", start)
    if stop then
      _, stop = find(text, "%-%-%-%-%-END [%u ]*PRIVATE KEY%-%-%-%-%-", stop + 1)
      return stop and start, stop -- none from here on is none for all that begin later
    end
    start = find(text, "-----BEGIN ", start + 1, true)
  end
end

local KEYS = {
  "%f[%w]sk%-[%w_%-]+", -- OpenAI and its imitators; not "task-oriented"
  "AKIA%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u", "ASIA%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u", "AKIA[%u%d]+", "ASIA[%u%d]+",
  "gh[pousr]_%w+", "github_pat_[%w_]+", "glpat%-[%w_%-]+", "xox[abprs]%-[%w%-]+", "AIza[%w_%-]+",
  find_token,
  "[Bb]earer%s+[%w_%-%.=+/~]+",
  find_private_key,
}
local SHORTEST = { ["%f[%w]sk%-[%w_%-]+"] = 8, ["AKIA[%u%d]+"] = 16, ["ASIA[%u%d]+"] = 16, ["AIza[%w_%-]+"] = 20,
  ["[Bb]earer%s+[%w_%-%.=+/~]+"] = 20 }
local SETS = {
  keys = { word = "[key]", patterns = KEYS },
  email = { word = "[email]", patterns = { find_email } },
  phone = { word = "[phone]", patterns = { "%+%d[%d%-%s]+%d%d%d%d", "%f[%d]0%d%d?%-%d%d%d%d?%-%d%d%d%d%f[%D]",
    "%f[%d]01[016789]%d%d%d%d%d%d%d%d?%f[%D]", "%(%d%d%d%)%s?%d%d%d%-%d%d%d%d%f[%D]" } },
  card = { word = "[card]", patterns = { "%f[%d]%d%d%d%d[ %-]%d%d%d%d[ %-]%d%d%d%d[ %-]%d%d%d%d%f[%D]" } },
}

--- names: words of SETS and Lua patterns; secrets: texts that are hidden wherever they stand.
--- Returns function(text).
function M.compile(names, secrets)
  local steps = {}
  for _, name in ipairs(names) do
    local set = SETS[name] or { word = "[redacted]", patterns = { name } }
    for _, pattern in ipairs(set.patterns) do
      steps[#steps + 1] = { pattern = pattern, word = set.word, shortest = SHORTEST[pattern] or 1 }
    end
  end
  return function(text)
    for _, secret in ipairs(secrets) do
      text = replace(text, secret, "[secret]")
    end
    for _, step in ipairs(steps) do
      if type(step.pattern) == "function" then
        text = replace(text, step.pattern, step.word)
      else
        text = gsub(text, step.pattern, function(found)
          return #found >= step.shortest and step.word or found
        end)
      end
    end
    return text
  end
end

--- The same over every text in a value; tables are copied. Keys of tables are left as they are.
function M.deep(redact, value)
  if type(value) == "string" then
    return redact(value)
  elseif type(value) ~= "table" then
    return value
  end
  local copy = {}
  for key, one in pairs(value) do
    copy[key] = M.deep(redact, one)
  end
  return copy
end

return M
