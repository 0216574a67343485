--- How many ended and how long that took, by minute. Each transaction that stores results writes rows of its own
--- writer, with whole values: nobody waits for another, and a lost transaction loses its counts with its results.
--- A writer has a name for each minute that it remembers: no row is written again by who has forgotten what it held.
local must = require("must")

local floor, log, max, min = math.floor, math.log, math.max, math.min

local M = {}

local EACH = 8 -- classes for a doubling: a percentile is off by 4 % at most
local LEAST = 0.01 -- milliseconds; what takes less is in class 0
local MOST = 8 * 40
local FOLD_AFTER, FOLD_ROWS = 7200, 5000 -- seconds; rows of one pass

local UPSERT = [[
  insert into tallies (minute, model_name, writer, completed, failed, latency, processing, reasons, cancelled)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
  on conflict (minute, model_name, writer) do update set completed = excluded.completed,
    failed = excluded.failed, latency = excluded.latency, processing = excluded.processing,
    reasons = excluded.reasons, cancelled = excluded.cancelled]]

local names = {}
for class = 0, MOST do
  names[class] = "c" .. class
end

local function class_of(ms)
  return ms <= LEAST and 0 or min(floor(log(ms / LEAST, 2) * EACH) + 1, MOST)
end

--- The middle of a class, in milliseconds.
local function middle(class)
  return class == 0 and LEAST or LEAST * 2 ^ ((class - 0.5) / EACH)
end

local function add(classes, ms)
  local name = names[class_of(max(ms, 0))]
  classes[name] = (classes[name] or 0) + 1
end

local free = {} -- writers that no transaction uses now

--- A writer for one transaction.
--- @return table minute → { name, models, changed }
function M.take()
  return table.remove(free) or {}
end

local COUNTED = { completed = "completed", failed = "failed", expired = "failed", cancelled = "cancelled" }

local function fresh(name)
  return { model_name = name, completed = 0, failed = 0, cancelled = 0, reasons = {}, latency = {}, processing = {} }
end

--- Counts one that ended. latency: in milliseconds, of what was computed, as outcome.ms is.
function M.count(app, writer, minute, name, outcome, latency)
  local own = writer[minute]
  if not own then
    own = { name = app.crypto.random(8), models = {} }
    writer[minute] = own
  end
  own.changed = true
  local model = own.models[name]
  if not model then
    model = fresh(name)
    own.models[name] = model
  end
  local counted = COUNTED[outcome.status]
  model[counted] = model[counted] + 1
  if counted == "failed" then
    local code = outcome.error.code
    model.reasons[code] = (model.reasons[code] or 0) + 1
  end
  if outcome.ms then
    add(model.latency, latency)
    add(model.processing, outcome.ms)
  end
end

local PARTS = { "latency", "processing", "reasons" }

--- A writer counts again what a rolled back transaction counted: it starts from where it was.
function M.copy(writer)
  local out = {}
  for minute, own in pairs(writer) do
    local models = {}
    for name, model in pairs(own.models) do
      local copy = fresh(name)
      copy.completed, copy.failed, copy.cancelled = model.completed, model.failed, model.cancelled
      for _, part in ipairs(PARTS) do
        for key, n in pairs(model[part]) do
          copy[part][key] = n
        end
      end
      models[name] = copy
    end
    out[minute] = { name = own.name, models = models }
  end
  return out
end

local function write_minute(app, tx, minute, own)
  for name, model in pairs(own.models) do
    must(tx:exec(UPSERT, minute, name, own.name, model.completed, model.failed, app.json.encode(model.latency),
      app.json.encode(model.processing), app.json.encode(model.reasons), model.cancelled))
  end
end

--- Writes the rows of what was counted. (waits)
function M.write(app, tx, writer)
  for minute, own in pairs(writer) do
    if own.changed then
      write_minute(app, tx, minute, own)
    end
  end
end

