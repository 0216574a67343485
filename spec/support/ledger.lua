--- A plugin whose jobs enter numbers into a table, for specs that kill what is below it: what was acknowledged is
--- to be found there.
local M = {}

local PLUGIN = [==[
local M = { name = "ledger", version = "1.0.0" }
M.jobs = {
  enter = { retries = 20, backoff = "50ms", function(app, job)
    assert(app.store:exec([=[insert into entries(n) values ($1)
      on conflict (n) do update set times = entries.times + 1]=], job.args.n))
  end },
}
M.routes = {
  ["POST /enter"] = { body = { n = "integer" }, function(app, req)
    local id, message, code = app.jobs:push("enter", { n = req.body.n })
    if not id then return 503, { error = message, code = code } end
    return 202, { id = id }
  end },
  ["GET /entries"] = function(app)
    local list = {}
    for i, row in ipairs(app.store:all("select n from entries")) do list[i] = row.n end
    return 200, { entries = app.json.array(list) }
  end,
}
]==]

--- For server.start: { ledger = … }; more: Lua that adds to M.
--- @return table
function M.plugin(more)
  return {
    ["plugin.lua"] = PLUGIN .. (more or "") .. "return M\n",
    ["migrations/0001_entries.sql"] =
      "create table entries (n integer primary key, times integer not null default 1)",
  }
end

--- The first of these numbers that is not there, or nil.
function M.missing(maru, acknowledged)
  local json = maru:get("/entries").json
  if not json then
    return acknowledged[1]
  end
  local entered = {}
  for _, n in ipairs(json.entries) do
    entered[n] = true
  end
  for _, n in ipairs(acknowledged) do
    if not entered[n] then
      return n
    end
  end
  return nil
end

--- Waits until all are there; the first that is not, or nil.
function M.wait_missing(maru, acknowledged, seconds)
  local server, lost = require("spec.support.server"), nil
  server.wait_for(function()
    lost = M.missing(maru, acknowledged)
    return not lost
  end, seconds)
  return lost
end

return M
