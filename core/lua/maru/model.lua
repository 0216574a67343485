--- app.model: language models as the operator configured them, and rules where there is none.
local attempts = require "maru.model_attempt"
local model_redact = require "maru.model_redact"
local hidden = require "maru.secrets"
local requests = require "maru.model_request"
local retries = require "maru.model_retry"
local sessions = require "maru.model_session"
local units = require "maru.units"
local words = require "maru.words"

local CHAT, STREAM = "app.model:chat(request)", "app.model:stream(request)"
local EMBED = "app.model:embed(texts, [options])"
local EMBED_OPTIONS = { provider = true, timeout = true }
local KNOWN = { messages = true, system = true, tools = true, tool_choice = true, max_steps = true, schema = true,
  schema_name = true, strict = true, temperature = true, max_tokens = true, timeout = true, provider = true,
  model = true,
  stop = true, seed = true, cache = true, redact = true, rules = true }
local TYPES = { system = "string", tools = "table", schema = "table", schema_name = "string", strict = "boolean",
  temperature = "number", max_tokens = "number", max_steps = "number", provider = "string", model = "string",
  redact = "table", rules = "function", seed = "number" }
local EMBED_BATCH = 256

local function duration(usage, name, value)
  local seconds = value ~= nil and units.duration(value) or nil
  if value ~= nil and (not seconds or seconds <= 0) then
    error(usage .. ": " .. name .. ' must be seconds or a duration such as "30s"', 4)
  end
  return seconds
end

local function check_messages(usage, messages)
  if type(messages) == "string" then
    return { { role = "user", content = messages } }
  elseif type(messages) ~= "table" or #messages == 0 then
    error(usage .. ": messages must be text or a list of { role, content }", 4)
  end
  for i, message in ipairs(messages) do
    if type(message) ~= "table" or type(message.role) ~= "string" then
      error(usage .. ": messages[" .. i .. "] must be { role, content }", 4)
    end
  end
  return messages
end

local function check_tools(usage, tools)
  for name, tool in pairs(tools or {}) do
    if type(name) ~= "string" or not string.find(name, "^[%w_-]+$") or type(tool) ~= "table" then
      error(usage .. ": tools must be { name = { description = …, parameters = …, function(app, args) } }", 4)
    elseif tool[1] ~= nil and type(tool[1]) ~= "function" then
      error(usage .. ": tools." .. name .. "[1] must be a function(app, args)", 4)
    end
  end
end

--- A copy with checked values; timeout and cache in seconds.
local function check_request(usage, given)
  if type(given) ~= "table" then
    error(usage .. ": request must be a table, got " .. type(given), 3)
  end
  local request = {}
  for key, value in pairs(given) do
    if not KNOWN[key] then
      error(usage .. ": unknown option " .. tostring(key) .. words.suggest(key, KNOWN), 3)
    elseif TYPES[key] and type(value) ~= TYPES[key] then
      error(usage .. ": " .. key .. " must be a " .. TYPES[key] .. ", got " .. type(value), 3)
    end
    request[key] = value
  end
  request.messages = check_messages(usage, given.messages)
  request.timeout = duration(usage, "timeout", given.timeout)
  if given.cache ~= nil and type(given.cache) ~= "boolean" then
    request.cache = duration(usage, "cache", given.cache)
  end
  check_tools(usage, given.tools)
  return request
end

local function check_provider(usage, settings, name)
  local names = { rules = true }
  for _, provider in ipairs(settings.providers) do
    names[provider.name] = true
  end
  if name ~= nil and not names[name] and #settings.providers > 0 then
    error(usage .. ": model.providers has no '" .. name .. "'" .. words.suggest(name, names), 3)
  end
end

--- How long the answer is kept, in seconds; nil: not at all.
local function keeps(settings, request)
  local ttl
  if type(request.cache) == "number" then
    ttl = request.cache
  elseif request.cache == true or request.cache == nil and request.temperature == 0 then
    ttl = settings.cache_ttl
  end
  for _, tool in pairs(request.tools or {}) do
    if tool[1] then -- what a function does is not in the answer
      return nil
    end
  end
  return ttl and ttl > 0 and ttl or nil
end

