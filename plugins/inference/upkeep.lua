--- What is done by schedule: old rows go.
local must = require("must")
local tally = require("tally")

local M = {}

M.fold = tally.fold

local BATCH = 5000

--- Results, keys of requests and points that nobody asks for any more. (waits)
function M.prune(app)
  local bound = app.now() - app.config.keep_days * 86400
  repeat
    local n = must(app.store:exec("delete from results where seq in (select seq from results where finished_at < $1 "
      .. "order by finished_at limit $2)", bound, BATCH))
  until n < BATCH
  must(app.store:exec("delete from submissions where at < $1", app.now() - 86400))
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
