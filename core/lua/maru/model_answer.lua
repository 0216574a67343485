--- What providers answer, whole or in pieces, with what imitators of OpenAI do differently.

local concat, find, match, lower = table.concat, string.find, string.match, string.lower

local MOST_TOKENS = 1e9 -- of one answer; more is no count

local M = {}

local function text_or(value, otherwise)
  return type(value) == "string" and value ~= "" and value or otherwise
end

--- nil for null, so that `a and a.b` is safe.
local function given(json, value)
  if value == nil or value == json.null then
    return nil
  end
  return value
end

-- ---- errors --------------------------------------------------------------------------------------

--- The pieces of an error in any of the shapes: { error = { message, type, code } } (code a word, a number or null),
--- { error = "text" }, { message }, { detail }, { object = "error", message }. nil when there is none.
local function error_of(json, body)
  if type(body) ~= "table" then
    return nil
  end
  local inner = given(json, body.error)
  if type(inner) == "table" then
    return { message = text_or(inner.message, "no reason given"), kind = text_or(inner.type),
      code = given(json, inner.code) }
  elseif type(inner) == "string" then
    return { message = inner, code = given(json, body.code) }
  elseif body.object == "error" or body.choices == nil and body.data == nil
    and (body.message or body.detail) then
    local detail = given(json, body.message) or given(json, body.detail)
    return { message = type(detail) == "string" and detail or json.encode(detail or "no reason given"),
      kind = text_or(body.type), code = given(json, body.code) }
  end
  return nil
end
M.error_of = error_of

--- status (200 for an error inside an answer), the decoded body or nil, the text → { message, code, retry }
function M.failure(json, status, body, text)
  local inner = error_of(json, body) or { message = "status " .. status .. (text ~= "" and not find(text, "^%s*<")
    and ": " .. text:sub(1, 200) or "") }
  if status == 200 then
    local said = tonumber(inner.code)
    status = said and said >= 400 and said <= 599 and said
      or find(lower(inner.kind or ""), "invalid") and 400 or 500
  end
  local word = lower(tostring(inner.code or "") .. " " .. tostring(inner.kind or ""))
  local code = "unavailable"
  if find(word, "insufficient_quota", 1, true) then
    return { status = status, message = inner.message, code = "quota", retry = false }
  elseif status == 401 or status == 403 then
    code = "auth"
  elseif status == 429 then
    code = "rate"
  elseif status >= 400 and status < 500 and status ~= 408 and status ~= 409 then
    code = "invalid"
  end
  return { status = status, message = inner.message, code = code,
    retry = status == 408 or status == 409 or status == 429 or status >= 500 }
end

-- ---- pieces --------------------------------------------------------------------------------------

local State = {}
State.__index = State

function M.begin(json)
  return setmetatable({ json = json, parts = {}, calls = {}, order = {}, thoughts = {} }, State)
end

