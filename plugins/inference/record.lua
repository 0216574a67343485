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

local CALLBACK = "insert into callbacks (id, job, at) values ($1, $2, $3)"

--- What a client is shown of a submission, as a table. outcome: { status, started, finished, ms, result or error }.
--- Of a callback's address only where it leads: the rest may be a secret, and whoever lists results sees this.
function M.view(app, id, args, outcome)
  local null = app.json.null
  return {
    id = id, model_name = args.m, model_version = args.v, status = outcome.status,
    submitted_at = times.iso(args.t), points = args.n, metadata = args.x or null,
    started_at = outcome.started and times.iso(outcome.started) or null,
    finished_at = outcome.finished and times.iso(outcome.finished) or null,
    processing_ms = outcome.ms and math.floor(outcome.ms * 1000 + 0.5) / 1000 or null,
    result = outcome.result or null, error = outcome.error or null,
    callback = args.c and args.c:match("^%a+://[^/%?#]+"),
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
    if not new[1] then
      return new
    end
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
    local args, outcome = item.args, item.outcome
    local minute, latency = math.floor(outcome.finished / 60) * 60, (outcome.finished - args.t) * 1000
    tally.count(app, writer, minute, args.m, outcome, latency)
    if args.c then
      calls[#calls + 1] = { id = item.id, url = args.c }
    end
  end
  tally.write(app, tx, writer)
  if calls[1] then
    for i, job in ipairs(must(tx.jobs:push_many("callback", calls))) do
      must(tx:exec(CALLBACK, calls[i].id, job, app.now()))
    end
  end
  return new
end

--- Keeps all or nothing: those that were not there already. (waits)
local function store(app, items, one_by_one)
  local before, writer = tally.take(), nil
  local function attempt(each)
    return app.store:tx(function(tx)
      writer = tally.copy(before)
      return store_in(app, tx, items, writer, each)
    end)
  end
  local new, message, code = attempt(one_by_one)
  if not new and code == "again" then
    new, message = attempt(true)
  end
  must(new, message)
  tally.give_back(writer) -- after a failure nobody knows what is stored: the next writer is a new one
  return new
end

local function log_of(app, item)
  local outcome, args = item.outcome, item.args
  local fields = { id = item.id, model_name = args.m, model_version = args.v, points = args.n,
    processing_ms = item.view.processing_ms }
  if outcome.status == "failed" then
    fields.code = outcome.error.code
    app.log:warn("inference failed: " .. outcome.error.message, fields)
  else
    app.log:info("inference " .. outcome.status, fields)
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

--- For those who ask soon; nobody waits for it. (waits)
local function remember(app, items)
  local list = {}
  for i, item in ipairs(items) do
    list[i] = { "result:" .. item.id, item.body }
  end
  app.cache:set_many(list, CACHED)
end

--- Keeps what became of jobs: one transaction for all of them, then the cache, the event stream and the log. (waits)
--- items: { id, args, outcome }; one_by_one: some may have ended already. @return table those that had not
function M.keep(app, items, one_by_one)
  for _, item in ipairs(items) do
    item.view = M.view(app, item.id, item.args, item.outcome)
    item.body = app.json.encode(item.view)
    item.row = { item.id, item.args.m, item.outcome.status, item.outcome.finished, item.body }
  end
  local new = store(app, items, one_by_one)
  if new[1] then
    tell(app, new)
    app.spawn(remember, new)
  end
  for _, item in ipairs(new) do
    log_of(app, item)
  end
  for _, item in ipairs(items) do
    if item.args.o then
      app.objects:delete(M.input(item.args))
    end
  end
  return new
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
  local item = { id = id, args = args, outcome = outcome }
  return M.keep(app, { item }, true)[1] and item.view or false
end

local ENDS = { expired = "expired", cancelled = "cancelled", dead = "failed" }
local LATE = "it had not started at its deadline"

--- What became of a submission whose turn came, or was looked for, after its deadline.
function M.expired(now)
  return { status = "expired", finished = now, error = { code = "expired", message = LATE } }
end

--- What the queue says an end came of; nil while there is none.
local function outcome_of(app, job)
  local status, now = ENDS[job.state], app.now()
  local waits = job.state == "ready" or job.state == "delayed"
  if status == "expired" or not status and waits and job.attempt == 0 and job.args.e and job.args.e <= now then
    return M.expired(now)
  elseif status then
    return { status = status, finished = now, error = { code = job.state,
      message = job.state == "dead" and tostring(job.error) or "it was cancelled" } }
  end
end

--- Dead jobs stay longer than results: what was counted and has gone is not counted again.
local function forgotten(app, job)
  return job.state == "dead" and job.args.t < app.now() - app.config.keep_days * 86400
end

--- A submission that has no result yet, as the queue knows it: a view, or nil when it knows nothing. (waits)
function M.queued(app, id)
  local number, token = ids.parse(id)
  local job = number and must(app.jobs:get(number))
  if not job or (job.kind ~= "inference.run" and job.kind ~= "inference.backtest")
    or not job.args or job.args.k ~= token then
    return nil
  end
  local outcome = outcome_of(app, job)
  if not outcome then
    return M.view(app, id, job.args, { status = job.state == "running" and "running" or "queued" }), job
  elseif forgotten(app, job) then
    return M.view(app, id, job.args, outcome), job
  end
  return M.close(app, id, job.args, outcome) or M.view(app, id, job.args, outcome), job
end

--- Closes a submission by its job's number, when that is dead. (waits)
function M.bury(app, number)
  local job = must(app.jobs:get(number))
  if job and job.state == "dead" and job.args and job.args.k and not forgotten(app, job) then
    M.close(app, ids.of(number, job.args.k), job.args, outcome_of(app, job))
  end
end

M.load = series.load

return M
