--- What the specs of the cache, its locks and the channels share: a plugin that runs Lua text, and a
--- line for each driver.
---
---   local cache = require("spec.support.cache")
---   for _, driver in ipairs(cache.DRIVERS) do
---     local stage = cache.open(driver)           -- what the driver needs, and no server yet
---     local maru = stage:node()                  -- a server on it; another one shares it if the driver does
---     cache.run(maru, "return app.cache:get(...)", "key")   -- every value that the text returned; nil is cjson.null
---     stage:close()
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local M = {}

local RUNNER = [[
local M = { name = "%s", version = "1.0.0" }
local kept = {} -- of one lane, between two runs
M.routes = {
  ["POST /%s/run"] = function(app, req)
    local body = req:json()
    local list = app.json.array({})
    local function keep(...)
      for i = 1, select("#", ...) do
        local value = select(i, ...)
        list[i] = value == nil and app.json.null or value
      end
    end
    keep(assert(loadstring("local app, args, kept = ... " .. body.text))(app, body.args or {}, kept))
    return 200, list
  end,
}
return M
]]

function M.plugin(name)
  return { ["plugin.lua"] = RUNNER:format(name, name) }
end

M.DRIVERS = {
  { name = "memory", open = function() return { settings = { "cache.driver=memory", "channels.driver=memory" } } end },
  {
    name = "redis",
    open = function()
      local db = redis.start()
      return { db = db, settings = { "cache.driver=redis", "cache.url=" .. db.url, "cache.prefix=maru:",
        "channels.driver=redis" } }
    end,
  },
}

local Stage = {}
Stage.__index = Stage

--- A server. options: plugins beside "one" and "two", more settings in `set`.
function Stage:node(options)
  options = options or {}
  local plugins = { one = M.plugin("one"), two = M.plugin("two") }
  for name, files in pairs(options.plugins or {}) do
    plugins[name] = files
  end
  local set = { "plugins.watch=false", "lanes.web=2", "lanes.job=1" }
  for _, list in ipairs({ self.settings, options.set or {} }) do
    for _, text in ipairs(list) do
      set[#set + 1] = text
    end
  end
  local maru = server.start({ plugins = plugins, set = set })
  self.nodes[#self.nodes + 1] = maru
  return maru
end

function Stage:close()
  for _, maru in ipairs(self.nodes) do
    maru:stop()
  end
  if self.db then
    self.db:stop()
  end
end

function M.open(driver)
  local stage = setmetatable(driver.open(), Stage)
  stage.nodes = {}
  return stage
end

--- Runs text in a task of plugin "one" (or options.plugin). @return values…
function M.run(maru, text, ...)
  return M.run_as("one", maru, text, ...)
end

function M.run_as(plugin, maru, text, ...)
  local answer = maru:request("/" .. plugin .. "/run", { method = "POST", json = { text = text, args = { ... } } })
  if answer.status ~= 200 then
    error(("%s: %s"):format(answer.status, answer.body), 2)
  end
  return unpack(answer.json)
end

return M
