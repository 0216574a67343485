--- One attempt at one provider: a place in its line, the request, and the answer whole or piece by piece.
--- A failure is { code, message, retry, wait, down }: whether the provider may be asked again, when, and whether it
--- counts as not answering.
local answers = require "maru.model_answer"
local event_stream = require "maru.event_stream"
local requests = require "maru.model_request"
local retries = require "maru.model_retry"

local find, lower = string.find, string.lower

local M = {}

local DAY = 86400
local TOKENS_OUT = 1024 -- set aside where a request has no max_tokens
local ERROR_BYTES = 64 * 1024
-- Failures on the way there: the request never arrived, or its answer did not.
local RETRIED = { connect = true, dns = true, protocol = true }
local DOWN = { connect = true, dns = true, protocol = true, timeout = true, tls = true }

local function read_all(handle, most)
  local parts, size = {}, 0
  local bytes, message, code = handle:read()
  while bytes do
    size = size + #bytes
    if not most or size <= most then
      parts[#parts + 1] = bytes
    end
    bytes, message, code = handle:read()
  end
  if message then
    return nil, message, code
  end
  return table.concat(parts)
end

--- Counts what it took and gives the place back. usage nil: a guess from what was sent and came.
local function settle(attempt, ok, usage, came)
  local ticket = attempt.ticket
  attempt.ticket = nil
  if attempt.handle then
    attempt.handle:close()
    attempt.handle = nil
  end
  if not usage then
    local billed = ok or came ~= nil
    usage = { input = billed and attempt.guess or 0, cached = 0, estimated = true,
      output = billed and requests.guess_tokens(came or "") or 0 }
    usage.total = usage.input + usage.output
  end
  local cost = ticket:leave(ok, usage.input, usage.cached, usage.output, attempt.embeds)
  return usage, cost or 0
end

--- came: text of the answer so far, nil when none was made.
local function fail(attempt, failure, came)
  if attempt.ticket then
    failure.usage, failure.cost = settle(attempt, false, nil, came)
  end
  failure.message = attempt.host.raw.hide(attempt.host.redact(failure.message))
  if failure.down then
    attempt.host.raw.failed(attempt.index, failure.message)
  end
  return nil, failure
end

--- The task itself is at its end, whatever the provider does.
local function is_stopped(message, code)
  return code == "cancelled" or message == "the task's time limit has passed"
end

local function network(message, code)
  if is_stopped(message, code) then
    return { message = message, code = code, stopped = true } -- says nothing of the provider
  end
  return { message = message or "the connection ended", code = code or "protocol", retry = RETRIED[code or "protocol"],
    down = DOWN[code or "protocol"] }
end

--- The failure that a status, or an error inside an answer, stands for.
local function refused(attempt, status, headers, body, text)
  local host = attempt.host
  local failure = answers.failure(host.json, status, body, text)
  failure.retry = retries.worth(failure, headers)
  failure.wait = retries.asked_for(headers or {}, host.app.now(), host.parse_time)
  failure.down = failure.code ~= "rate" and failure.code ~= "invalid"
  return failure
end

local function decode(attempt, text)
  local body = attempt.host.json.decode(text)
  return type(body) == "table" and body or nil
end

--- Sends. Returns the attempt with its open answer, or nil, failure. options: path, body, tokens_out, timeout, silence,
--- embeds.
function M.open(host, index, options)
  local attempt = { host = host, index = index, embeds = options.embeds, guess = requests.guess_tokens(options.body) }
  local left = options.deadline - host.app.now()
  if left <= 0.001 then
    return nil, { message = "no answer within the time allowed", code = "timeout" }
  end
  local ticket, message, code = host.raw.enter(index, attempt.guess, options.tokens_out or TOKENS_OUT, options.embeds,
    math.min(left, DAY))
  if not ticket then
    return nil, { message = message, code = code, stopped = is_stopped(message, code) }
  end
  attempt.ticket = ticket
  left = options.deadline - host.app.now()
  if left <= 0.001 then
    return fail(attempt, { message = "no answer within the time allowed", code = "timeout" })
  end
  local handle, status, headers = ticket:open(options.path, options.body,
    { timeout = math.min(options.timeout or left, left), silence = options.silence })
  if not handle then
    return fail(attempt, network(status, headers), headers == "timeout" and "" or nil)
  end
  attempt.handle, attempt.headers = handle, headers
  if status >= 400 then
    local text = read_all(handle, ERROR_BYTES) or ""
    return fail(attempt, refused(attempt, status, headers, decode(attempt, text), text))
  end
  return attempt
end

--- What is in a decoded answer or chunk goes into state. Its text, or nil, failure.
function M.take(attempt, state, body, text)
  local ok, given = pcall(state.take, state, body)
  if not ok then -- a number where a list belongs, and the like
    return fail(attempt, { message = "the answer is not as the protocol has it", code = "protocol", retry = true,
      down = true }, text)
  end
  return given
end

--- The whole answer as JSON, or nil, failure.
function M.whole(attempt)
  local text, message, code = read_all(attempt.handle)
  if not text then
    return fail(attempt, network(message, code), "")
  end
  local body = decode(attempt, text)
  if not body then
    return fail(attempt, { message = "the answer is not JSON", code = "protocol", retry = true, down = true }, "")
  elseif answers.error_of(attempt.host.json, body) then
    return fail(attempt, refused(attempt, 200, attempt.headers, body, text), "")
  end
  return body
end

--- Makes the attempt a stream of chunks.
function M.stream(attempt)
  attempt.state = answers.begin(attempt.host.json)
  attempt.parser = event_stream()
  -- Some answer a request for a stream with the whole.
  attempt.plain = find(lower(attempt.headers["content-type"] or ""), "application/json", 1, true) ~= nil
end

local function came(attempt)
  return table.concat(attempt.state.parts)
end

--- The next event's data; nil at the end; nil, failure.
local function next_data(attempt)
  if attempt.plain then
    local text, message, code = read_all(attempt.handle)
    attempt.plain = nil
    if not text then
      return nil, network(message, code)
    end
    attempt.was_plain = true
    return text
  elseif attempt.was_plain then
    attempt.state.ended = true
    return nil
  end
  while true do
    local event, message = attempt.parser:next()
    if event then
      return event.data
    elseif message then
      return nil, { message = message, code = "too_large" }
    end
    local bytes, failure, code = attempt.handle:read()
    if not bytes then
      return nil, failure and network(failure, code) or nil
    end
    attempt.parser:feed(bytes)
  end
end

--- The text of the next chunk ("" when it has none); false when the answer is complete; nil, failure.
function M.chunk(attempt)
  local data, failure = next_data(attempt)
  if data == "[DONE]" then
    attempt.state.ended = true
    return false
  elseif not data then
    if attempt.state:complete() then
      return false -- whatever happened to the connection behind the last word
    end
    return fail(attempt, failure or { message = "the answer was cut before its end", code = "protocol", retry = true,
      down = true }, came(attempt))
  end
  local body = decode(attempt, data)
  if not body then
    return fail(attempt, { message = "a piece of the answer is not JSON", code = "protocol", retry = true,
      down = true }, came(attempt))
  elseif answers.error_of(attempt.host.json, body) then
    return fail(attempt, refused(attempt, 200, nil, body, data), came(attempt))
  end
  return M.take(attempt, attempt.state, body, came(attempt))
end

--- Ends a good attempt: counts it on disk. usage nil: a guess.
function M.done(attempt, usage, text)
  attempt.host.raw.answered(attempt.index)
  return settle(attempt, true, usage, text)
end

return M
