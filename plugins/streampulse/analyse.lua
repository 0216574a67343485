--- Starts the analysis of each PENDING event once: the run has the event's key, and what it stores has a fence.
local events = require("events")
local must = require("must")

local M = {}

M.RETRIES = 3

local function start(app, id, again)
  return app.workflows:start("analysis", { id = id, again = again or nil }, { key = "event:" .. id })
end

--- The job that is written together with its event. (waits)
function M.run(app, job)
  local id = job.args.id
  local event = events.get(app, id)
  if not event or event.status ~= "PENDING" then
    return { id = id, result = "nothing to do" }
  end
  local run, message, code = start(app, id)
  if not run and code ~= "duplicate" then
    return nil, message, code
  end
  return { id = id, result = run and "started" or "another run has it" }
end

--- POST /api/events/{id}/analyse: once more, whatever there is.
function M.again(app, req)
  local id = req.params.id
  if not events.get(app, id) then
    error(app.fail(404, "not_found", "no such event"))
  end
  local run, message, code = start(app, id, true)
  if not run then
    error(app.fail(code == "duplicate" and 409 or 503, code,
      code == "duplicate" and "it is being analysed now" or message))
  end
  return 202, { run = run }
end

--- Gives events back to the queue whose job was lost (dead, or dropped by an operator). (waits)
function M.sweep(app)
  local rows = must(app.store:all(
    "select id from events where status = 'PENDING' and detected_at < $1 order by id limit 200",
    math.floor(app.now()) - app.config.sweep_after))
  local pushed = 0
  for _, row in ipairs(rows) do
    local id, message, code = app.jobs:push("analyse", { id = row.id },
      { unique = "analyse:" .. row.id })
    if not id and code ~= "duplicate" then
      error(message, 0)
    end
    pushed = pushed + (id and 1 or 0)
  end
  if pushed > 0 then
    app.log:warn("pending events had lost their job", { count = pushed })
  end
  return { pushed = pushed }
end

return M