--- The writer may be used again, if what it counted is stored. Its last minute is what the next ones end in.
function M.give_back(writer)
  local last = -1
  for minute in pairs(writer) do
    last = max(last, minute)
  end
  free[#free + 1] = { [last] = writer[last] }
end

local function merge(into, from)
  for name, n in pairs(from) do
    into[name] = (into[name] or 0) + n
  end
end

--- Milliseconds below which each of the shares is, or null.
local function percentiles(app, classes, shares)
  local total, out = 0, {}
  for _, n in pairs(classes) do
    total = total + n
  end
  for name in pairs(shares) do
    out[name] = app.json.null
  end
  local seen = 0
  for class = 0, MOST do
    local n = classes[names[class]]
    if n then
      for name, share in pairs(shares) do
        if seen < share * total and seen + n >= share * total then
          out[name] = floor(middle(class) * 1000 + 0.5) / 1000
        end
      end
      seen = seen + n
    end
  end
  return out
end

local THREE = { p50 = 0.5, p95 = 0.95, p99 = 0.99 }
local TWO = { p50 = 0.5, p99 = 0.99 }

--- Adds a stored row to each of the sums.
local function add_row(app, sums, row)
  local counts = {}
  for _, part in ipairs(PARTS) do
    counts[part] = app.json.decode(row[part])
  end
  for _, sum in ipairs(sums) do
    sum.completed, sum.failed = sum.completed + row.completed, sum.failed + row.failed
    sum.cancelled = sum.cancelled + row.cancelled
    for _, part in ipairs(PARTS) do
      merge(sum[part], counts[part])
    end
  end
end

--- { { code, count } }, the most frequent first.
local function ranked(app, reasons)
  local list = app.json.array({})
  for code, n in pairs(reasons) do
    list[#list + 1] = { code = code, count = n }
  end
  table.sort(list, function(a, b)
    return a.count > b.count or a.count == b.count and a.code < b.code
  end)
  return list
end

--- What ended since an instant. (waits)
--- @return table { all, models = list, minutes = minute → { completed, failed, cancelled } }
function M.since(app, from)
  local all, models, minutes, list = fresh(), {}, {}, {}
  for _, row in ipairs(must(app.store:all("select * from tallies where minute >= $1", floor(from / 60) * 60))) do
    local model = models[row.model_name]
    if not model then
      model = fresh(row.model_name)
      models[row.model_name], list[#list + 1] = model, model
    end
    local minute = minutes[row.minute] or fresh()
    minutes[row.minute] = minute
    add_row(app, { all, model, minute }, row)
  end
  table.sort(list, function(a, b) return a.model_name < b.model_name end)
  all.failed_by = ranked(app, all.reasons)
  all.latency_ms = percentiles(app, all.latency, THREE)
  all.processing_ms = percentiles(app, all.processing, THREE)
  for _, model in ipairs(list) do
    local shares = percentiles(app, model.latency, TWO)
    model.p50, model.p99 = shares.p50, shares.p99
    model.latency, model.processing, model.reasons = nil, nil, nil
  end
  return { all = all, models = list, minutes = minutes }
end

--- All that ever ended. (waits)
function M.totals(app)
  return must(app.store:one("select coalesce(sum(completed), 0) as completed, coalesce(sum(failed), 0) as failed "
    .. "from tallies"))
end

local function fold_rows(app, tx, bound)
  local rows = must(tx:all("select * from tallies where minute < $1 and writer <> '' limit $2", bound, FOLD_ROWS))
  local sums = {}
  for _, row in ipairs(rows) do
    local hour = floor(row.minute / 3600) * 3600
    local key = hour .. " " .. row.model_name
    local sum = sums[key]
    if not sum then
      sum = { minute = hour, own = { name = "", models = { [row.model_name] = fresh(row.model_name) } } }
      sums[key] = sum
      local kept = must(tx:one("select * from tallies where minute = $1 and model_name = $2 and writer = ''", hour,
        row.model_name))
      if kept then
        rows[#rows + 1] = kept
      end
    end
    add_row(app, { sum.own.models[row.model_name] }, row)
    must(tx:exec("delete from tallies where minute = $1 and model_name = $2 and writer = $3", row.minute,
      row.model_name, row.writer))
  end
  for _, sum in pairs(sums) do
    write_minute(app, tx, sum.minute, sum.own)
  end
  return #rows
end

--- Puts rows of minutes long past together. (waits)
function M.fold(app)
  local bound = floor((app.now() - FOLD_AFTER) / 3600) * 3600
  repeat
    local n = must(app.store:tx(function(tx)
      return fold_rows(app, tx, bound)
    end))
  until n < FOLD_ROWS
end

return M
