--- Events and their analyses.
local cursor = require("cursor")
local events = require("events")

local M = {}

--- GET /api/events
function M.list(app, req)
  local query = req.query
  local place = cursor.decode(app, query.cursor, { "number" })
  local rows = events.list(app, {
    status = query.status, platform = query.platform, channel_id = query.channel_id,
    before = place and place[1],
  }, query.limit + 1)
  local more = #rows > query.limit
  rows[query.limit + 1] = nil
  return 200, {
    events = events.views(app, rows),
    next = more and cursor.encode(app, { rows[#rows].id }) or app.json.null,
  }
end

--- GET /api/events/{id}
function M.get(app, req)
  local row = events.get(app, req.params.id)
  if not row then
    error(app.fail(404, "not_found", "no such event"))
  end
  return 200, events.view(app, row)
end

return M
