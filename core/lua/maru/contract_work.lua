--- The part of the contract about work: jobs, cron, topics.
local queues = require "maru.contract_queues"
local units = require "maru.units"
local words = require "maru.words"

local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match, string.sub
local refuse, under = words.refuse, words.under

local M = {}

local JOB = { queue = true, priority = true, retries = true, backoff = true, timeout = true,
  concurrency = true, rate = true, key = true, key_concurrency = true, key_rate = true, expires = true,
  hard_timeout = true, result_ttl = true, celery = true, export = true, batch = true, wait = true, [1] = true }
local BATCH_MOST, WAIT_SECONDS = 1024, 60
local BACKOFF = { first = true, factor = true, max = true, jitter = true }
local CRON = { job = true, tz = true, id = true, args = true, enabled = true, jitter = true, missed = true,
  missed_max = true, overlap = true, deadline = true, [1] = true }
local HARD_TIMEOUT_SECONDS = 10 -- after the timeout
local PRIORITY = { high = 0, normal = 1, low = 2 }
local MISSED = { latest = 0, skip = 1, all = 2 }
local OVERLAP = { skip = 0, allow = 1, queue = 2, cancel = 3 }
local NICKNAMES = { ["@hourly"] = true, ["@daily"] = true, ["@midnight"] = true, ["@weekly"] = true,
  ["@monthly"] = true, ["@yearly"] = true, ["@annually"] = true }

local function typed(keys, t, key, kind, otherwise)
  local value = t[key]
  if value == nil then
    return otherwise
  elseif type(value) ~= kind then
    refuse(under(keys, key), "must be a %s, got %s", kind, type(value))
  end
  return value
end

local function whole(keys, t, key, least, most, otherwise)
  local value = typed(keys, t, key, "number", otherwise)
  if value % 1 ~= 0 or value < least or value > most then
    refuse(under(keys, key), "must be a whole number from %d to %d, got %s", least, most,
      tostring(value))
  end
  return value
end

local function duration(keys, t, key, otherwise)
  if t[key] == nil then
    return otherwise
  end
  local seconds = units.duration(t[key])
  if not seconds then
    refuse(under(keys, key), 'must be a duration such as "30s", got %s', tostring(t[key]))
  end
  return seconds
end

--- One that is longer than nothing: 0 is no word for "none".
local function span(keys, t, key, otherwise)
  local seconds = duration(keys, t, key, otherwise)
  if t[key] ~= nil and seconds == 0 then
    refuse(under(keys, key), "must be longer than 0; without it there is %s",
      key == "expires" and "none" or "a default")
  end
  return seconds
end

local function share(keys, t, key, least, most, otherwise)
  local value = typed(keys, t, key, "number", otherwise)
  if value < least or value > most then
    refuse(under(keys, key), "must be a number from %s to %s, got %s", least, most, tostring(value))
  end
  return value
end

--- The first delay, or a table of how delays grow.
local function backoff(keys, t, out)
  local inner, given = under(keys, "backoff"), t.backoff
  if type(given) ~= "table" then
    given = { first = duration(keys, t, "backoff", 2) }
  end
  words.only(inner, given, BACKOFF, "back-off option")
  out.backoff = duration(inner, given, "first", 2)
  out.backoff_max = duration(inner, given, "max", 6 * 3600)
  out.backoff_factor = share(inner, given, "factor", 1, 100, 2)
  out.backoff_jitter = share(inner, given, "jitter", 0, 1, 0.2)
  if out.backoff_max < out.backoff then
    refuse(under(inner, "max"), "must be at least the first delay")
  end
  return out
end

