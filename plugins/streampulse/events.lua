--- Events as the API shows them, and their pages.
local must = require("must")
local state = require("state")
local times = require("times")

local M = {}

local function rounded(number, digits)
  local scale = 10 ^ digits
  return math.floor(number * scale + 0.5) / scale
end

function M.view(app, row)
  local null = app.json.null
  return {
    id = row.id,
    platform = row.platform,
    channel_id = row.channel_id,
    channel_name = row.channel_name,
    title = row.title,
    category = row.category ~= "" and row.category or null,
    detected_at = times.iso(app, row.detected_at),
    viewers = row.viewers,
    baseline = rounded(row.baseline, 0),
    ratio = rounded(row.ratio, 2),
    zscore = rounded(row.zscore, 1),
    status = row.status,
    analysis = row.analysis ~= "" and app.json.decode(row.analysis) or null,
  }
end

function M.publish(app, row)
  app.channels:publish(state.TOPIC, { event = "event", data = M.view(app, row) })
end

--- Newest first. filter: status, platform, channel_id, before (id). @return table[] rows
function M.list(app, filter, limit)
  local where, values = {}, {}
  local function add(condition, value)
    values[#values + 1] = value
    where[#where + 1] = condition .. " $" .. #values
  end
  for _, name in ipairs({ "status", "platform", "channel_id" }) do
    if filter[name] then
      add(name .. " =", filter[name])
    end
  end
  if filter.before then
    add("id <", filter.before)
  end
  values[#values + 1] = limit
  local sql = "select * from events"
    .. (#where > 0 and " where " .. table.concat(where, " and ") or "")
    .. " order by id desc limit $" .. #values
  return must(app.store:all(sql, unpack(values)))
end

function M.views(app, rows)
  local list = {}
  for index, row in ipairs(rows) do
    list[index] = M.view(app, row)
  end
  return app.json.array(list)
end

--- @return table|false
function M.get(app, id)
  return must(app.store:one("select * from events where id = $1", id))
end

return M
