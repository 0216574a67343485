--- A faithful small fake of the host's handle, so that plugins run in specs without the host: the
--- same loading rules (own folder and maru.* only, no new globals), a shared cache, recorded logs,
--- metrics, jobs and messages, scripted HTTP answers, and the store and series it is given.
local cjson = require("cjson")

local M = {}

M.root = "."

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

M.read = read

--- Loads plugins/NAME/plugin.lua as the host does: `require` sees its folder and maru.* only.
function M.load(name)
  local folder, loaded, env = M.root .. "/plugins/" .. name, {}, nil
  local function run(path)
    return assert(loadstring(read(path), "@" .. path))
  end
  local function require_inside(wanted)
    if loaded[wanted] == nil then
      local core = wanted:match("^maru%.([%w_]+)$")
      local path = core and M.root .. "/core/lua/maru/" .. core or folder .. "/" .. wanted
      local chunk = setfenv(run(path .. ".lua"), env)
      loaded[wanted] = chunk() or true
    end
    return loaded[wanted]
  end
  local visible = { require = require_inside }
  for key, value in pairs(_G) do
    if not ({ require = 1, package = 1, debug = 1, dofile = 1, loadfile = 1 })[key] then
      visible[key] = visible[key] or value
    end
  end
  env = setmetatable({}, {
    __index = function(_, key)
      if visible[key] == nil then
        error("undefined variable " .. tostring(key), 2)
      end
      return visible[key]
    end,
    __newindex = function(_, key) error("assignment to global " .. tostring(key), 2) end,
  })
  return setfenv(run(folder .. "/plugin.lua"), env)(), require_inside
end

local function seconds(duration)
  if type(duration) == "number" or duration == nil then
    return duration
  end
  local number, unit = duration:match("^(%d+)(%a+)$")
  return tonumber(number) * ({ ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 })[unit]
end

M.seconds = seconds

local function json()
  return {
    null = cjson.null,
    encode = cjson.encode,
    array = function(list)
      return next(list) == nil and cjson.empty_array or list
    end,
    decode = function(text)
      local ok, value = pcall(cjson.decode, text)
      if ok then
        return value
      end
      return nil, tostring(value), "json"
    end,
  }
end

local function copy(value)
  return cjson.decode(cjson.encode({ value }))[1] -- as through the host: nothing is shared
end

local function cache(app)
  local values, till = {}, {}
  local function live(key)
    if till[key] and till[key] <= app.now() then
      values[key], till[key] = nil, nil
    end
    return values[key]
  end
  local self = {}
  self.get = function(_, key)
    local value = live(key)
    return value ~= nil and copy(value) or nil
  end
  self.set = function(_, key, value, ttl)
    values[key], till[key] = copy(value), ttl and app.now() + seconds(ttl) or nil
    return true
  end
  self.add = function(_, key, value, ttl)
    return live(key) == nil and self:set(key, value, ttl)
  end
  self.delete = function(_, key)
    local existed = live(key) ~= nil
    values[key], till[key] = nil, nil
    return existed
  end
  self.incr = function(_, key, by)
    values[key] = (live(key) or 0) + (by or 1)
    return values[key]
  end
  self.lock = function(_, name, ttl)
    if not self:add("lock:" .. name, true, ttl) then
      return nil
    end
    self.fence = (self.fence or 0) + 1
    return "token", self.fence
  end
  self.unlock = function(_, name)
    return self:delete("lock:" .. name)
  end
  return self
end

local function text()
  local entities = { amp = "&", lt = "<", gt = ">", quot = '"', nbsp = "\194\160", ["#39"] = "'" }
  local epoch = os.time({ year = 1970, month = 1, day = 2, hour = 0 })
  local function shift(offset)
    local sign, hours, minutes = offset:match("^([+-])(%d%d):(%d%d)$")
    return (sign == "-" and -1 or 1) * (hours * 3600 + minutes * 60)
  end
  return {
    unescape_html = function(value)
      return (value:gsub("&(#?%w+);", function(name) return entities[name] end))
    end,
    parse_time = function(value, offset)
      local y, mo, d, h, mi, s = value:match("^(%d%d%d%d)-(%d%d)-(%d%d) (%d%d):(%d%d):(%d%d)$")
      if not y then
        return nil
      end
      local day = os.time({ year = y, month = mo, day = d, hour = 0 }) - epoch + 86400
      return math.floor(day / 86400 + 0.5) * 86400 + h * 3600 + mi * 60 + s - shift(offset)
    end,
    format_time = function(value, offset)
      return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(value + shift(offset))) .. offset
    end,
  }
end

--- Trailing mean of what the window holds; nil until min_periods values are there.
local function moving_average(values, window, min_periods)
  local result = {}
  for index = 1, #values do
    local sum, count = 0, 0
    for back = math.max(1, index - window + 1), index do
      if type(values[back]) == "number" then
        sum, count = sum + values[back], count + 1
      end
    end
    result[index] = count >= (min_periods or window) and count > 0 and sum / count or cjson.null
  end
  return result
end