return function(raw, info)
  local model, json, crypto = {}, info.raw.json, info.raw.crypto
  local settings = raw.settings() or { providers = {}, timeout = 60, cache_ttl = 0, redact = {}, currency = "USD" }
  local declared = type(info.declared) == "table" and info.declared.model
  local secrets, common

  --- Made at the first use: the plugin's settings are complete by then.
  local function host_for(request)
    secrets = secrets or hidden.of(info)
    local redact = common
    if not redact or request and request.redact then
      local names = {}
      for _, list in ipairs({ settings.redact, request and request.redact or {} }) do
        for _, name in ipairs(list) do
          names[#names + 1] = name
        end
      end
      redact = model_redact.compile(names, secrets)
      common = common or not (request and request.redact) and redact or nil
    end
    return { raw = raw, app = info.app, json = json, settings = settings, redact = redact,
      rules = declared and declared.rules, parse_time = info.raw.text.parse_time,
      random = function()
        return tonumber(crypto.random(2), 16) / 65535
      end }
  end

  local function may_call()
    if not raw.allowed() then
      return nil, "this plugin's allow.model is not true", "forbidden"
    end
    return true
  end

  local function cache_key(host, request)
    local parts = { system = request.system, tools = requests.tools(request.tools), schema = request.schema,
      messages = request.messages, temperature = request.temperature, max_tokens = request.max_tokens,
      provider = request.provider, model = request.model, stop = request.stop, seed = request.seed,
      providers = settings.providers }
    return "model:" .. crypto.sha256(host.redact(requests.canonical(json, parts)))
  end

  local function kept(key)
    local text = info.app.cache:get(key)
    local result = type(text) == "string" and json.decode(text)
    if type(result) ~= "table" then
      return nil
    end
    raw.count_free("cache")
    result.cached, result.cost = true, 0
    return result
  end

  --- The session's parts, with the cache in front and behind.
  local function open(usage, given, stream)
    local request = check_request(usage, given)
    check_provider(usage, settings, request.provider)
    local host = host_for(request)
    local ttl = keeps(settings, request)
    local key = ttl and cache_key(host, request)
    local result = key and kept(key)
    if result then
      local parts = { stream and result.text ~= "" and { delta = result.text } or { result = result } }
      parts[2] = parts[1].delta and { result = result } or nil
      return function()
        return table.remove(parts, 1)
      end
    end
    local session = sessions.new(host, request, stream)
    return function()
      local part = session:next()
      if part and part.result and key and not part.result.rule_based then
        info.app.cache:set(key, json.encode(part.result), ttl)
      end
      return part
    end
  end

  --- The answer, or nil, message, code.
  function model:chat(request)
    if self ~= model then
      error(CHAT .. ": call it with a colon", 2)
    end
    local ok, message, code = may_call()
    if not ok then
      return nil, message, code
    end
    for part in open(CHAT, request, false) do
      if part.result then
        return part.result
      elseif part.error then
        return nil, part.error, part.code
      end
    end
  end

  --- An iterator of { delta }, { tool, arguments } and { again }, and last { result } or { error, code }.
  function model:stream(request)
    if self ~= model then
      error(STREAM .. ": call it with a colon", 2)
    end
    local ok, message, code = may_call()
    local parts = { { error = message, code = code } }
    if not ok then
      return function()
        return table.remove(parts, 1)
      end
    end
    return open(STREAM, request, true)
  end

  local function embed_at(host, index, texts, deadline)
    local provider = settings.providers[index]
    local body = requests.canonical(json, { model = provider.embed_model, input = texts, encoding_format = "float" })
    local attempt, failure = attempts.open(host, index, { path = "/embeddings", body = body, tokens_out = 0,
      embeds = true, deadline = deadline, timeout = provider.timeout })
    if not attempt then
      return nil, failure
    end
    local answer
    answer, failure = attempts.whole(attempt)
    if not answer then
      return nil, failure
    end
    local said = type(answer.usage) == "table" and tonumber(answer.usage.prompt_tokens)
    said = said and { input = said, output = 0, total = said, cached = 0 }
    local usage, cost = attempts.done(attempt, said, "")
    local vectors = {}
    for i, item in ipairs(type(answer.data) == "table" and answer.data or {}) do
      if type(item) == "table" and type(item.embedding) == "table" then
        vectors[(tonumber(item.index) or i - 1) + 1] = item.embedding
      end
    end
    if #vectors ~= #texts then
      return nil, { code = "protocol", message = #vectors .. " vectors came for " .. #texts .. " texts" }
    end
    return vectors, nil, usage, cost
  end

  --- As often as the provider's retries say.
  local function embed_by(host, index, texts, deadline)
    local provider = settings.providers[index]
    for try = 1, math.huge do
      local vectors, failure, usage, cost = embed_at(host, index, texts, deadline)
      if vectors then
        return vectors, nil, usage, cost, provider
      end
      info.app.log:warn("a language model did not embed", { provider = provider.name, code = failure.code,
        error = failure.message, attempt = try })
      local wait = failure.wait or retries.backoff(try, host.random())
      if not failure.retry or try > provider.retries or info.app.now() + wait >= deadline then
        return nil, failure
      end
      local ok, message, code = info.app.sleep(wait)
      if not ok then
        return nil, { message = message, code = code, stopped = true }
      end
    end
  end

  local function embed_batch(host, texts, options, deadline)
    local failure = { code = "not_configured", message = "no provider has an embed_model (model.providers)" }
    for index, provider in ipairs(settings.providers) do
      if provider.embed_model ~= "" and (options.provider == nil or options.provider == provider.name) then
        local vectors, wrong, usage, cost = embed_by(host, index, texts, deadline)
        if vectors or wrong.stopped then
          return vectors, wrong, usage, cost, provider
        end
        failure = wrong
      end
    end
    return nil, failure
  end

  --- { vectors, usage, cost, provider, model } for a list of texts, or nil, message, code.
  function model:embed(texts, options)
    if self ~= model then
      error(EMBED .. ": call it with a colon", 2)
    elseif type(texts) ~= "table" or #texts == 0 then
      error(EMBED .. ": texts must be a list of text", 2)
    end
    options = words.options(options, EMBED_OPTIONS, EMBED, 2)
    check_provider(EMBED, settings, options.provider)
    local ok, message, code = may_call()
    if not ok then
      return nil, message, code
    end
    local host = host_for(nil)
    local deadline = info.app.now() + (duration(EMBED, "timeout", options.timeout) or settings.timeout)
    local all = { vectors = {}, usage = { input = 0, output = 0, total = 0, cached = 0 }, cost = 0,
      currency = settings.currency }
    for from = 1, #texts, EMBED_BATCH do
      local batch = {}
      for i = from, math.min(from + EMBED_BATCH - 1, #texts) do
        batch[#batch + 1] = host.redact(texts[i])
      end
      local vectors, failure, usage, cost, provider = embed_batch(host, batch, options, deadline)
      if not vectors then
        return nil, failure.message, failure.code
      end
      for _, vector in ipairs(vectors) do
        all.vectors[#all.vectors + 1] = vector
      end
      all.usage.input, all.usage.total = all.usage.input + usage.input, all.usage.total + usage.total
      all.cost, all.provider, all.model = all.cost + cost, provider.name, provider.embed_model
    end
    return all
  end

  return model
end
