--- app.workflows: runs of several jobs, over bind/workflows_lua.c.
local job_kind = require "maru.job_kind"
local words = require "maru.words"

local START = "app.workflows:start(name, [input], [options])"
local SIGNAL = "app.workflows:signal(id, name, [data])"
local LIST = "app.workflows:list([options])"
local LIST_OPTIONS = { name = true, state = true, key = true, limit = true, before = true }
local STATES = { running = true, waiting = true, done = true, failed = true, cancelled = true }
local OPTIONS = { name = true, key = true, on_error = true }
local START_OPTIONS = { key = true }

return function(raw, info)
  local json = info.raw.json
  local workflows = {}

  local function own()
    return info.declared and info.declared.workflows or {}
  end

  local function kind_of(name, usage)
    if type(name) ~= "string" then
      error(usage .. ": a job is { name, [args], [options] }, its name is " .. type(name), 4)
    end
    return job_kind(info, name, usage) -- a tail call: its errors stand where these do
  end

  --- { name, [args], [options] } -> { kind, JSON, options }
  local function member(entry, usage)
    if type(entry) == "string" then
      entry = { entry }
    elseif type(entry) ~= "table" then
      error(usage .. ": a job is { name, [args], [options] }, got " .. type(entry), 3)
    end
    local args, options = entry[2], entry[3]
    if args ~= nil and type(args) ~= "table" then
      error(usage .. ": a job's args must be a table, got " .. type(args), 3)
    elseif options ~= nil and type(options) ~= "table" then
      error(usage .. ": a job's options must be a table, got " .. type(options), 3)
    end
    return { kind_of(entry[1], usage), args == nil and "{}" or json.encode(args), options }
  end

  local function members(list, usage)
    if type(list) ~= "table" or #list == 0 then
      error(usage .. ": needs a list of jobs", 3)
    end
    local beyond = words.beyond(list)
    if beyond ~= nil then
      error(("%s: the list must have no holes, but has an item at %s"):format(usage, tostring(beyond)), 3)
    end
    local out = {}
    for i, entry in ipairs(list) do
      out[i] = member(entry, usage)
    end
    return out
  end

  local function list_of(shape, list, body, options, usage)
    local checked = members(list, usage)
    local on_error = options.on_error ~= nil and member(options.on_error, usage) or nil
    return raw.list(shape, checked, body, on_error, options.name or "", options.key or "")
  end

  --- name, input and options as bind/workflows_lua.c takes them.
  local function start_of(name, input, options)
    if type(name) ~= "string" or not own()[name] then
      error(START .. ": there is no workflow '" .. tostring(name) .. "' in M.workflows"
        .. words.suggest(name, own()), 3)
    elseif input ~= nil and type(input) ~= "table" then
      error(START .. ": input must be a table, got " .. type(input), 3)
    end
    return name, input == nil and "{}" or json.encode(input), words.options(options, START_OPTIONS, START, 3).key or ""
  end

  --- Starts a declared workflow; its run's id, or nil, message, code ("duplicate": its key is taken). (waits)
  function workflows:start(name, input, options) -- luacheck: no self
    return raw.start(start_of(name, input, options))
  end

  --- The same in store:tx: the run is there if the transaction commits.
  info.in_tx = info.in_tx or {}
  info.in_tx.workflows = function(handle)
    return { start = function(_, name, input, options)
      return raw.start_tx(handle, start_of(name, input, options))
    end }
  end

  --- Jobs one after the other; each next one gets the result before it as job.previous. (waits)
  function workflows:chain(list, options) -- luacheck: no self
    local usage = "app.workflows:chain(list, [options])"
    return list_of("chain", list, nil, words.options(options, OPTIONS, usage, 2), usage)
  end

  --- Jobs side by side; the run's result is the list of theirs. (waits)
  function workflows:group(list, options) -- luacheck: no self
    local usage = "app.workflows:group(list, [options])"
    return list_of("group", list, nil, words.options(options, OPTIONS, usage, 2), usage)
  end

  --- A group, and then the body, which gets the list of results as job.previous. (waits)
  function workflows:chord(list, body, options) -- luacheck: no self
    local usage = "app.workflows:chord(list, body, [options])"
    return list_of("chord", list, member(body, usage), words.options(options, OPTIONS, usage, 2), usage)
  end

  --- What JSON has as null is not there.
  local function without_nulls(value)
    for key, item in next, value do
      if item == json.null then
        value[key] = nil
      elseif type(item) == "table" and key ~= "data" and key ~= "result" and key ~= "input" and key ~= "set" then
        without_nulls(item)
      end
    end
    return value
  end

  --- One run with its steps, or false. (waits)
  function workflows:get(id) -- luacheck: no self
    local text, message, code = raw.get(id)
    if not text then
      return nil, message, code
    end
    return text ~= "" and without_nulls(json.decode(text))
  end

  --- This plugin's runs, newest first. (waits)
  function workflows:list(options) -- luacheck: no self
    options = words.options(options, LIST_OPTIONS, LIST, 2)
    if options.state ~= nil and not STATES[options.state] then
      error(LIST .. ": there is no state '" .. tostring(options.state) .. "'"
        .. words.suggest(options.state, STATES), 2)
    end
    local text, message, code = raw.look(options.name or "", options.state or "", options.key or "",
      options.limit or 50, options.before or 0)
    if not text then
      return nil, message, code
    end
    return without_nulls(json.decode("[" .. text .. "]"))
  end

  --- Tells a run something: true when a step waited for it, false when it is kept until one does. (waits)
  function workflows:signal(id, name, data) -- luacheck: no self
    if type(name) ~= "string" then
      error(SIGNAL .. ": name must be text, got " .. type(name), 2)
    end
    return raw.signal(id, name, data == nil and "null" or json.encode(data))
  end

  --- Ends a run: true, or nil, message, code. (waits)
  function workflows:cancel(id) -- luacheck: no self
    return raw.cancel(id)
  end

  return workflows
end
