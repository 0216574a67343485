--- Submissions: one durable push each. The job is the record of what waits.
local idempotency = require("idempotency")
local ids = require("ids")
local record = require("record")
local request = require("request")
local traffic = require("traffic")

local M = {}

local MOST_ITEMS = 1000
local BATCH = { items = true }
local ITEMS = { floats = "items.data" }
local BASE = "/api/v1/inference/"

local function busy(app, message, code)
  error(app.fail(503, code or "unavailable", "the queue took nothing: " .. tostring(message)))
end

--- What a client is told of a submission that is on disk.
local function accepted(args, job)
  local id = ids.of(job, args.k)
  return { id = id, status = "queued", model_name = args.m, model_version = args.v, status_url = BASE .. id }
end

--- Keeps the points of a long series; the arguments are as the queue wants them then. (waits, for long series)
local function prepare(app, args)
  args.k = ids.token(app)
  local bytes = args.bytes
  if bytes then
    args.bytes = nil
    local kept, message, code = app.objects:put(record.input(args), bytes)
    if not kept then
      busy(app, message, code)
    end
  end
  return args
end

--- Pushes one submission; jobs: app.jobs, or those of a transaction. (waits)
local function push(app, jobs, kind, submission)
  local args = prepare(app, submission.args)
  local job, message, code = jobs:push(kind, args, submission.options)
  if not job then
    if args.o then
      app.objects:delete(record.input(args))
    end
    busy(app, message, code)
  end
  return accepted(args, job)
end

local function take(app, req, kind, submission)
  local key = req.headers["idempotency-key"]
  local answer
  if key then
    answer = idempotency.once(app, key, req, request.refuse, function(tx)
      return push(app, tx.jobs, kind, submission)
    end)
  else
    answer = push(app, app.jobs, kind, submission)
  end
  traffic.count(app, 1)
  return 202, answer, { location = answer.status_url }
end

--- POST /api/v1/inference/submit
function M.one(app, req)
  return take(app, req, "run", request.read(app, req))
end

--- A submission of kind "backtest", made by backtest.lua.
function M.backtest(app, req, submission)
  return take(app, req, "backtest", submission)
end

--- app.fail's error value as an item of a batch; other errors pass.
local function refusal(app, message)
  if type(message) ~= "table" or message.status ~= 422 then
    error(message, 0)
  end
  local extra = message.extra or {}
  return { error = { field = extra.field or app.json.null, index = extra.index or app.json.null, code = message.code,
    message = message.message } }
end

local function group_of(groups, options)
  local name = options and options.priority or ""
  if not groups[name] then
    groups[name] = { options = options, places = {}, list = {} }
    groups[#groups + 1] = groups[name]
  end
  return groups[name]
end

--- POST /api/v1/inference/batch: those that can be taken are, with one push for all that wait alike.
function M.batch(app, req)
  local body = request.read_json(app, req, ITEMS)
  request.fields(app, body, BATCH, "a batch")
  local items = body.items
  if type(items) ~= "table" or #items == 0 or #items > MOST_ITEMS then
    request.refuse(app, "items", "range", ("items must be an array of 1 to %d submissions"):format(MOST_ITEMS))
  end
  local out, groups, taken = {}, {}, 0
  for i, item in ipairs(items) do
    local ok, submission = pcall(request.of_table, app, item)
    if ok then
      local group = group_of(groups, submission.options)
      group.places[#group.places + 1] = i
      group.list[#group.list + 1] = prepare(app, submission.args)
    else
      out[i] = refusal(app, submission)
    end
  end
  for _, group in ipairs(groups) do
    local jobs, message = app.jobs:push_many("run", group.list, group.options)
    for k, place in ipairs(group.places) do
      out[place] = jobs and accepted(group.list[k], jobs[k])
        or { error = { field = app.json.null, index = app.json.null, code = "unavailable", message = message } }
      taken = taken + (jobs and 1 or 0)
    end
  end
  traffic.count(app, taken)
  return 202, { items = app.json.array(out) }
end

--- DELETE /api/v1/inference/{id}: the end is written first, so that a run that is under way changes nothing.
function M.cancel(app, req)
  local id = req.params.id
  if record.body(app, id) then
    error(app.fail(409, "conflict", "it has ended already"))
  end
  local view, job = record.queued(app, id)
  if not view then
    error(app.fail(404, "not_found", "there is no such submission"))
  elseif view.status ~= "queued" and view.status ~= "running" then
    error(app.fail(409, "conflict", "it has ended already"))
  end
  local why = { code = "cancelled", message = "it was cancelled" }
  if not record.close(app, id, job.args, { status = "cancelled", finished = app.now(), error = why }) then
    error(app.fail(409, "conflict", "it has ended already"))
  end
  app.jobs:cancel(job.id) -- when it has just begun its result is not kept
  return 200, { id = id, status = "cancelled" }
end

return M
