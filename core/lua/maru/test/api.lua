--- The `test` object of a spec (test.d.lua says what each part does).
local http = require "maru.test.http"
local make_cassettes = require "maru.test.cassette"
local make_jobs = require "maru.test.jobs"
local open_socket = require "maru.test.socket"
local units = require "maru.units"
local words = require "maru.words"

local METHODS = { "get", "head", "delete" }
local METHODS_WITH_BODY = { "post", "put", "patch" }
local ANSWER_SECONDS = 3600 -- of the test's time
local REQUEST_OPTIONS = { headers = true, query = true, body = true, json = true, as = true, timeout = true }

local function check_path(path, usage)
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" then
    error(usage .. ": path must begin with \"/\", got " .. (type(path) == "string" and path or type(path)), 3)
  end
end

--- Loading, settings and reloading of the plugin. `state` is shared by the parts of the test object.
local function add_plugin(test, context, busted, state)
  local raw, name = context.raw, context.name

  local function fail_to_load(message)
    state.broken = message
    busted.skipAll = true
    error(message, 0)
  end

  --- The server serves from here on: everything before was settings.
  function state.ensure()
    if state.broken then
      error(state.broken, 0)
    elseif not state.loaded then
      local ok, message = raw.test.control("load")
      if not ok then
        fail_to_load(message)
      end
      state.loaded = true
      state.cassettes.hide(test:app())
    end
  end

  function state.reload(when, plugin)
    state.ensure()
    local ok, message = raw.test.control("reload", plugin or name)
    if not ok then
      error("the plugin could not be reloaded" .. (when and " " .. when or "") .. ": " .. message, 0)
    end
  end

  function test:reload() -- luacheck: no self
    state.reload()
  end

  function test:config(settings, plugin) -- luacheck: no self
    if type(settings) ~= "table" then
      error("test:config(settings, [plugin]): settings must be a table, got " .. type(settings), 2)
    end
    plugin = plugin or name
    local all = state.settings[plugin] or {}
    state.settings[plugin] = all
    for key, value in pairs(settings) do
      all[key] = value
    end
    raw.test.control("configure", plugin .. "\n" .. context.json.encode(all))
    state.app = nil
    if state.loaded then
      state.reload("with test:config", plugin)
      state.cassettes.hide(test:app())
    end
  end

  function test:app() -- luacheck: no self
    state.ensure()
    state.in_flight() -- what the test itself does by it cannot stand still and be reloaded at once
    if not state.app then
      state.app, context.declared = context.make_app(state.settings[name] or {})
    end
    return state.app
  end
end

--- Where something of the test is under way: in `maru test --reload` the time to reload "during" it.
local function add_phases(context, state)
  function state.in_flight()
    if context.run.phase == "during" and state.during_pending then
      state.during_pending = false
      context.raw.test.settle() -- what is under way stands at its first wait now, or is through
      context.raw.test.pause(false)
      state.reload("during the test")
      context.raw.test.go_on()
    end
  end
end

