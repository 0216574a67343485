--- Results: how they are kept, told to others, and found again. What a client is shown is made once, as text.
local ids = require("ids")
local must = require("must")
local series = require("series")
local tally = require("tally")
local times = require("times")

local M = {}

M.TOPIC = "inference_results"

local CACHED = "1m"
local INSERT = "insert into results (id, model_name, status, finished_at, body) values ($1, $2, $3, $4, $5) "
  .. "on conflict (id) do nothing"

--- What a client is shown of a submission, as a table. outcome: { status, started, finished, ms, result or error }.
function M.view(app, id, args, outcome)
  local null = app.json.null
  return {
    id = id, model_name = args.m, model_version = args.v, status = outcome.status,
    submitted_at = times.iso(args.t), points = args.n, metadata = args.x or null,
    started_at = outcome.started and times.iso(outcome.started) or null,
    finished_at = outcome.finished and times.iso(outcome.finished) or null,
    processing_ms = outcome.ms and math.floor(outcome.ms * 1000 + 0.5) / 1000 or null,
    result = outcome.result or null, error = outcome.error or null,
  }
end

--- Inserts rows of which some may be there already: those that were not. (waits)
local function insert_each(tx, items)
  local new = {}
  for _, item in ipairs(items) do
    if must(tx:exec(INSERT, unpack(item.row, 1, 5))) > 0 then
      new[#new + 1] = item
    end
  end
  return new
end

local function store_in(app, tx, items, writer, one_by_one)
  local new = items
  if one_by_one then
    new = insert_each(tx, items)
  else
    local rows = {}
    for i, item in ipairs(items) do
      rows[i] = item.row
    end
    if must(tx:many(INSERT, rows)) ~= #rows then
      return nil, "some of these results are there", "again"
    end
  end
  local calls = {}
  for _, item in ipairs(new) do
    local args = item.args
    local outcome = item.outcome
    tally.count(writer, math.floor(outcome.finished / 60) * 60, args.m, outcome.status,
      (outcome.finished - args.t) * 1000, outcome.ms)
    if args.c then
      calls[#calls + 1] = { id = item.id, url = args.c }
    end
  end
  must(tally.write(app, tx, writer))
  if calls[1] then
    must(tx.jobs:push_many("callback", calls))
  end
  return true
end

--- A writer counts again what a rolled back transaction counted: it starts from where it was.
local function copy_of(writer)
  local out = { name = writer.name, minute = writer.minute, models = {} }
  for name, model in pairs(writer.models) do
    local copy = { completed = model.completed, failed = model.failed, latency = {}, processing = {} }
    for _, part in ipairs({ "latency", "processing" }) do
      for class, n in pairs(model[part]) do
        copy[part][class] = n
      end
    end
    out.models[name] = copy
  end
  return out
end

local function store(app, items)
  local before, writer = tally.take(app), nil
  local function attempt(one_by_one)
    return app.store:tx(function(tx)
      writer = copy_of(before)
      return store_in(app, tx, items, writer, one_by_one)
    end)
  end
  local ok, message, code = attempt(false)
  if not ok and code == "again" then
    ok, message = attempt(true)
  end
  must(ok, message)
  tally.give_back(writer) -- after a failure nobody knows what is stored: the next writer is a new one
end

local function log_of(app, item)
  local outcome, args = item.outcome, item.args
  local fields = { id = item.id, model_name = args.m, model_version = args.v, points = args.n,
    processing_ms = item.view.processing_ms }
  if outcome.status == "failed" then
    fields.code = outcome.error.code
    app.log:warn("inference failed: " .. outcome.error.message, fields)
  else
    app.log:info("inference completed", fields)
  end
end

--- One event for each: what it has of the input and of the smoothed series is left to those who ask for the result.
local function tell(app, items)
  local list = {}
  for i, item in ipairs(items) do
    local view = item.view
    if item.args.m ~= "backtest" and view.result ~= app.json.null then
      view.result.history, view.result.values = nil, nil
    end
    list[i] = { view, { key = item.args.m } }
  end
  must(app.events:emit_many(M.TOPIC, list))
end

--- For those who ask soon. Nobody waits for it: where the cache is Redis these are as many answers. (waits)
local function remember(app, items)
  for _, item in ipairs(items) do
    app.cache:set("result:" .. item.id, item.body, CACHED)
  end
end

--- Keeps what became of jobs: one transaction for all of them, then the cache, the event stream and the log. (waits)
--- items: { id, args, outcome }.
function M.keep(app, items)
  for _, item in ipairs(items) do
    item.view = M.view(app, item.id, item.args, item.outcome)
    item.body = app.json.encode(item.view)
    item.row = { item.id, item.args.m, item.outcome.status, item.outcome.finished, item.body }
  end
  store(app, items)
  tell(app, items)
  app.spawn(remember, items)
  for _, item in ipairs(items) do
    log_of(app, item)
    if item.args.o then
      app.objects:delete(M.input(item.args))
    end
  end
end

--- Key of the object that has the points of a long series.
function M.input(args)
  return "input/" .. args.k
end

--- What is stored under an id, as text, or false. (waits)
function M.body(app, id)
  local text = app.cache:get("result:" .. id)
  if text then
    return text
  end
  local row = must(app.store:one("select body from results where id = $1", id))
  return row and row.body
end

--- Keeps an end that no handler saw: cancelled, expired, dead. False when there is a result already. (waits)
function M.close(app, id, args, outcome)
  local view = M.view(app, id, args, outcome)
  local body = app.json.encode(view)
  local n = must(app.store:exec(INSERT, id, args.m, outcome.status, outcome.finished, body))
  if args.o then
    app.objects:delete(M.input(args))
  end
  return n > 0 and view
end

local ENDS = { expired = "expired", cancelled = "cancelled", dead = "failed" }

--- The queue's word for what it has not brought to an end here.
local function waiting_view(app, id, job)
  local running = job.state == "running"
  return M.view(app, id, job.args, { status = running and "running" or "queued" })
end

--- A submission that has no result yet, as the queue knows it: a view, or nil when it knows nothing. (waits)
function M.queued(app, id)
  local number, token = ids.parse(id)
  local job = number and must(app.jobs:get(number))
  if not job or (job.kind ~= "inference.run" and job.kind ~= "inference.backtest")
    or not job.args or job.args.k ~= token then
    return nil
  end
  local status = ENDS[job.state]
  if not status then
    return waiting_view(app, id, job), job
  end
  local why = job.state == "dead" and { code = "failed", message = tostring(job.error) }
    or { code = status, message = status == "expired" and "it had not started at its deadline" or "it was cancelled" }
  local outcome = { status = status, finished = app.now(), error = why }
  return M.close(app, id, job.args, outcome) or M.view(app, id, job.args, outcome), job
end

M.load = series.load

return M