--- What bounds the job: how many run and start, for whom, and how long it may wait and run.
local function bounds(keys, t, out)
  queues.bounds(keys, t, out)
  out.key = typed(keys, t, "key", "string", nil)
  if out.key and (out.key == "" or #out.key > 100) then
    refuse(under(keys, "key"), "is the name of a field of args, 1 to 100 bytes")
  end
  out.expires = span(keys, t, "expires", 0)
  out.hard_timeout = duration(keys, t, "hard_timeout", out.timeout + HARD_TIMEOUT_SECONDS)
  if out.hard_timeout < out.timeout then
    refuse(under(keys, "hard_timeout"), "must be at least the timeout, %g seconds", out.timeout)
  end
end

--- How many jobs its handler takes at once, and how long the first of them waits for others.
local function together(keys, t, out)
  out.batch = t.batch ~= nil and whole(keys, t, "batch", 2, BATCH_MOST) or 0
  out.batch_wait = duration(keys, t, "wait", 0)
  if out.batch == 0 and t.wait ~= nil then
    refuse(under(keys, "wait"), "is for jobs that say batch")
  elseif out.batch_wait > WAIT_SECONDS then
    refuse(under(keys, "wait"), "must be at most %d seconds", WAIT_SECONDS)
  elseif out.concurrency > 0 and out.batch > out.concurrency then
    refuse(under(keys, "batch"), "must be at most the concurrency, which counts jobs, %d", out.concurrency)
  end
end

--- A job with a handler of its own; options come from `t`, the function stands at t[1].
local function job(keys, kind, name, t, context)
  if type(t) == "function" then
    t = { t }
  elseif type(t) ~= "table" then
    refuse(keys, "must be a function or a table, got %s", type(t))
  end
  if type(t[1]) ~= "function" then
    refuse(keys, "needs a function(app, job), got %s", type(t[1]))
  end
  local priority = typed(keys, t, "priority", "string", "normal")
  if not PRIORITY[priority] then
    refuse(under(keys, "priority"), 'must be "high", "normal" or "low", got "%s"', priority)
  end
  local queue = typed(keys, t, "queue", "string", "default")
  queues.check_name(under(keys, "queue"), queue)
  local celery = typed(keys, t, "celery", "string", nil)
  if celery and (celery == "" or #celery > 120 or find(celery, "[%c%s]")) then
    refuse(under(keys, "celery"), "a task's name is 1 to 120 bytes without spaces")
  end
  local out = backoff(keys, t, {
    kind = kind, queue = queue, celery = celery, export = typed(keys, t, "export", "boolean", false),
    priority = PRIORITY[priority],
    retries = whole(keys, t, "retries", 0, 1000, 3),
    timeout = span(keys, t, "timeout", context.task_seconds),
    result_ttl = span(keys, t, "result_ttl", 0),
  })
  bounds(keys, t, out)
  together(keys, t, out)
  context.handler(out, "handler", name, t[1])
  return out
end

-- For contract_workflow.lua: a step is a job with more options.
M.JOB, M.job = JOB, job

function M.jobs(jobs, context)
  local out = {}
  for _, name in ipairs(context.keys_of({ "jobs" }, jobs)) do
    local keys = { "jobs", name }
    if not find(name, "^[a-z][a-z0-9_]*$") then
      refuse(keys, "a job's name is [a-z][a-z0-9_]*")
    elseif type(jobs[name]) == "table" then
      words.only(keys, jobs[name], JOB, "job option")
    end
    out[#out + 1] = job(keys, context.name .. "." .. name, "job:" .. name, jobs[name], context)
  end
  return out
end

--- Five or six fields, "@every 30s" or a nickname; ranges are checked when the schedule is made.
local function check_pattern(keys, pattern)
  if NICKNAMES[pattern] then
    return
  end
  local every = match(pattern, "^@every (.+)$")
  if every then
    local seconds = units.duration(every)
    if not seconds or seconds <= 0 then
      refuse(keys, "'@every %s' needs a duration such as '@every 30s'", every)
    end
    return
  end
  local _, count = gsub(pattern, "[^%s]+", "")
  if (count ~= 5 and count ~= 6) or find(pattern, "[^%w%s*/,%-#?]") then
    refuse(keys, "'%s' is not a schedule: five fields (minute hour day month weekday), six with the second "
      .. "in front, \"@every 30s\", \"@hourly\", \"@daily\" or \"config:KEY\"", pattern)
  end
end

local function resolve_pattern(keys, key, context)
  local name = match(key, "^config:(.*)$")
  if not name then
    return key
  end
  local value = context.config[name]
  if type(value) ~= "string" then
    refuse(keys, "config.%s must be text with a schedule, it is %s", name, type(value))
  end
  return value
end

local function check_cron(keys, entry, context)
  if type(entry) ~= "table" then
    refuse(keys, "must be a function or a table, got %s", type(entry))
  end
  words.only(keys, entry, CRON, "cron option")
  if (entry.job == nil) == (entry[1] == nil) then
    refuse(keys, "needs either a function or job = \"name\"")
  elseif entry.job ~= nil and not (context.plugin.jobs and context.plugin.jobs[entry.job]) then
    refuse(under(keys, "job"), "there is no job '%s' in M.jobs%s", tostring(entry.job),
      words.suggest(entry.job, context.plugin.jobs or {}))
  elseif entry.args ~= nil and type(entry.args) ~= "table" then
    refuse(under(keys, "args"), "must be a table, got %s", type(entry.args))
  end
end

--- One of the words, as its number.
local function word(keys, t, key, words_of, otherwise, text)
  local value = words_of[typed(keys, t, key, "string", otherwise)]
  if not value then
    refuse(under(keys, key), 'must be %s, got "%s"', text, t[key])
  end
  return value
end

local function whole_seconds(keys, t, key)
  local seconds = duration(keys, t, key, 0)
  if t[key] ~= nil and (seconds < 1 or seconds % 1 ~= 0 or seconds > 31 * 86400) then
    refuse(under(keys, key), "must be whole seconds from 1s to 31d, got %s", tostring(t[key]))
  end
  return seconds
end

--- What becomes of fires that come late, overlap or were missed.
local function policy(keys, entry, out)
  out.jitter = whole_seconds(keys, entry, "jitter")
  out.deadline = whole_seconds(keys, entry, "deadline")
  out.missed = word(keys, entry, "missed", MISSED, "latest", '"latest", "skip" or "all"')
  out.missed_max = whole(keys, entry, "missed_max", 1, 1000, 100)
  out.overlap = word(keys, entry, "overlap", OVERLAP, "skip", '"skip", "allow", "queue" or "cancel"')
  if entry.missed_max and entry.missed ~= "all" then
    refuse(under(keys, "missed_max"), 'goes with missed = "all"')
  elseif entry.deadline and out.jitter >= out.deadline then
    refuse(under(keys, "deadline"), "must be longer than the jitter")
  end
  return out
end

local function schedule(keys, key, entry, context, jobs)
  if type(entry) == "function" then
    entry = { entry }
  end
  check_cron(keys, entry, context)
  local id = typed(keys, entry, "id", "string", key)
  if id == "" or #id > 200 then
    refuse(under(keys, "id"), "must be 1 to 200 bytes")
  end
  local out = policy(keys, entry, {
    id = id, pattern = resolve_pattern(keys, key, context),
    tz = typed(keys, entry, "tz", "string", nil),
    enabled = typed(keys, entry, "enabled", "boolean", true),
    args_json = entry.args and context.encode(entry.args) or nil,
    kind = context.name .. "." .. (entry.job or "cron:" .. id),
  })
  check_pattern(keys, out.pattern)
  if not entry.job then
    jobs[#jobs + 1] = job(keys, out.kind, "cron:" .. id, entry[1], context)
  end
  return out
end

--- Functions given in place become jobs "plugin.cron:<id>", appended to `jobs`.
function M.cron(cron, context, jobs)
  local out, seen = {}, {}
  for _, key in ipairs(context.keys_of({ "cron" }, cron)) do
    local keys = { "cron", key }
    local entry = schedule(keys, key, cron[key], context, jobs)
    if seen[entry.id] then
      refuse(keys, "the id '%s' is also that of cron[%s]", entry.id, format("%q", seen[entry.id]))
    end
    seen[entry.id] = key
    out[#out + 1] = entry
  end
  return out
end

local TOPIC_BYTES = 95 -- with ".dead" behind it, it is still one

--- What M.on[topic] may say beside its handler: an event is a job.
local ON = { queue = true, priority = true, retries = true, backoff = true, timeout = true, concurrency = true,
  rate = true, key_concurrency = true, key_rate = true, expires = true, hard_timeout = true, from = true, [1] = true }

--- The job's arguments are the event; what a run has of its own comes beside it.
local function handler_of(fn)
  return function(app, run)
    local event = run.args
    event.id, event.attempt, event.max_attempts, event.queue = run.id, run.attempt, run.max_attempts, run.queue
    return fn(app, event)
  end
end

local function check_topic(keys, topic, kind)
  if not find(topic, "^[%w_-][%w_.-]*$") or #topic > TOPIC_BYTES then
    refuse(keys, "a topic is 1 to %d letters, digits, _ . or -", TOPIC_BYTES)
  elseif #kind > 128 then
    refuse(keys, "the names of plugin and topic together have at most 124 bytes")
  end
end

--- One of M.on, as a table.
local function listener(keys, given)
  local t = {}
  if type(given) == "function" then
    given = { given }
  elseif type(given) ~= "table" or type(given[1]) ~= "function" then
    refuse(keys, "must be a function(app, event), or a table with one, got %s", type(given))
  end
  words.only(keys, given, ON, "option of M.on")
  if given.from ~= nil and given.from ~= "beginning" and given.from ~= "end" then
    refuse(under(keys, "from"), 'must be "end" or "beginning", got %s', tostring(given.from))
  end
  for key, value in pairs(given) do
    t[key] = value
  end
  t[1], t.from = handler_of(given[1]), nil
  t.key = "key"
  t.key_concurrency = given.key_concurrency or 1
  return t, given.from == "beginning"
end

--- M.on with the topics that "config:KEY" names in its place, each once.
local function each_topic(topics, context)
  local out = {}
  for _, topic in ipairs(context.keys_of({ "on" }, topics)) do
    local name = match(topic, "^config:(.*)$")
    local named = name and context.config[name]
    if name and (context.plugin.config or {})[name] == nil then
      refuse({ "on", topic }, "M.config has no '%s'%s", name, words.suggest(name, context.plugin.config or {}))
    elseif name and type(named) ~= "table" then
      refuse({ "on", topic }, "config.%s must be an array of topics", name)
    end
    for _, one in ipairs(named or { topic }) do
      if out[one] then
        refuse({ "on", topic }, "%s is heard already", tostring(one))
      end
      out[one] = topics[topic]
    end
  end
  return out
end

--- Handlers of topics become jobs "plugin.on:<topic>", appended to `jobs`. Also returns the topics of others.
function M.on(declared, context, jobs)
  local out, others = {}, {}
  local topics = each_topic(declared, context)
  for _, topic in ipairs(context.keys_of({ "on" }, topics)) do
    local keys, kind = { "on", topic }, context.name .. ".on:" .. topic
    check_topic(keys, topic, kind)
    local t, beginning = listener(keys, topics[topic])
    jobs[#jobs + 1] = job(keys, kind, "on:" .. topic, t, context)
    out[#out + 1] = { topic = topic, kind = kind, beginning = beginning }
    if topic ~= context.name and sub(topic, 1, #context.name + 1) ~= context.name .. "." then
      others[#others + 1] = topic
    end
  end
  return out, others
end

return M