local function add_http(test, context, state)
  local raw, json = context.raw, context.json

  function state.connect(options)
    state.ensure()
    return assert(raw.test.connect(options.as == "operator"))
  end

  local function encode_body(options, headers)
    if options.json ~= nil or type(options.body) == "table" then
      headers["content-type"] = headers["content-type"] or "application/json"
      return json.encode(options.json ~= nil and options.json or options.body)
    end
    return options.body
  end

  local function lower_names(headers)
    local copy = {}
    for name, value in pairs(headers or {}) do
      copy[name:lower()] = value
    end
    return copy
  end

  local function exchange(method, path, options, usage)
    check_path(path, usage)
    options = words.options(options, REQUEST_OPTIONS, usage, 2)
    local headers = lower_names(options.headers)
    local body = encode_body(options, headers)
    local stream = state.connect(options)
    stream:send(http.format(method, http.with_query(path, options.query), headers, body))
    state.in_flight()
    local seconds = units.duration(options.timeout or ANSWER_SECONDS)
    local reader = http.reader(stream, seconds)
    local answer, reason = http.read_head(reader)
    local text
    if answer then
      text, reason = http.read_body(reader, method, answer)
    end
    stream:close()
    if not text then
      error(("%s %s: %s"):format(method, path, reason == "timeout"
        and ("no answer within %s s of the test's time"):format(seconds)
        or "the connection was closed without a whole answer"), 2)
    end
    answer.body = text
    if (answer.headers["content-type"] or ""):find("json", 1, true) then
      answer.json = json.decode(text)
    end
    return answer
  end

  function test:request(method, path, options) -- luacheck: no self
    return exchange(method:upper(), path, options, "test:request(method, path, [options])")
  end

  for _, method in ipairs(METHODS) do
    test[method] = function(_, path, options)
      return exchange(method:upper(), path, options, "test:" .. method .. "(path, [options])")
    end
  end

  for _, method in ipairs(METHODS_WITH_BODY) do
    test[method] = function(_, path, body, options)
      local copy = { body = body }
      for key, value in pairs(options or {}) do
        copy[key] = value
      end
      return exchange(method:upper(), path, copy, "test:" .. method .. "(path, [body], [options])")
    end
  end

  function test:socket(path, options) -- luacheck: no self
    check_path(path, "test:socket(path, [options])")
    options = words.options(options, REQUEST_OPTIONS, "test:socket(path, [options])", 2)
    local socket, answer = open_socket(state.connect(options), http.with_query(path, options.query),
      options.headers, json, state.in_flight)
    if not socket then
      error(("%s: the socket was refused with %d: %s"):format(path, answer.status, tostring(answer.body)), 2)
    end
    state.sockets[#state.sockets + 1] = socket
    return socket
  end
end

--- Server-sent events: test:events(path) → { status, headers, receive }.
local function add_events(test, context, state)
  local function read_event(text)
    local event, data = { event = "message" }, {}
    for line in (text .. "\n"):gmatch("(.-)\r?\n") do
      local field, value = line:match("^([^:]+):%s?(.*)$")
      if field == "data" then
        data[#data + 1] = value
      elseif field then
        event[field] = value
      end
    end
    event.data = #data > 0 and table.concat(data, "\n") or nil
    return event
  end

  function test:events(path, options) -- luacheck: no self
    check_path(path, "test:events(path, [options])")
    options = words.options(options, REQUEST_OPTIONS, "test:events(path, [options])", 2)
    local stream = state.connect(options)
    stream:send(http.format("GET", http.with_query(path, options.query), options.headers))
    state.in_flight()
    local reader = http.reader(stream, 5)
    local answer, reason = http.read_head(reader)
    if not answer then
      error(path .. ": " .. reason, 2)
    end
    local left = ""

    --- The next event within so much of the test's time: { event, data, id }; nil, "timeout" or "closed".
    function answer:receive(timeout) -- luacheck: no self
      local more = reader.more
      reader.more = function()
        return more(timeout)
      end
      local event, why
      while not event do
        local text, rest = left:match("^(.-)\r?\n\r?\n(.*)$")
        if text then
          left = rest
          event = text:find("[^\n:]*data:") and read_event(text) or nil
        else
          local piece
          piece, why = http.read_chunk(reader)
          if not piece or piece == "" then
            break
          end
          left = left .. piece
        end
      end
      reader.more = more
      if event and event.data then
        event.json = context.json.decode(event.data)
      end
      return event, not event and (why or "closed") or nil
    end

    function answer:close() -- luacheck: no self
      stream:close()
    end

    state.sockets[#state.sockets + 1] = answer
    return answer
  end
end

local function seconds_of(value)
  if type(value) == "number" then
    return value
  end
  local year, month, day, hour, minute, second = tostring(value):match(
    "^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):?(%d*%.?%d*)Z?$")
  if not year then
    return nil
  end
  -- Days since 1970 by Howard Hinnant's civil calendar: years begin in March.
  local y, m = tonumber(year), tonumber(month)
  y = m <= 2 and y - 1 or y
  local era = math.floor(y / 400)
  local yoe, doy = y - era * 400, math.floor((153 * ((m + 9) % 12) + 2) / 5) + tonumber(day) - 1
  local days = era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
  return days * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + (tonumber(second) or 0)
end

local function add_clock(test, context, state)
  local raw = context.raw
  test.clock = {}

  function test.clock:now() -- luacheck: no self
    return raw.time.now()
  end

  function test.clock:advance(duration) -- luacheck: no self
    if not units.duration(duration) then
      error("test.clock:advance(duration): duration must be seconds or text such as \"5m\", got "
        .. tostring(duration), 2)
    end
    state.ensure()
    raw.test.jobs_hold(false)
    state.in_flight()
    raw.test.advance(duration)
    raw.test.jobs_hold(true)
    return raw.time.now()
  end

  function test.clock:set(at) -- luacheck: no self
    local seconds = seconds_of(at)
    if not seconds then
      error("test.clock:set(time): time must be seconds since 1970 or text such as \"2026-01-31T09:00:00Z\", got "
        .. tostring(at), 2)
    end
    raw.test.control("clock", ("%.0f"):format(seconds * 1000))
    return seconds
  end

  function test:settle() -- luacheck: no self
    state.ensure()
    raw.test.settle()
  end
end

--- What was logged and published since the test began.
local function add_notes(test, context, state)
  local raw, json, name = context.raw, context.json, context.name

  function test:log(level) -- luacheck: no self
    local text = raw.test.log(state.log_mark, level or "debug", name)
    return json.decode(text)
  end

  function test:published(topic) -- luacheck: no self
    local list = {}
    for _, pair in ipairs(json.decode(raw.test.published())) do
      if pair[1] == topic then
        list[#list + 1] = pair[2]
      end
    end
    return list
  end
end

local function add_life(life, context, state)
  local raw = context.raw

  local function close_sockets()
    for _, socket in ipairs(state.sockets) do
      pcall(socket.close, socket)
    end
    state.sockets = {}
  end

  --- A test that never waited, or failed before, leaves nothing standing.
  local function stop_pausing()
    if context.run.phase == "during" then
      state.during_pending = false
      raw.test.pause(false)
      raw.test.go_on()
    end
  end

  function life.begin()
    stop_pausing()
    close_sockets()
    state.cassettes.begin()
    raw.test.forget_published()
    raw.test.jobs_ran()
    state.ran = {}
    state.ensure()
    local _, newest = raw.test.log(0, "error", context.name)
    state.log_mark = newest
    if context.run.phase == "before" then
      state.reload("before the test")
    end
    if context.run.phase == "during" then
      state.during_pending = true
      raw.test.pause(true)
    end
  end

  --- place: of the test in its file, for what has no other.
  function life.finish(place)
    stop_pausing()
    state.cassettes.finish(place)
    close_sockets()
    if context.run.phase == "after" then
      state.reload("after the test")
      raw.test.settle()
    end
  end

  --- Errors and warnings of this test, for a failure's message.
  function life.failures_logged()
    if not state.loaded then
      return nil
    end
    local lines = {}
    for _, line in ipairs(context.json.decode((raw.test.log(state.log_mark, "warn", "")))) do
      if line.plugin or line.level == "error" then
        lines[#lines + 1] = line.level .. ": " .. line.message
      end
    end
    return lines
  end

  function life.close()
    stop_pausing()
    close_sockets()
    state.cassettes.close()
  end
end

--- The object of the spec, and what run.lua needs of it.
return function(context, busted)
  local test, life = {}, { object = nil }
  local state = { settings = { [context.name] = context.settings }, sockets = {}, ran = {}, log_mark = 0 }
  add_plugin(test, context, busted, state)
  add_phases(context, state)
  add_http(test, context, state)
  add_events(test, context, state)
  add_clock(test, context, state)
  add_notes(test, context, state)
  make_jobs(test, context, state)
  state.cassettes = make_cassettes(test, context)
  add_life(life, context, state)
  life.object = test
  return life
end
