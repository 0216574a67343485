--- What never leaves in a request to a language model: keys and tokens, what the operator names, and the plugin's own
--- secrets. Each is replaced by a word in brackets.

local find, gsub, sub = string.find, string.gsub, string.sub

local M = {}

local KEYS = {
  "sk%-[%w_%-]+", -- OpenAI and its imitators
  "AKIA%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u", "ASIA%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u", "AKIA[%u%d]+", "ASIA[%u%d]+",
  "gh[pousr]_%w+", "github_pat_[%w_]+", "glpat%-[%w_%-]+", "xox[abprs]%-[%w%-]+", "AIza[%w_%-]+",
  "eyJ[%w_%-]+%.[%w_%-]+%.[%w_%-]+", -- JSON Web Token
  "[Bb]earer%s+[%w_%-%.=+/~]+",
  "%-%-%-%-%-BEGIN [%u ]*PRIVATE KEY%-%-%-%-%-.-%-%-%-%-%-END [%u ]*PRIVATE KEY%-%-%-%-%-",
}
local SHORTEST = { ["sk%-[%w_%-]+"] = 8, ["AKIA[%u%d]+"] = 16, ["ASIA[%u%d]+"] = 16, ["AIza[%w_%-]+"] = 20,
  ["[Bb]earer%s+[%w_%-%.=+/~]+"] = 20 }
local SETS = {
  keys = { word = "[key]", patterns = KEYS },
  email = { word = "[email]", patterns = { "[%w%.%%%+%-_]+@[%w%-]+%.[%w%.%-]+%w" } },
  phone = { word = "[phone]", patterns = { "%+%d[%d%-%s]+%d%d%d%d", "%f[%d]0%d%d?%-%d%d%d%d?%-%d%d%d%d%f[%D]",
    "%f[%d]01[016789]%d%d%d%d%d%d%d%d?%f[%D]", "%(%d%d%d%)%s?%d%d%d%-%d%d%d%d%f[%D]" } },
  card = { word = "[card]", patterns = { "%f[%d]%d%d%d%d[ %-]%d%d%d%d[ %-]%d%d%d%d[ %-]%d%d%d%d%f[%D]" } },
}

local function replace_plain(text, secret, word)
  local from, parts = 1, {}
  while true do
    local start, stop = find(text, secret, from, true)
    if not start then
      break
    end
    parts[#parts + 1] = sub(text, from, start - 1) .. word
    from = stop + 1
  end
  return from == 1 and text or table.concat(parts) .. sub(text, from)
end

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
      text = replace_plain(text, secret, "[secret]")
    end
    for _, step in ipairs(steps) do
      text = gsub(text, step.pattern, function(found)
        return #found >= step.shortest and step.word or found
      end)
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

--- Texts of the plugin that are secret: what its configuration declares so, and what it reads of the environment.
function M.secrets_of(info)
  local secrets = {}
  local function add(value)
    if type(value) == "string" and #value >= 6 then
      secrets[#secrets + 1] = value
    end
  end
  for _, name in ipairs(info.declaration.secrets or {}) do
    add((info.config or {})[name])
  end
  for _, name in ipairs(info.declaration.allow_env or {}) do
    add(info.env[name])
  end
  table.sort(secrets, function(a, b)
    return #a > #b
  end)
  return secrets
end

return M