--- Text, or a list of parts { type = "text", text }.
local function content_text(json, content)
  content = given(json, content)
  if type(content) ~= "table" then
    return type(content) == "string" and content or ""
  end
  local parts = {}
  for _, part in ipairs(content) do
    parts[#parts + 1] = type(part) == "string" and part or text_or(part.text, "")
  end
  return concat(parts)
end

--- The call that a piece belongs to: by index; without one by its id; without both it is a whole call, or more of the
--- last.
local function call_of(self, piece)
  local key = given(self.json, piece.index) or given(self.json, piece.id)
  local named = type(piece["function"]) == "table" and text_or(piece["function"].name)
  if key == nil then
    key = named and #self.order + 1000 or self.order[#self.order] or 1000
  end
  if not self.calls[key] then
    self.calls[key] = { arguments = {} }
    self.order[#self.order + 1] = key
  end
  return self.calls[key]
end

local function take_call(self, piece)
  local json, call = self.json, call_of(self, piece)
  local fn = type(piece["function"]) == "table" and piece["function"] or {}
  call.id = call.id or text_or(given(json, piece.id))
  call.name = call.name or text_or(given(json, fn.name))
  local arguments = given(json, fn.arguments)
  if type(arguments) == "table" then -- an object where its text belongs
    arguments = json.encode(arguments)
  end
  call.arguments[#call.arguments + 1] = arguments
end

--- A delta, or a whole message. Returns its text.
local function take_message(self, message)
  local json = self.json
  local text = content_text(json, message.content)
  if text ~= "" then
    self.parts[#self.parts + 1] = text
  end
  local thought = given(json, message.reasoning_content) or given(json, message.reasoning)
  if type(thought) == "string" then
    self.thoughts[#self.thoughts + 1] = thought
  end
  self.refusal = text_or(given(json, message.refusal)) and (self.refusal or "") .. message.refusal or self.refusal
  for _, piece in ipairs(given(json, message.tool_calls) or {}) do
    take_call(self, piece)
  end
  local old = given(json, message.function_call)
  if type(old) == "table" then
    take_call(self, { index = 0, ["function"] = old })
  end
  return text
end

--- One decoded answer or chunk. Returns the text in it.
function State:take(body)
  local json = self.json
  self.usage = given(json, body.usage) or self.usage
  self.model = text_or(body.model, self.model)
  local choice = type(body.choices) == "table" and body.choices[1]
  if type(choice) ~= "table" then
    return ""
  end
  self.finish = text_or(given(json, choice.finish_reason), self.finish)
  local message = given(json, choice.delta) or given(json, choice.message)
  if type(message) == "table" then
    return take_message(self, message)
  end
  return ""
end

--- Whether anything that says that it is whole has come.
function State:complete()
  return self.finish ~= nil or self.ended
end

local FINISH = { function_call = "tool_calls", tool_use = "tool_calls", end_turn = "stop", eos = "stop",
  eos_token = "stop", stop_sequence = "stop", max_tokens = "length" }

local function finish_word(self)
  if #self.order > 0 and self.finish ~= "length" and self.finish ~= "content_filter" then
    return "tool_calls"
  end
  local word = self.finish and lower(self.finish) or "stop"
  return FINISH[word] or word
end

local function calls_of(self)
  local list = {}
  for i, key in ipairs(self.order) do
    local call = self.calls[key]
    local text = concat(call.arguments)
    local value, message = self.json.decode(find(text, "%S") and text or "{}")
    list[i] = { id = call.id or "call_" .. i, name = call.name or "", arguments_text = text, arguments = value,
      wrong = value == nil and message or nil }
  end
  return list
end

local function whole(value)
  return type(value) == "number" and value >= 0 and value <= MOST_TOKENS and math.floor(value) or nil
end

--- { input, output, total, cached }, or nil where the provider said nothing.
local function usage_of(self)
  local said = self.usage
  local input = type(said) == "table" and whole(said.prompt_tokens)
  if not input then
    return nil
  end
  local details = given(self.json, said.prompt_tokens_details)
  local output = whole(said.completion_tokens) or math.max((whole(said.total_tokens) or input) - input, 0)
  local cached = type(details) == "table" and whole(details.cached_tokens) or 0
  return { input = input, output = output, total = input + output, cached = math.min(cached, input) }
end

--- { text, tool_calls, finish, usage, model, refusal, reasoning }
function State:result()
  return { text = concat(self.parts), tool_calls = calls_of(self), finish = finish_word(self), usage = usage_of(self),
    model = self.model, refusal = self.refusal, reasoning = #self.thoughts > 0 and concat(self.thoughts) or nil }
end

-- ---- structured ----------------------------------------------------------------------------------

--- The JSON of a text that may have a fence around it, or a sentence in front.
function M.object(json, text)
  local value, message = json.decode(text)
  if value ~= nil then
    return value
  end
  local fenced = match(text, "```%w*%s*(.-)%s*```")
  local bare = fenced or match(text, "^[^{%[]*([{%[].*[}%]])[^}%]]*$")
  if bare then
    value = json.decode(bare)
  end
  return value, message
end

return M
