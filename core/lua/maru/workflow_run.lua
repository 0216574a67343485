--- One step of a workflow: the job's arguments become `run`, what the handler returns becomes the move that
-- core/jobs/workflow/graph.c makes in the commit that ends the job: { set, remove, next, wait, each }. Of a step with
-- each = true it is one item's result, whatever it is.
local units = require "maru.units"
local words = require "maru.words"

local M = {}

local WAIT = "run:wait(signal, [options])"
local SLEEP = "run:sleep(duration, [options])"
local WAIT_OPTIONS = { next = true, otherwise = true, timeout = true }
local SLEEP_OPTIONS = { next = true }
local EACH = "run:each(step, items): "
local ITEMS = 10000 -- ORDER WORKFLOW_MEMBERS

-- What run:wait and run:sleep returned: only these make a run wait.
local waits = setmetatable({}, { __mode = "k" })

local function wait_for(wait)
  waits[wait] = true
  return wait
end

-- What run:each returned, and why run.state of an item is not there.
local bundles = setmetatable({}, { __mode = "k" })

local function is_each(steps, name)
  return type(steps[name]) == "table" and steps[name].each == true
end

local function check_step(steps, name, usage)
  if name ~= nil and (type(name) ~= "string" or steps[name] == nil) then
    error(usage .. "there is no step '" .. tostring(name) .. "'" .. words.suggest(name, steps), 3)
  end
end

local function seconds_of(value, usage, name)
  local seconds = units.duration(value)
  if not seconds or seconds > 1e8 then
    error(usage .. name .. ' must be seconds or a duration such as "3d", got ' .. tostring(value), 3)
  end
  return seconds
end

