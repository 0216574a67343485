--- What boot.lua and a spec's VM (maru/test/boot.lua) do alike: the modules plugins may require, and the
--- contract read with its mistakes told by line.
local contract = require "maru.contract"
local schema = require "maru.schema"
local words = require "maru.words"

local M = {}

-- What `require "maru.…"` reaches from a plugin, besides the objects of MODULE_NOUNS.
local MODULES = { "collector" }
local MODULE_NOUNS = { "crypto", "json", "kernels", "text" }

--- Puts maru.* into parts.loaded; returns the objects among them by noun.
function M.shared(parts)
  local raw, shared = parts.raw, {}
  if raw.json then
    schema.setup(raw.json)
  end
  for _, name in ipairs(MODULES) do
    parts.loaded["maru." .. name] = require("maru." .. name)
  end
  for _, name in ipairs(MODULE_NOUNS) do
    if raw[name] then
      shared[name] = require("maru." .. name)(raw[name], { raw = raw })
      parts.loaded["maru." .. name] = shared[name]
    end
  end
  return shared
end

--- "plugins/x/plugin.lua:7: routes["GET /a"].cache: message"
local function describe(parts, refusal)
  local line = words.line(parts.source("plugin.lua") or "", refusal.keys)
  local path = words.path(refusal.keys)
  return string.format("%s/plugin.lua%s: %s%s", parts.dir, line and ":" .. line or "",
    path ~= "" and path .. ": " or "", refusal.message)
end

--- Returns declaration, handlers, config (contract.lua); raises with the line of a mistake.
function M.contract(parts, plugin)
  local ok, declaration, handlers, config = pcall(contract.read, plugin, {
    name = parts.name, settings = parts.settings, source = parts.source, hash = parts.hash,
    encode = parts.raw.json and parts.raw.json.encode, array_mark = parts.raw.json and parts.raw.json.array_mark,
  })
  if ok then
    return declaration, handlers, config
  end
  error(type(declaration) == "table" and describe(parts, declaration) or declaration, 0)
end

return M
