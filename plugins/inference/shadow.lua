--- A second version of a model, run beside the one that answers: how far apart they are, and, where the series is
--- long enough to keep its end back, which of them comes closer to it.
local average = require("average")
local models = require("models")
local must = require("must")

local abs = math.abs

local M = {}

local UPSERT = [[
  insert into comparisons (model_name, current, shadow, writer, series, failed, points, difference, largest, judged,
    error_current, error_shadow, ms_current, ms_shadow)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
  on conflict (model_name, current, shadow, writer) do update set series = comparisons.series + excluded.series,
    failed = comparisons.failed + excluded.failed, points = comparisons.points + excluded.points,
    difference = comparisons.difference + excluded.difference,
    largest = case when excluded.largest > comparisons.largest then excluded.largest else comparisons.largest end,
    judged = comparisons.judged + excluded.judged,
    error_current = comparisons.error_current + excluded.error_current,
    error_shadow = comparisons.error_shadow + excluded.error_shadow,
    ms_current = comparisons.ms_current + excluded.ms_current, ms_shadow = comparisons.ms_shadow + excluded.ms_shadow]]

local writer

--- A series without its end, and that end; nil when it is too short.
local function split(data, least, horizon)
  local n = #data
  if n < least + horizon then
    return nil
  end
  return data:slice(1, n - horizon), average.tail(data, horizon)
end

local function distance(a, b)
  local sum = 0
  for i = 1, #b do
    sum = sum + abs(a[i] - b[i])
  end
  return sum / #b
end

--- Forecasts of ends that are known, by both. (waits)
local function judge(sums, group, current, other, least, horizon)
  local heads, truths = {}, {}
  for _, item in ipairs(group) do
    local head, truth = split(item.data, least, horizon)
    if head then
      heads[#heads + 1], truths[#truths + 1] = head, truth
    end
  end
  if not heads[1] then
    return
  end
  local ours = must(current:forecast(heads, { horizon = horizon }))
  local theirs = must(other:forecast(heads, { horizon = horizon }))
  for i, truth in ipairs(truths) do
    if not ours[i].error and not theirs[i].error then
      sums.judged = sums.judged + 1
      sums.error_current = sums.error_current + distance(ours[i].forecast, truth)
      sums.error_shadow = sums.error_shadow + distance(theirs[i].forecast, truth)
    end
  end
end

local function differ(sums, group, answers)
  for i, item in ipairs(group) do
    local ours, theirs = item.result and item.result.forecast, answers[i]
    if not ours or theirs.error then
      sums.failed = sums.failed + 1
    else
      sums.series = sums.series + 1
      for k = 1, math.min(#ours, #theirs.forecast) do
        local off = abs(ours[k] - theirs.forecast[k])
        sums.points, sums.difference = sums.points + 1, sums.difference + off
        sums.largest = math.max(sums.largest, off)
      end
    end
  end
end

local function compare(app, group, model, ms)
  local current = must(models.forecaster(app, group.name, group.version))
  local other = must(models.forecaster(app, group.name, model.shadow))
  local list, horizon = {}, group.horizon
  for i, item in ipairs(group) do
    list[i] = item.data
  end
  local sums = { series = 0, failed = 0, points = 0, difference = 0, largest = 0, judged = 0, error_current = 0,
    error_shadow = 0 }
  local before = app.now()
  differ(sums, group, must(other:forecast(list, { horizon = horizon })))
  local ms_shadow = (app.now() - before) * 1000
  judge(sums, group, current, other, math.max(model.min_points, other:info().min_points), horizon)
  writer = writer or app.crypto.random(8)
  must(app.store:exec(UPSERT, group.name, group.version, model.shadow, writer, sums.series, sums.failed, sums.points,
    sums.difference, sums.largest, sums.judged, sums.error_current, sums.error_shadow, ms, ms_shadow))
end

--- group: what run.lua has just forecast, in ms milliseconds. A shadow that fails takes nothing from it. (waits)
function M.compare(app, group, ms)
  local model = models.find(app, group.name)
  if not model or model.shadow == "" or model.shadow == group.version then
    return
  end
  local ok, message = pcall(compare, app, group, model, ms)
  if not ok then
    app.log:warn("the shadow version could not be compared", { model_name = group.name, version = model.shadow,
      error = tostring(message) })
  end
end

--- GET /api/v1/models/{name}/comparison
function M.show(app, req)
  local model = models.find(app, req.params.name)
  if not model then
    error(app.fail(404, "not_found", "there is no such model"))
  end
  local null, list = app.json.null, {}
  local rows = must(app.store:all([[
    select current, shadow, sum(series) as series, sum(failed) as failed, sum(points) as points,
      sum(difference) as difference, max(largest) as largest, sum(judged) as judged,
      sum(error_current) as error_current, sum(error_shadow) as error_shadow, sum(ms_current) as ms_current,
      sum(ms_shadow) as ms_shadow
    from comparisons where model_name = $1 group by current, shadow order by current, shadow]], model.name))
  local function mean(sum, n)
    return n > 0 and sum / n or null
  end
  for i, row in ipairs(rows) do
    list[i] = {
      current = row.current, shadow = row.shadow, series = row.series, failed = row.failed,
      mean_difference = mean(row.difference, row.points), largest_difference = row.largest, judged = row.judged,
      mae_current = mean(row.error_current, row.judged), mae_shadow = mean(row.error_shadow, row.judged),
      ms_current = mean(row.ms_current, row.series), ms_shadow = mean(row.ms_shadow, row.series),
    }
  end
  return 200, { model_name = model.name, current = model.current, comparisons = app.json.array(list),
    shadow = model.shadow ~= "" and model.shadow or null }
end

return M