--- Methods of a run, which its fields (id, name, step, state, input, signal …) stand beside.
local function methods(steps, step)
  local Run = {}

  --- To be returned: the run holds no job until `signal` comes; then the step `next` (default: this one again)
  --- gets it as run.signal. After options.timeout the step options.otherwise follows.
  function Run:wait(signal, options) -- luacheck: no self
    if type(signal) ~= "string" or not string.find(signal, "^[%w_.-]+$") or #signal > 64 then
      error(WAIT .. "signal must be a name of 1 to 64 letters, digits, _ . or -, got " .. tostring(signal), 2)
    end
    options = words.options(options, WAIT_OPTIONS, WAIT, 2)
    check_step(steps, options.next, WAIT)
    check_step(steps, options.otherwise, WAIT)
    local seconds = options.timeout ~= nil and seconds_of(options.timeout, WAIT, "timeout") or nil
    if options.otherwise ~= nil and not seconds then
      error(WAIT .. "otherwise needs a timeout", 2)
    end
    return wait_for({ signal = signal, next = options.next or step, otherwise = options.otherwise,
      timeout = seconds })
  end

  --- To be returned: the step `next` (default: this one again) follows after that time; nothing is held meanwhile.
  function Run:sleep(duration, options) -- luacheck: no self
    local seconds = seconds_of(duration, SLEEP, "duration")
    options = words.options(options, SLEEP_OPTIONS, SLEEP, 2)
    check_step(steps, options.next, SLEEP)
    return wait_for({ next = options.next or step, otherwise = options.next or step, timeout = seconds })
  end

  --- To be returned: the step, which says each = true, runs once for each item; what it returns is the item's result.
  -- When all have ended the one that its `next` names follows, and has them in order as run.results[name].
  function Run:each(name, items) -- luacheck: no self
    check_step(steps, name, EACH)
    if not is_each(steps, name) then
      error(EACH .. "the step '" .. tostring(name) .. "' does not say each = true", 2)
    elseif type(items) ~= "table" or (next(items) ~= nil and #items == 0) then
      error(EACH .. "items must be a list, got " .. type(items), 2)
    elseif #items > ITEMS then
      error(EACH .. "at most " .. ITEMS .. " items, got " .. #items, 2)
    end
    local bundle = { step = name, items = {} }
    for i = 1, #items do
      if items[i] == nil then
        error(EACH .. "items must be a list without holes, item " .. i .. " is nil", 2)
      end
      bundle.items[i] = items[i]
    end
    bundles[bundle] = true
    return bundle
  end

  return { __index = Run, __metatable = "locked" }
end

--- Of one item: it has no state, since each of ten thousand would carry it, and nothing that it could wait for.
local ITEM = { __metatable = "locked", __index = function(_, key)
  if key == "state" or key == "wait" or key == "sleep" or key == "each" then
    error("a step with each = true has no run" .. (key == "state" and "." or ":") .. key
      .. ": it returns its item's result", 2)
  end
end }

local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  local out = {}
  for key, item in next, value do
    out[key] = copy(item)
  end
  return out
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, item in next, a do
    if not same(item, b[key]) then
      return false
    end
  end
  for key in next, b do
    if a[key] == nil then
      return false
    end
  end
  return true
end

--- The members of the state that the handler changed, so that branches side by side keep each other's.
local function changes(before, state, app)
  local set, remove = {}, {}
  if type(state) ~= "table" then
    error(app.discard("run.state must be a table, it is " .. type(state)), 0)
  end
  for key, value in next, state do
    if type(key) ~= "string" then
      error(app.discard("the keys of run.state must be texts, one is a " .. type(key)), 0)
    elseif not same(value, before[key]) then
      set[key] = value
    end
  end
  for key in next, before do
    if state[key] == nil then
      remove[#remove + 1] = key
    end
  end
  return next(set) ~= nil and set or nil, #remove > 0 and remove or nil
end

--- Whether the declaration of this step lets it lead there; raises what no retry would mend.
local function check_way(app, steps, step, name)
  local t = steps[step]
  local declared = type(t) == "table" and t.next or nil
  if type(name) ~= "string" or steps[name] == nil then
    error(app.discard("step '" .. step .. "' returned '" .. tostring(name) .. "', which is no step"
      .. words.suggest(name, steps)), 0)
  elseif is_each(steps, name) then
    error(app.discard("step '" .. step .. "' leads to '" .. name .. "', which needs run:each(\"" .. name
      .. "\", items)"), 0)
  end
  if declared then
    for _, allowed in ipairs(declared) do
      if allowed == name then
        return
      end
    end
    error(app.discard("step '" .. step .. "' leads to '" .. name .. "', which its next does not name"), 0)
  end
end

local function ways_of(app, steps, step, result)
  if result == nil then
    return nil
  elseif type(result) == "string" then
    result = { result }
  elseif type(result) ~= "table" then
    error(app.discard("step '" .. step .. "' must return a step's name, a list of names, run:wait(…) or nothing, got "
      .. type(result)), 0)
  end
  local seen = {}
  for _, name in ipairs(result) do
    check_way(app, steps, step, name)
    if seen[name] then
      error(app.discard("step '" .. step .. "' leads to '" .. name .. "' twice"), 0)
    end
    seen[name] = true
  end
  if #result == 0 and next(result) ~= nil then
    error(app.discard("step '" .. step .. "' must return a list of steps' names"), 0)
  end
  return #result > 0 and result or nil
end

local function wait_of(app, steps, step, wait)
  if wait.next ~= step then
    check_way(app, steps, step, wait.next)
  end
  if wait.otherwise and wait.otherwise ~= step then
    check_way(app, steps, step, wait.otherwise)
  end
  return { signal = wait.signal, next = wait.next, otherwise = wait.otherwise, timeout = wait.timeout }
end

local function each_of(app, steps, step, bundle)
  local t = steps[step]
  local ways, leads = type(t) == "table" and t.next or nil, false
  for _, name in ipairs(ways or {}) do
    leads = leads or name == bundle.step
  end
  if ways and not leads then
    error(app.discard("step '" .. step .. "' leads to '" .. bundle.step .. "', which its next does not name"), 0)
  end
  return { step = bundle.step, items = app.json.array(bundle.items) }
end

--- What all items came to, of the bundles before this step: lists by the names of their steps.
local function add_results(run, previous)
  if type(previous) ~= "table" then
    return
  end
  run.results, run.errors = {}, {}
  for name, bundle in pairs(previous) do
    run.results[name] = bundle.results
    run.errors[name] = bundle.failed > 0 and bundle.errors or nil
  end
end

local function run_of(job, metatable)
  local args = job.args
  if type(args) ~= "table" or type(args.run) ~= "number" then
    error("a workflow's step is started by its workflow (app.workflows:start), not pushed", 0)
  end
  local run = { id = args.run, name = args.workflow, step = args.step, version = args.version, n = args.n,
    from = args.from, input = args.input, state = args.state, signal = args.signal, timed_out = args.timed_out,
    error = args.error, job = job.id, attempt = job.attempt, max_attempts = job.max_attempts,
    item = args.item, index = args.index, total = args.total }
  add_results(run, job.previous)
  return setmetatable(run, metatable)
end

--- The job's declaration for a step: its options with a handler around the plugin's.
function M.declare(workflow, step)
  local steps, t = workflow.steps, workflow.steps[step]
  local fn = t
  local out = {}
  if type(t) == "table" then
    fn = t[1]
    for key, value in pairs(t) do
      if key ~= "next" and key ~= "join" and key ~= "on_error" and key ~= "each" then
        out[key] = value
      end
    end
  end
  if type(fn) ~= "function" then
    return out -- contract_work.lua says what is missing
  end
  local metatable = methods(steps, step)

  local function ended(app, run, before, result, message)
    if result == nil and type(message) == "string" then
      return nil, message
    end
    local move = {}
    move.set, move.remove = changes(before, run.state, app)
    if bundles[result] then
      move.each = each_of(app, steps, step, result)
    elseif waits[result] then
      move.wait = wait_of(app, steps, step, result)
    else
      move.next = ways_of(app, steps, step, result)
    end
    return next(move) ~= nil and move or nil
  end

  if is_each(steps, step) then
    out[1] = function(app, job)
      return fn(app, run_of(job, ITEM))
    end
    return out
  end
  out[1] = function(app, job)
    local run = run_of(job, metatable)
    return ended(app, run, copy(run.state), fn(app, run))
  end
  return out
end

return M
