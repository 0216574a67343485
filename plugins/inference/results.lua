--- What clients ask of results: one, a page, several by id, and how it goes altogether.
local cursor = require("cursor")
local must = require("must")
local record = require("record")
local request = require("request")
local tally = require("tally")
local times = require("times")
local traffic = require("traffic")

local M = {}

local JSON = { ["content-type"] = "application/json" }
local MOST_IDS = 1000

--- The text of a submission's view: its result, or what the queue knows; nil when there is none. (waits)
local function body_of(app, id)
  local body = record.body(app, id)
  if body then
    return body
  end
  local view, job = record.queued(app, id)
  if job and job.state == "done" then
    return record.body(app, id) or nil -- it ended between the two looks
  end
  return view and app.json.encode(view)
end

--- GET /api/v1/inference/{id}
function M.get(app, req)
  local body = body_of(app, req.params.id)
  if not body then
    error(app.fail(404, "not_found", "there is no such submission"))
  end
  return 200, body, JSON
end

local function instant(app, query, name)
  local seconds = query[name] and times.parse(app, query[name])
  if query[name] and not seconds then
    request.refuse(app, "query." .. name, "type", name .. " must be seconds since 1970 or ISO 8601")
  end
  return seconds
end

--- GET /api/v1/inference/results, newest first.
function M.list(app, req)
  local query, values, where = req.query, {}, {}
  local function filter(text, value)
    if value ~= nil then
      values[#values + 1] = value
      where[#where + 1] = text:format(#values)
    end
  end
  filter("seq < $%d", cursor.decode(app, query.cursor))
  filter("status = $%d", query.status)
  filter("model_name = $%d", query.model_name)
  filter("finished_at >= $%d", instant(app, query, "since"))
  filter("finished_at < $%d", instant(app, query, "until"))
  local rows = must(app.store:all("select seq, body from results"
    .. (where[1] and " where " .. table.concat(where, " and ") or "")
    .. (" order by seq desc limit %d"):format(query.limit + 1), unpack(values)))
  local more = #rows > query.limit
  rows[query.limit + 1] = nil
  local bodies = {}
  for i, row in ipairs(rows) do
    bodies[i] = row.body
  end
  return 200, ('{"results":[%s],"next":%s}'):format(table.concat(bodies, ","),
    more and '"' .. cursor.encode(rows[#rows].seq) .. '"' or "null"), JSON
end

--- GET /api/v1/inference/batch?ids=a,b: in that order; null for one that is not there.
function M.batch(app, req)
  local ids, bodies = {}, {}
  for id in req.query.ids:gmatch("[^,%s]+") do
    ids[#ids + 1] = id
  end
  if #ids == 0 or #ids > MOST_IDS then
    request.refuse(app, "query.ids", "range", ("ids must name 1 to %d submissions"):format(MOST_IDS))
  end
  for i, id in ipairs(ids) do
    bodies[i] = body_of(app, id) or "null"
  end
  return 200, ('{"results":[%s]}'):format(table.concat(bodies, ",")), JSON
end

--- Of the last sixty seconds, out of two minutes. n(minute) counts one.
local function per_second(now, n)
  local minute = math.floor(now / 60) * 60
  local passed = now - minute
  return math.floor((n(minute) + n(minute - 60) * (1 - passed / 60)) / 60 * 1000 + 0.5) / 1000
end

local function rate_of(completed, failed)
  local all = completed + failed
  return all > 0 and math.floor(completed / all * 10000 + 0.5) / 100 or 100
end
M.rate_of = rate_of

--- GET /api/v1/inference/statistics
function M.statistics(app, req)
  local now, minutes = app.now(), req.query.minutes
  local since = tally.since(app, now - minutes * 60)
  local all, list = since.all, {}
  for minute = math.floor(now / 60) * 60 - (minutes - 1) * 60, now, 60 do
    local one = since.minutes[minute] or { completed = 0, failed = 0 }
    list[#list + 1] = { at = times.iso(minute), completed = one.completed, failed = one.failed }
  end
  return 200, {
    window = minutes * 60,
    submitted_per_second = per_second(now, function(minute) return traffic.of(app, minute) end),
    completed_per_second = per_second(now, function(minute)
      return since.minutes[minute] and since.minutes[minute].completed or 0
    end),
    completed = all.completed, failed = all.failed, cancelled = all.cancelled, failed_by = all.failed_by,
    success_rate = rate_of(all.completed, all.failed),
    latency_ms = all.latency_ms, processing_ms = all.processing_ms,
    queue_depth = app.jobs:unfinished("run") + app.jobs:unfinished("backtest"),
    by_model = app.json.array(since.models), per_minute = app.json.array(list),
  }
end

return M
