--- app.jobs: durable jobs, over bind/jobs_lua.c; tx.jobs is the same inside store:tx.
local words = require "maru.words"

local PUSH = "app.jobs:push(name, [args], [options])"
local MANY = "app.jobs:push_many(name, list, [options])"

return function(raw, info)
  local json = info.raw.json

  --- "job" of this plugin or "plugin.job" of another. A job this plugin does not have would be held for ever.
  local function kind_of(name, usage)
    if type(name) ~= "string" then
      error(usage .. ": name must be a string, got " .. type(name), 4)
    end
    if name:find(".", 1, true) then
      return name
    end
    local own = info.declared and info.declared.jobs or {}
    if not own[name] then
      error(usage .. ": there is no job '" .. name .. "' in M.jobs" .. words.suggest(name, own), 4)
    end
    return info.name .. "." .. name
  end

  local function encoded(args, usage)
    if args ~= nil and type(args) ~= "table" then
      error(usage .. ": args must be a table, got " .. type(args), 4)
    end
    return args == nil and "{}" or json.encode(args)
  end

  local function first(ids, message, code)
    if not ids then
      return nil, message, code
    end
    return ids[1]
  end

  --- send(kind, texts, options) is raw.push, or raw.push_tx of one transaction.
  local function make(send)
    local jobs = {}

    --- Pushes one job; the id, or nil, message, code ("duplicate" when its unique key is taken). (waits)
    function jobs:push(name, args, options) -- luacheck: no self
      return first(send(kind_of(name, PUSH), { encoded(args, PUSH) }, options))
    end

    --- Pushes a job for each of list's tables, all or none; their ids. (waits)
    function jobs:push_many(name, list, options) -- luacheck: no self
      if type(list) ~= "table" then
        error(MANY .. ": list must be an array of tables, got " .. type(list), 2)
      end
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

  --- { id, kind, state, attempt, result, error, … }, or false. (waits)
  function jobs:get(id) -- luacheck: no self
    local text, message, code = raw.get(id)
    if not text then
      return nil, message, code
    end
    return text ~= "" and json.decode(text)
  end

  return jobs
end
