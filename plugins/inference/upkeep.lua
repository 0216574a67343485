--- What is done by schedule: old rows go.
local must = require("must")
local record = require("record")
local tally = require("tally")

local M = {}

M.fold = tally.fold

local BATCH = 5000

--- Jobs that gave up, or that the process died with twice: nobody else says what became of their submissions. (waits)
function M.bury(app)
  for _, kind in ipairs({ "run", "backtest" }) do
    local last = 0
    repeat
      local dead = must(app.jobs:dead(kind, last))
      local known = {}
      for _, row in ipairs(dead[1] and must(app.store:all("select job from deaths where job between $1 and $2", dead[1],
        dead[#dead])) or {}) do
        known[row.job] = true
      end
      for _, number in ipairs(dead) do
        if not known[number] then
          record.bury(app, number)
          must(app.store:exec("insert into deaths (job, at) values ($1, $2) on conflict (job) do nothing", number,
            app.now()))
        end
      end
      last = dead[#dead]
    until not last
  end
end

--- Results, keys of requests and points that nobody asks for any more. (waits)
function M.prune(app)
  local bound = app.now() - app.config.keep_days * 86400
  repeat
    local n = must(app.store:exec("delete from results where seq in (select seq from results where finished_at < $1 "
      .. "order by finished_at limit $2)", bound, BATCH))
  until n < BATCH
  must(app.store:exec("delete from submissions where at < $1", app.now() - 86400))
  must(app.store:exec("delete from deaths where at < $1", bound))
  must(app.store:exec("delete from callbacks where at < $1", bound))
  local after
  repeat
    local page = must(app.objects:list("input/", { after = after }))
    local old = {}
    for _, object in ipairs(page.objects) do
      if object.at < bound then
        old[#old + 1] = object.key
      end
    end
    if old[1] then
      must(app.objects:delete_many(old))
    end
    after = page.after
  until not after
end

return M