local function recorder(list, ...)
  local self = {}
  for _, kind in ipairs({ ... }) do
    self[kind] = function(_, name, value, labels)
      list[#list + 1] = { kind = kind, name = name, value = value, labels = labels }
    end
  end
  return self
end

local function defaults(plugin, config)
  local result = {}
  for key, field in pairs(plugin.config or {}) do
    result[key] = field.default
  end
  for key, value in pairs(config or {}) do
    result[key] = value
  end
  return result
end

local function jobs(app)
  local self = { list = {} }
  self.push = function(_, name, args, options)
    local unique = options and options.unique
    for _, job in ipairs(self.list) do
      if unique and job.unique == unique and not job.done then
        return nil, "already queued", "duplicate"
      end
    end
    self.list[#self.list + 1] = {
      id = #self.list + 1, name = name, args = copy(args or {}), unique = unique,
      delay = options and seconds(options.delay),
    }
    return #self.list
  end
  --- Runs what is queued, in order. @return integer how many
  self.run = function(_, plugin)
    local ran, index = 0, 0
    while index < #self.list do -- a job may push another
      index = index + 1
      local job = self.list[index]
      if not job.done then
        local handler = plugin.jobs[job.name]
        handler = type(handler) == "table" and handler[1] or handler
        job.result = handler(app, { id = job.id, args = copy(job.args), attempt = 1 })
        job.done, ran = true, ran + 1
      end
    end
    return ran
  end
  return self
end

--- Runs of graphs, each at once and to its end; a step that fails is tried again as often as it may be.
local function workflows(app, plugin)
  local self = { runs = {}, keys = {} }
  local function try(step, run)
    local message
    for attempt = 1, (step.retries or 3) + 1 do
      local state = copy(run.state)
      run.attempt = attempt
      local ok, value, why = pcall(step[1], app, run)
      if ok and not (value == nil and why) then
        run.state = copy(run.state)
        return true, value
      end
      run.state, message = state, ok and why or value
    end
    return false, tostring(message)
  end
  self.start = function(_, name, input, options)
    local key = options and options.key
    if key and self.keys[key] then
      return nil, "the key is taken", "duplicate"
    end
    local declared = plugin.workflows[name]
    local run, at = { input = copy(input), state = {}, steps = {} }, declared.start
    self.runs[#self.runs + 1] = run
    self.keys[key or ""] = key and true or nil
    while at do
      local step = declared.steps[at]
      run.steps[#run.steps + 1] = at
      local ok, value = try(step, run)
      run.error = not ok and { message = value } or nil
      at = ok and value or not ok and step.on_error or nil
    end
    self.keys[key or ""] = nil
    return #self.runs
  end
  return self
end

--- answer: function(request) → parts of app.model:stream; without it the request's rules answer.
local function model(app, answer)
  return { stream = function(_, request)
    local parts = answer and answer(request)
    if not parts then
      local object = request.rules(app, request, { code = "not_configured", message = "none" }).object
      parts = { { delta = cjson.encode(object) }, { result = { object = object, provider = "rules", model = "rules",
        rule_based = true, cost = 0, currency = "USD", usage = { total = 0 }, steps = 1,
        reason = { code = "not_configured" } } } }
    end
    return function()
      return table.remove(parts, 1)
    end
  end }
end

local function channels(published)
  local self = {}
  self.publish = function(_, topic, message)
    published[#published + 1] = { topic = topic, message = copy(message) }
    return 0
  end
  return self
end

--- Events as they were emitted, by topic and key.
local function events(emitted)
  local self = {}
  self.emit = function(_, topic, data, options)
    emitted[#emitted + 1] = { topic = topic, data = copy(data), key = options and options.key }
    return #emitted - 1, 0
  end
  return self
end

--- Answers to come: a list of { status, body } or { message, code }, or function(url, options).
local function http(app, answers)
  local self = {}
  self.get = function(_, url, options)
    app.requests[#app.requests + 1] = { url = url, options = options }
    local answer
    if type(answers) == "function" then
      answer = answers(url, options)
    else
      answer = table.remove(answers or {}, 1)
    end
    if not answer then
      error("no answer scripted for " .. url)
    elseif not answer.status then
      return nil, answer.message, answer.code
    end
    return { status = answer.status, body = answer.body, headers = {}, url = url, time = 0 }
  end
  return self
end

--- options: plugin, and config, env, answers (for http), model (see above), now, store, series, call
function M.new(options)
  local app = {
    name = options.plugin.name,
    config = defaults(options.plugin, options.config),
    env = options.env or {}, clock = options.now or 1790530229, slept = 0,
    logs = {}, counts = {}, requests = {}, published = {},
    json = json(), text = text(), store = options.store, series = options.series,
    call = options.call, kernels = { moving_average = moving_average },
  }
  app.now = function() return app.clock end
  app.sleep = function(duration)
    app.slept, app.clock = app.slept + seconds(duration), app.clock + seconds(duration)
    return true
  end
  app.fail = function(status, code, message)
    return { status = status, code = code, message = message }
  end
  app.retry = function(delay, reason) return { retry = delay, reason = reason } end
  local uuids = 0
  app.crypto = {
    uuid = function()
      uuids = uuids + 1
      return "uuid-" .. uuids
    end,
    base64 = function(bytes)
      return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
    end,
    unbase64 = function(padded)
      local bytes = padded:gsub("=", "")
      if #bytes % 2 == 1 or bytes:find("%X") then
        return nil, "not base64", "base64"
      end
      return (bytes:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
    end,
  }
  app.log = recorder(app.logs, "debug", "info", "warn", "error")
  app.metrics = recorder(app.counts, "count", "gauge", "observe")
  app.trace = {
    span = function(_, _, fn, ...) return fn(...) end,
    set = function() end,
    id = function() end,
  }
  app.cache = cache(app)
  app.jobs = jobs(app)
  app.workflows = workflows(app, options.plugin)
  app.model = model(app, options.model)
  app.channels = channels(app.published)
  app.emitted = {}
  app.events = events(app.emitted)
  app.http = http(app, options.answers)
  return app
end

--- Log lines of a kind. @return table[]
function M.lines(app, kind)
  local found = {}
  for _, line in ipairs(app.logs) do
    if line.kind == kind then
      found[#found + 1] = line
    end
  end
  return found
end

return M
