--- One request of a plugin from its first provider to its last word: tries, fallback, tools, the check against a
--- schema, and rules where no model answers. chat and stream are two ways to read its parts.
local answers = require "maru.model_answer"
local attempts = require "maru.model_attempt"
local json_schema = require "maru.json_schema"
local model_redact = require "maru.model_redact"
local requests = require "maru.model_request"
local retries = require "maru.model_retry"

local find = string.find

local M = {}

local Session = {}
Session.__index = Session

local MAX_STEPS = 8

local function push(self, part)
  self.queue[#self.queue + 1] = part
end

--- Providers in the order they are asked in. Those that did not answer lately come last, and not at all where something
--- else may answer.
local function chain_of(host, request)
  local chain, resting = {}, {}
  for i, provider in ipairs(host.settings.providers) do
    if request.provider == nil or request.provider == provider.name then
      local list = host.raw.rests(i) and resting or chain
      list[#list + 1] = i
    end
  end
  if #chain > 0 or host.rules or request.rules then
    return chain, #resting > 0
  end
  return resting, false
end

function M.new(host, request, stream)
  local messages = {}
  for i, message in ipairs(request.messages) do
    messages[i] = message
  end
  local chain, rests = chain_of(host, request)
  return setmetatable({ host = host, request = request, stream = stream, queue = {}, chain = chain, at = 1, try = 0,
    step = 1, cost = 0, usage = { input = 0, output = 0, total = 0, cached = 0 },
    messages = model_redact.deep(host.redact, messages),
    system = request.system and host.redact(request.system),
    deadline = host.app.now() + (request.timeout or host.settings.timeout),
    failure = rests and { code = "unavailable", message = "no provider answered lately" }
      or { code = "not_configured", message = "no language model is configured (model.providers)" } }, Session)
end

local function add_usage(self, usage, cost)
  for _, name in ipairs({ "input", "output", "total", "cached" }) do
    self.usage[name] = self.usage[name] + usage[name]
  end
  self.usage.estimated = self.usage.estimated or usage.estimated
  self.cost = self.cost + cost
end

-- ---- ends ----------------------------------------------------------------------------------------

local function finish(self, result)
  self.over = true
  result.usage, result.cost, result.currency = self.usage, self.cost, self.host.settings.currency
  result.steps = self.step
  push(self, { result = result })
end

local function plain_rules(answer)
  if type(answer) == "string" then
    return { text = answer }
  end
  return answer
end

--- The rules' answer, labelled; or the failure. What was read aloud already cannot be taken back.
local function give_up(self, failure)
  local host, rules = self.host, self.request.rules or self.host.rules
  self.over = true
  if not rules or self.said or failure.stopped then
    return push(self, { error = failure.message, code = failure.code })
  end
  local answer, message, code = rules(host.app, self.request, { code = failure.code, message = failure.message })
  answer = plain_rules(answer)
  if type(answer) ~= "table" then
    return push(self, { error = message or failure.message, code = code or failure.code })
  end
  host.raw.count_free("rules")
  local text = answer.text or answer.object ~= nil and requests.canonical(host.json, answer.object) or ""
  if self.stream and text ~= "" then
    push(self, { delta = text })
  end
  finish(self, { text = text, object = answer.object, finish = "stop", provider = "rules", model = "rules",
    cached = false, rule_based = true, reason = { code = failure.code, message = failure.message } })
end

-- ---- tries ---------------------------------------------------------------------------------------

local function provider_of(self)
  local index = self.chain[self.at]
  return index and self.host.settings.providers[index], index
end

--- Whether the provider only wants the other word for max_tokens; it is remembered.
local function other_field(self, provider, failure)
  local field = provider.tokens_field
  local other = field == "max_tokens" and "max_completion_tokens" or "max_tokens"
  if failure.code ~= "invalid" or self.swapped or not self.request.max_tokens
    or not find(failure.message, other, 1, true) then
    return false
  end
  self.swapped, provider.tokens_field = true, other
  return true
end

--- Makes the next attempt the current one; when there is none, ends.
local function after_failure(self, failure)
  local host, provider = self.host, provider_of(self)
  self.failure = failure
  if failure.usage then
    add_usage(self, failure.usage, failure.cost)
  end
  host.app.log:warn("a language model did not answer", { provider = provider.name, code = failure.code,
    error = failure.message, attempt = self.try + 1 })
  if failure.stopped then
    return give_up(self, failure)
  elseif other_field(self, provider, failure) then
    return
  end
  local wait = failure.wait or retries.backoff(self.try + 1, host.random())
  if failure.retry and self.try < provider.retries and host.app.now() + wait < self.deadline then
    self.try = self.try + 1
    local ok, message, code = host.app.sleep(wait)
    if not ok then
      give_up(self, { message = message, code = code, stopped = true })
    end
    return
  end
  self.at, self.try, self.swapped = self.at + 1, 0, nil
end

local answered -- what is done with a whole answer

local function request_of(self)
  local request = self.request
  return { system = self.system, schema = request.schema, schema_name = request.schema_name, strict = request.strict,
    temperature = request.temperature, max_tokens = request.max_tokens, tools = request.tools,
    tool_choice = request.tool_choice, model = request.model, stop = request.stop, seed = request.seed }
end

local function ask(self)
  local provider, index = provider_of(self)
  if not provider then
    return give_up(self, self.failure)
  end
  local host = self.host
  local body = requests.body(host.json, request_of(self), self.messages, provider, provider.tokens_field,
    self.stream)
  local attempt, failure = attempts.open(host, index, { path = "/chat/completions", body = body,
    tokens_out = self.request.max_tokens, deadline = self.deadline,
    timeout = not self.stream and provider.timeout or nil, silence = self.stream and provider.silence or nil })
  if not attempt then
    return after_failure(self, failure)
  elseif self.stream then
    attempts.stream(attempt)
    self.live = attempt
    return
  end
  local whole
  whole, failure = attempts.whole(attempt)
  if not whole then
    return after_failure(self, failure)
  end
  local state = answers.begin(host.json)
  local taken, wrong = attempts.take(attempt, state, whole, "")
  if not taken then
    return after_failure(self, wrong)
  end
  answered(self, attempt, state:result())
end

local function pull(self)
  local attempt = self.live
  local text, failure = attempts.chunk(attempt)
  if text then
    if text ~= "" then
      self.said, self.given = true, true
      push(self, { delta = text })
    end
    return
  end
  self.live = nil
  if text == false then
    return answered(self, attempt, attempt.state:result())
  end
  if self.given then
    add_usage(self, failure.usage, failure.cost)
    self.host.app.log:warn("a language model's answer broke off", { provider = (provider_of(self)).name,
      code = failure.code, error = failure.message })
    return give_up(self, failure)
  end
  after_failure(self, failure)
end

-- ---- answers -------------------------------------------------------------------------------------

--- From the first provider again, with more messages.
local function go_on(self)
  self.at, self.try, self.given = 1, 0, false
end

local function tool_problem(tool, call, json)
  if not tool then
    return "there is no tool '" .. call.name .. "'"
  elseif call.arguments == nil then
    return "the arguments are not JSON: " .. tostring(call.wrong)
  end
  local errors = tool.parameters and json_schema.check(json, tool.parameters, call.arguments)
  return errors and "the arguments do not fit: " .. table.concat(errors, "; ")
end

local function run_tool(self, call)
  local host = self.host
  local tool = self.request.tools[call.name]
  local problem = tool_problem(tool, call, host.json)
  if problem then
    return { error = problem }
  end
  local ok, value, message = pcall(tool[1], host.app, call.arguments)
  if not ok then
    return { error = type(value) == "table" and value.message or tostring(value) }
  elseif value == nil and message ~= nil then
    return { error = tostring(message) }
  end
  return value
end

local function use_tools(self, result)
  if self.step >= (self.request.max_steps or MAX_STEPS) then
    return give_up(self, { code = "steps", message = "the model still asks for tools after step " .. self.step })
  end
  self.messages[#self.messages + 1] = requests.calls_message(self.host.json, result)
  for _, call in ipairs(result.tool_calls) do
    push(self, { tool = call.name, arguments = call.arguments })
    local value = run_tool(self, call)
    self.messages[#self.messages + 1] =
      model_redact.deep(self.host.redact, requests.result_message(self.host.json, call, value))
  end
  self.step = self.step + 1
  go_on(self)
end

local function has_functions(request)
  for _, tool in pairs(request.tools or {}) do
    if tool[1] then
      return true
    end
  end
  return false
end

--- The object of a text, or nil and what is wrong with it.
local function object_of(self, text)
  local json, schema = self.host.json, self.request.schema
  local object, message = answers.object(json, text)
  if object == nil then
    return nil, "it is not JSON: " .. tostring(message)
  end
  local errors = json_schema.check(json, schema, object)
  if errors then
    return nil, table.concat(errors, "; ")
  end
  return object
end

--- Once, the model is told what is wrong.
local function repair(self, text, wrong)
  if self.repaired then
    return give_up(self, { code = "schema", message = "the answer does not fit the schema: " .. wrong })
  end
  self.repaired = true
  self.messages[#self.messages + 1] = { role = "assistant", content = text }
  self.messages[#self.messages + 1] = { role = "user", content = "That answer does not fit: " .. wrong
    .. ". Answer again, with JSON alone that fits the schema." }
  if self.given then
    push(self, { again = true })
  end
  go_on(self)
  self.said = false
end

function answered(self, attempt, result)
  local provider = provider_of(self)
  local usage, cost = attempts.done(attempt, result.usage, result.text)
  add_usage(self, usage, cost)
  local object, wrong
  if #result.tool_calls > 0 and has_functions(self.request) then
    return use_tools(self, result)
  elseif result.refusal or result.finish == "content_filter" then
    return give_up(self, { code = "refused",
      message = "the model refused: " .. (result.refusal or "its filter stopped it") })
  elseif self.request.schema and #result.tool_calls == 0 then
    object, wrong = object_of(self, result.text)
    if object == nil and result.finish == "length" then
      return give_up(self, { code = "length", message = "the answer was cut at max_tokens" })
    elseif object == nil then
      return repair(self, result.text, wrong)
    end
  end
  finish(self, { text = result.text, object = object, tool_calls = #result.tool_calls > 0 and result.tool_calls or nil,
    finish = result.finish, provider = provider.name, model = result.model or provider.model, cached = false,
    rule_based = false, reasoning = result.reasoning })
end

--- The next part: { delta }, { tool, arguments }, { again }, and last { result } or { error, code }. nil behind it.
function Session:next()
  while #self.queue == 0 and not self.over do
    if self.live then
      pull(self)
    else
      ask(self)
    end
  end
  return table.remove(self.queue, 1)
end

return M
