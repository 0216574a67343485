--- A back-test on the caller's own series: each model forecasts ends that are known, folds times, and is compared
--- with the naive forecasts that anything has to beat.
local average = require("average")
local ids = require("ids")
local models = require("models")
local record = require("record")
local request = require("request")
local series = require("series")
local submit = require("submit")

local abs, sqrt = math.abs, math.sqrt

local M = {}

local FIELDS = { model_names = true, data = true, horizon = true, folds = true, period = true, metadata = true }
local MOST_POINTS = 100000

local function whole(app, body, name, least, most, otherwise)
  local value = body[name]
  if value == nil or value == app.json.null then
    return otherwise
  elseif type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    request.refuse(app, name, "range", ("%s must be a whole number from %d to %d"):format(name, least, most))
  end
  return value
end

--- The models that were named, or all of them; without the average, which is always among the baselines.
local function names_of(app, wanted)
  local all, out = models.all(app), {}
  if wanted == nil or wanted == app.json.null then
    for name in pairs(all) do
      out[#out + 1] = name
    end
  elseif type(wanted) ~= "table" or (wanted[1] == nil and next(wanted) ~= nil) then
    request.refuse(app, "model_names", "type", "model_names must be an array of names")
  else
    for i, name in ipairs(wanted) do
      if not all[name] then
        request.refuse(app, "model_names", "unknown_model", "there is no such model", i - 1)
      end
      out[i] = name
    end
  end
  table.sort(out)
  local rest = app.json.array({})
  for _, name in ipairs(out) do
    if name ~= average.NAME and name ~= rest[#rest] then
      rest[#rest + 1] = name
    end
  end
  return rest
end

--- POST /api/v1/inference/backtest
function M.post(app, req)
  local body = request.read_json(app, req)
  request.fields(app, body, FIELDS, "a back-test")
  local n, wrong = series.check(app, body.data, MOST_POINTS)
  if wrong then
    request.refuse(app, "data", wrong.code, wrong.message, wrong.index)
  end
  local horizon = whole(app, body, "horizon", 1, 1000, 24)
  local folds = whole(app, body, "folds", 1, 100, 3)
  local period = whole(app, body, "period", 1, 10000, n >= 72 and 24 or 1)
  local least = math.max(period + 1, 3)
  if n < least + horizon * folds then
    request.refuse(app, "data", "too_short", ("%d folds of %d points behind %d more need %d points, got %d")
      :format(folds, horizon, least, least + horizon * folds, n), n)
  end
  local args = { m = "backtest", v = "", t = app.now(), n = n, names = names_of(app, body.model_names), h = horizon,
    folds = folds, period = period, x = request.metadata(app, body.metadata) }
  series.keep(app, args, body.data)
  return submit.backtest(app, req, { args = args })
end

local naive = {}

function naive.last_value(_, head, horizon)
  local out = {}
  for i = 1, horizon do
    out[i] = head[#head]
  end
  return out
end

function naive.seasonal_naive(_, head, horizon, period)
  local out, n = {}, #head
  for i = 1, horizon do
    out[i] = head[n - period + (i - 1) % period + 1]
  end
  return out
end

function naive.moving_average(app, head, horizon)
  return average.run(app, head, horizon, 12).forecast
end

--- Mean absolute error of the seasonal naive forecast inside the first head: what errors are divided by.
local function scale_of(head, period)
  local sum = 0
  for i = period + 1, #head do
    sum = sum + abs(head[i] - head[i - period])
  end
  return sum / (#head - period)
end

local function add_errors(sums, forecast, truth)
  for i = 1, #truth do
    local off = forecast[i] - truth[i]
    sums.n, sums.absolute, sums.squared = sums.n + 1, sums.absolute + abs(off), sums.squared + off * off
  end
end

local function line_of(app, name, sums, scale)
  if sums.n == 0 then
    return nil
  end
  local mae = sums.absolute / sums.n
  return { model = name, rmse = sqrt(sums.squared / sums.n), mae = mae,
    mase = scale > 0 and mae / scale or app.json.null }
end

local function split(data, folds, horizon)
  local heads, truths = {}, {}
  for fold = 1, folds do
    local stop = #data - (folds - fold + 1) * horizon
    local head, truth = {}, {}
    for i = 1, stop do
      head[i] = data[i]
    end
    for i = 1, horizon do
      truth[i] = data[stop + i]
    end
    heads[fold], truths[fold] = head, truth
  end
  return heads, truths
end

--- One model of a file over all folds; nil and why when it takes none of them. (waits)
local function try_model(app, name, heads, truths, horizon)
  local model = models.find(app, name)
  if not model then
    return nil, "there is no such model any more"
  elseif horizon > model.longest then
    return nil, ("it forecasts at most %d points"):format(model.longest)
  end
  local forecaster, message = models.forecaster(app, name, model.current)
  local answers
  if forecaster then
    answers, message = forecaster:forecast(heads, { horizon = horizon })
  end
  if not answers then
    return nil, message
  end
  local sums = { n = 0, absolute = 0, squared = 0 }
  for fold, answer in ipairs(answers) do
    if answer.error then
      return nil, answer.error.message
    end
    add_errors(sums, answer.forecast, truths[fold])
  end
  return sums
end

local function test(app, args, data)
  local heads, truths = split(data, args.folds, args.h)
  local scale = scale_of(heads[1], args.period)
  local out, left = {}, app.json.array({})
  for _, name in ipairs({ "last_value", "seasonal_naive", "moving_average" }) do
    local sums = { n = 0, absolute = 0, squared = 0 }
    for fold, head in ipairs(heads) do
      add_errors(sums, naive[name](app, head, args.h, args.period), truths[fold])
    end
    out[#out + 1] = line_of(app, name, sums, scale)
  end
  for _, name in ipairs(args.names) do
    local sums, message = try_model(app, name, heads, truths, args.h)
    if sums then
      out[#out + 1] = line_of(app, name, sums, scale)
    else
      left[#left + 1] = { model = name, message = message }
    end
  end
  table.sort(out, function(a, b) return a.mae < b.mae end)
  return { horizon = args.h, folds = args.folds, period = args.period, table = app.json.array(out), left_out = left }
end

--- The job.
function M.run(app, job)
  local args, started = job.args, app.now()
  local data, message = series.load(app, args, record.input(args))
  local outcome = { status = "completed", started = started }
  if data then
    outcome.result = test(app, args, data:table())
  else
    outcome.status, outcome.error = "failed", { code = "input", message = tostring(message) }
  end
  outcome.finished = app.now()
  outcome.ms = (outcome.finished - started) * 1000
  record.keep(app, { { id = ids.of(job.id, args.k), args = args, outcome = outcome } })
end

return M
