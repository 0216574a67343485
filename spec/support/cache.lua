--- What the specs of the cache, its locks, limits and the channels share beside spec/support/contract.lua: a line for
--- each driver, and a plugin that runs Lua text.
---
---   local cache = require("spec.support.cache")
---   for _, driver in ipairs(cache.drivers(differs)) do
---     local stage, case = contract.stage(driver, cache.OPTIONS)
---     cache.run(stage:node(), "return app.cache:get(args[1])", "key")  -- all that it returned; nil is cjson.null
local redis = require("spec.support.redis")

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

--- A line for each driver. differs: what each does otherwise on purpose, by its name.
function M.drivers(differs)
  return {
    { name = "memory", settings = { "cache.driver=memory", "channels.driver=memory" }, differs = differs.memory },
    {
      name = "redis",
      open = function()
        local db = redis.start()
        return { db = db, close = function() db:stop() end, settings = { "cache.driver=redis", "cache.url=" .. db.url,
          "cache.prefix=maru:", "channels.driver=redis" } }
      end,
      differs = differs.redis,
    },
  }
end

--- What each of their servers has.
M.OPTIONS = { plugins = { one = M.plugin("one"), two = M.plugin("two") },
  set = { "plugins.watch=false", "lanes.web=2", "lanes.job=1" } }

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
