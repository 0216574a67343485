--- The job: takes what waits, asks each model once for all of its series, and keeps all results together.
local average = require("average")
local ids = require("ids")
local models = require("models")
local record = require("record")
local series = require("series")
local shadow = require("shadow")

local M = {}

local HISTORY = 48
local LARGEST = 1e38

local function failed(code, message)
  return { error = { code = code, message = message } }
end

--- Rounds floats; nil when one of them is too large to be shown.
local function shown(list, decimals)
  local least, greatest = list:range()
  return least >= -LARGEST and greatest <= LARGEST and list:round(decimals) or nil
end

--- What a forecaster answered, as the client is shown it.
local function result_of(app, item, answer, quantiles)
  if answer.error then
    return failed(answer.error.code or "invalid", answer.error.message or "the model does not take this series")
  end
  local history = average.tail(item.data, HISTORY)
  local decimals = series.decimals(history)
  local bands, forecast = app.json.array({}), shown(answer.forecast, decimals)
  local fine = forecast
  for i, band in ipairs(answer.quantiles or {}) do
    bands[i] = shown(band, decimals)
    fine = fine and bands[i]
  end
  if not fine then
    return failed("overflow", "the forecast is larger than the numbers that the model computes with")
  end
  return { result = { horizon = #forecast, quantiles = quantiles, forecast = forecast, bands = bands,
    history = history } }
end

--- Items of one version and one horizon, forecast together. (waits)
local function forecast(app, group)
  local forecaster, message = models.forecaster(app, group.name, group.version)
  local list = {}
  for i, item in ipairs(group) do
    list[i] = item.data
  end
  local answers
  if forecaster then
    answers, message = forecaster:forecast(list, { horizon = group.horizon, floats = true })
  end
  local quantiles = forecaster and forecaster:info().quantiles
  for i, item in ipairs(group) do
    item.answer = answers and answers[i]
    local out = answers and result_of(app, item, answers[i], quantiles)
      or failed("model", ("%s %s: %s"):format(group.name, group.version, tostring(message)))
    item.result, item.error = out.result, out.error
  end
end

--- One that fails takes no others with it.
local function smooth(app, item)
  local args = item.args
  local ok, result = pcall(average.run, app, item.data, args.h, args.w or average.WINDOW)
  if ok then
    item.result = result
  else
    item.error = { code = "error", message = tostring(result) }
  end
end

--- Loads the points of an item; it has failed when they are gone. (waits, for long series)
local function load(app, item)
  local data, message = series.load(app, item.args, record.input(item.args))
  if not data then
    item.error = { code = "input", message = "its points cannot be read: " .. tostring(message) }
  end
  item.data = data
end

local function group_all(items)
  local groups, list = {}, {}
  for _, item in ipairs(items) do
    local args = item.args
    if not item.error and args.m ~= average.NAME then
      local key = ("%s@%s %s"):format(args.m, args.v, tostring(args.h))
      if not groups[key] then
        groups[key] = { name = args.m, version = args.v, horizon = args.h }
        list[#list + 1] = groups[key]
      end
      table.insert(groups[key], item)
    end
  end
  return list
end

local function compute(app, items)
  for _, item in ipairs(items) do
    load(app, item)
  end
  for _, item in ipairs(items) do
    if not item.error and item.args.m == average.NAME then
      smooth(app, item)
    end
  end
  for _, group in ipairs(group_all(items)) do
    local before = app.now()
    forecast(app, group)
    shadow.compare(app, group, (app.now() - before) * 1000)
  end
end

--- Jobs of any models, together. Those whose deadline came before their turn are over.
function M.many(app, jobs)
  local items, due, started = {}, {}, app.now()
  for i, job in ipairs(jobs) do
    local item = { id = ids.of(job.id, job.args.k), args = job.args }
    items[i] = item
    if job.args.e and job.args.e <= started and job.attempt == 1 then
      item.outcome = record.expired(started)
    else
      due[#due + 1] = item
    end
  end
  compute(app, due)
  local finished = app.now()
  for _, item in ipairs(due) do
    item.outcome = { status = item.error and "failed" or "completed", started = started, finished = finished,
      ms = (finished - started) * 1000 / #due, result = item.result, error = item.error }
  end
  record.keep(app, items)
end

return M
