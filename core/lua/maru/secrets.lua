--- Texts that are secret, and how they are taken out of what others see.

local find, sub = string.find, string.sub

local M = {}

--- what: a text, or a function(text, from) → first, last.
function M.replace(text, what, word)
  local from, parts = 1, {}
  while true do
    local start, stop
    if type(what) == "string" then
      start, stop = find(text, what, from, true)
    else
      start, stop = what(text, from)
    end
    if not start then
      break
    end
    parts[#parts + 1] = sub(text, from, start - 1) .. word
    from = stop + 1
  end
  return from == 1 and text or table.concat(parts) .. sub(text, from)
end

--- Texts of the plugin that are secret: what its configuration declares so, and what it reads of the environment.
function M.of(info)
  local secrets = {}
  local function add(value)
    if type(value) == "string" and #value >= 6 then
      secrets[#secrets + 1] = value
    elseif type(value) == "table" then
      for _, one in pairs(value) do
        add(one)
      end
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
