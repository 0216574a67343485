--- app.jobs: durable jobs, over bind/jobs_lua.c; tx.jobs is the same inside store:tx.
local job_kind = require "maru.job_kind"
local words = require "maru.words"

local PUSH = "app.jobs:push(name, [args], [options])"
local MANY = "app.jobs:push_many(name, list, [options])"

-- What a plugin sees of another's job.
local OPEN = { id = true, kind = true, queue = true, priority = true, state = true, attempt = true, max_attempts = true,
  created_at = true, run_at = true, started_at = true, finished_at = true }

return function(raw, info)
  local json = info.raw.json

  local function kind_of(name, usage)
    if type(name) ~= "string" then
      error(usage .. ": name must be a string, got " .. type(name), 4)
    end
    return job_kind(info, name, usage) -- a tail call: its errors stand where these do
  end

  local function checked(args, usage)
    if args ~= nil and type(args) ~= "table" then
      error(usage .. ": args must be a table, got " .. type(args), 4)
    end
    return args or "{}"
  end

  local function encoded(args, usage)
    args = checked(args, usage)
    return args == "{}" and args or json.encode(args)
  end

  local function first(ids, message, code)
    if not ids then
      return nil, message, code
    end
    return ids[1]
  end

  --- Raises for a list of which a part would be passed over.
  local function whole(list, usage)
    local beyond = words.beyond(list)
    if beyond ~= nil then
      error(("%s: list must be an array without holes, but has an item at %s"):format(usage, tostring(beyond)), 3)
    end
  end

  --- send(kind, texts, options) is raw.push, or raw.push_tx of one transaction.
  local function make(send)
    local jobs = {}

    --- Pushes one job; the id, or nil, message, code ("duplicate" when its unique key is taken). (waits)
    function jobs:push(name, args, options) -- luacheck: no self
      return first(send(kind_of(name, PUSH), { checked(args, PUSH) }, options))
    end

    --- Pushes a job for each of list's tables, all or none; their ids. (waits)
    function jobs:push_many(name, list, options) -- luacheck: no self
      if type(list) ~= "table" then
        error(MANY .. ": list must be an array of tables, got " .. type(list), 2)
      end
      whole(list, MANY)
      local texts = {}
      for index, args in ipairs(list) do
        texts[index] = encoded(args, MANY)
      end
      return send(kind_of(name, MANY), texts, options)
    end

    return jobs
  end

  info.in_tx = info.in_tx or {}
  info.in_tx.jobs = function(handle)
    return make(function(...)
      return raw.push_tx(handle, ...)
    end)
  end

  local jobs = make(raw.push)
  local BATCH = "app.jobs:batch(list, [options])"
  local BATCH_OPTIONS = { done = true, description = true }

  --- list[i] = { name, args, options } as the three arguments of push, in lists of their own.
  local function members(list)
    local kinds, texts, options = {}, {}, {}
    for index, item in ipairs(list) do
      if type(item) ~= "table" then
        error(BATCH .. ": list[" .. index .. "] must be { name, args, options }, got " .. type(item), 3)
      elseif item[3] ~= nil and type(item[3]) ~= "table" then
        error(BATCH .. ": options of list[" .. index .. "] must be a table, got " .. type(item[3]), 3)
      end
      kinds[index] = kind_of(item[1], BATCH)
      texts[index] = encoded(item[2], BATCH)
      options[index] = item[3] or false
    end
    return kinds, texts, options
  end

  --- The job that follows, { name, args }, as kind and text.
  local function last(done)
    if done == nil then
      return nil
    elseif type(done) ~= "table" or type(done[1]) ~= "string" then
      error(BATCH .. ": options.done must be { name, args }", 3)
    elseif type(done[2]) == "table" and done[2].batch ~= nil then
      error(BATCH .. ": args.batch of options.done is what the batch says itself", 3)
    end
    local kind, text = kind_of(done[1], BATCH), encoded(done[2], BATCH)
    if text:sub(1, 1) == "[" then
      error(BATCH .. ": args of options.done must have names: the batch adds one of its own", 3)
    end
    return kind, text
  end

  --- Pushes jobs that are counted together, all or none, and `done` when all have ended; the id. (waits)
  function jobs:batch(list, options) -- luacheck: no self
    if type(list) ~= "table" or #list == 0 then
      error(BATCH .. ": list must be an array of { name, args, options }, not empty", 2)
    end
    whole(list, BATCH)
    options = words.options(options, BATCH_OPTIONS, BATCH, 2)
    local kinds, texts, each = members(list)
    local done_kind, done_text = last(options.done)
    return raw.batch(kinds, texts, each, done_kind, done_text, options.description)
  end

  --- { id, total, succeeded, failed, pending, created_at, finished_at, done_job, description }, or false. (waits)
  function jobs:batch_get(id) -- luacheck: no self
    local text, message, code = raw.batch_get(id)
    if not text then
      return nil, message, code
    end
    return text ~= "" and json.decode(text)
  end

  local UNFINISHED = "app.jobs:unfinished(name)"

  --- How many jobs of this plugin's have not ended, as far as this process knows.
  function jobs:unfinished(name) -- luacheck: no self
    if type(name) ~= "string" or name:find(".", 1, true) then
      error(UNFINISHED .. ": name must be that of a job of this plugin", 2)
    end
    return raw.unfinished(kind_of(name, UNFINISHED))
  end

  local DEAD = "app.jobs:dead(name, [after])"

  --- Ids of jobs of this plugin's that are dead, rising, at most 10000 above `after`. (waits)
  function jobs:dead(name, after) -- luacheck: no self
    if type(name) ~= "string" or name:find(".", 1, true) then
      error(DEAD .. ": name must be that of a job of this plugin", 2)
    end
    return raw.dead(kind_of(name, DEAD), after)
  end

  --- In a job's handler: how far it is, 0 to 1, and what it does, for those who look. id: of a batch's jobs that one.
  function jobs:progress(fraction, message, id) -- luacheck: no self
    return raw.progress(fraction, message, id)
  end

  local PYTHON = "app.jobs:push_celery(task, [args], [kwargs], [options])"
  -- bind/celery_lua.c reads them; max_retries is told apart there
  local PYTHON_OPTIONS = { queue = true, countdown = true, eta = true, expires = true, priority = true, retries = true,
    time_limit = true, soft_time_limit = true, max_retries = true }

  --- Positional and named arguments as one: "*args" stands for the positional ones.
  local function both(args, kwargs)
    local out = {}
    for key, value in pairs(kwargs or {}) do
      if type(key) ~= "string" then
        error(PYTHON .. ": kwargs has named fields only", 4)
      end
      out[key] = value
    end
    if args ~= nil and (type(args) ~= "table" or (next(args) ~= nil and #args == 0)) then
      error(PYTHON .. ": args must be an array", 4)
    elseif args and #args > 0 then
      out["*args"] = args
    end
    return out
  end

  local function python_options(options)
    local out = {}
    for key, value in pairs(words.options(options, PYTHON_OPTIONS, PYTHON, 4)) do
      out[key] = value
    end
    out.celery = true
    return out
  end

  --- Calls a task of a Python worker; its id, for get and for Python. (waits)
  function jobs:push_celery(task, args, kwargs, options) -- luacheck: no self
    if type(task) ~= "string" or not task:find("^[^%s%c]+$") then
      error(PYTHON .. ": task must be the name of a task", 2)
    elseif kwargs ~= nil and type(kwargs) ~= "table" then
      error(PYTHON .. ": kwargs must be a table, got " .. type(kwargs), 2)
    elseif not raw.celery_id(1) then
      return nil, 'push_celery needs jobs.driver = "redis"', "invalid"
    end
    local id, message, code = first(raw.push(task, { encoded(both(args, kwargs), PYTHON) }, python_options(options)))
    if not id then
      return nil, message, code
    end
    return raw.celery_id(id)
  end

  local function is_own(job)
    return job.kind:sub(1, #info.name + 1) == info.name .. "."
  end

  --- Of another plugin's job how it stands, never what is in it. A Python task is nobody's.
  local function shown(job)
    if is_own(job) or job.python then
      return job
    end
    local out = {}
    for key in pairs(OPEN) do
      out[key] = job[key]
    end
    return out
  end

  --- { id, kind, state, attempt, result, error, … }, or false. (waits)
  function jobs:get(id) -- luacheck: no self
    if type(id) == "string" then
      id = raw.celery_number(id)
      if not id then
        return false
      end
    end
    local text, message, code = raw.get(id)
    if not text then
      return nil, message, code
    end
    return text ~= "" and shown(json.decode(text))
  end

  --- This plugin's own jobs only.
  local function change(verb, id)
    if type(id) ~= "number" and type(id) ~= "string" then
      error("app.jobs:" .. verb .. "(id): id must be a job's number, got " .. type(id), 3)
    end
    local job, message, code = jobs:get(id)
    if job == nil then
      return nil, message, code
    elseif not job then
      return nil, "there is no job " .. tostring(id), "not_found"
    elseif not is_own(job) then
      return nil, "job " .. id .. " is not one of this plugin", "forbidden"
    end
    return raw[verb](id)
  end

  --- An unfinished job: gone for good, or asked to end when it runs. (waits)
  function jobs:cancel(id) -- luacheck: no self
    return change("cancel", id)
  end

  --- A dead job runs again with all its attempts, a delayed one now. (waits)
  function jobs:retry(id) -- luacheck: no self
    return change("retry", id)
  end

  --- What push_celery gave out as the numbers of their jobs; one that is none of these is waited for no longer.
  local function numbers(list)
    local out = {}
    for _, id in ipairs(list) do
      local number = id
      if type(id) == "string" then
        number = raw.celery_number(id)
      end
      out[#out + 1] = number
    end
    return out
  end

  --- A job, or a list of them, when all have ended; nil, message, "timeout" before. (waits)
  function jobs:wait(ids, timeout)
    if ids == nil then
      error("app.jobs:wait(id or ids, [timeout]): an id must be a job's number, got nil", 2)
    end
    local single = type(ids) ~= "table"
    local list = single and { ids } or ids
    whole(list, "app.jobs:wait(id or ids, [timeout])")
    local ok, message, code = raw.wait(numbers(list), timeout)
    if not ok then
      return nil, message, code
    end
    local out = {}
    for index, id in ipairs(list) do
      out[index], message, code = self:get(id)
      if out[index] == nil then
        return nil, message, code
      end
    end
    return single and out[1] or not single and out
  end

  return jobs
end
