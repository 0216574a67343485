--- The frame of a spec that asks the same of every driver of a kind, through the real program.
---
---   local DRIVERS = {
---     { name = "sqlite", settings = { "jobs.driver=sqlite" }, differs = { nodes = "one server has this record" } },
---     { name = "redis", open = function() -- starts what the driver needs
---       local db = redis.start()
---       return { settings = { "jobs.driver=redis", "jobs.url=" .. db.url }, close = function() db:stop() end }
---     end },
---   }
---   for _, driver in ipairs(DRIVERS) do
---     describe("jobs kept by " .. driver.name, function()
---       local stage, case = contract.stage(driver, { plugins = { c = PLUGIN } })
---       local node
---       setup(function() node = stage:node() end)
---       case("run", function() … end)
---       case("go to another node", "nodes", function() … end) -- not where the driver differs in "nodes"
---
--- Where a driver differs on purpose the run shows the case as pending, with the reason.
local busted = require("busted")
local server = require("spec.support.server")

local M = {}
local Stage = {}
Stage.__index = Stage

--- A server on this driver; the next one shares what the driver shares. `more`: plugins and settings beside the
--- stage's own. What the driver needs is started before the first, and is `stage.backend` from then on.
function Stage:node(more)
  local driver = self.driver
  self.backend = self.backend or (driver.open and driver.open() or driver)
  local plugins, set = {}, {}
  for _, options in ipairs({ self.options, { set = self.backend.settings }, more or {} }) do
    for name, files in pairs(options.plugins or {}) do
      plugins[name] = files
    end
    for _, text in ipairs(options.set or {}) do
      set[#set + 1] = text
    end
  end
  local maru = server.start({ plugins = plugins, set = set, env = self.backend.env })
  self.nodes[#self.nodes + 1] = maru
  return maru
end

function Stage:close()
  for _, maru in ipairs(self.nodes) do
    if not maru.stopped then
      maru:stop()
    end
  end
  if self.backend and self.backend.close then
    self.backend.close()
  end
end

--- For one driver, inside of a describe: with it end the servers and what the driver needs.
--- @return table stage, function case(name, [what], body): a test, unless the driver differs in `what` (or the name)
function M.stage(driver, options)
  local stage = setmetatable({ driver = driver, options = options, nodes = {} }, Stage)
  busted.teardown(function()
    stage:close()
  end)
  return stage, function(name, what, body)
    local reason = (driver.differs or {})[body and what or name]
    if reason then
      return busted.pending(name .. ": " .. reason)
    end
    return busted.it(name, body or what)
  end
end

return M
