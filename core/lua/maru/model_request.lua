--- What is sent to a provider: messages, tools and the wanted form of the answer as chat completions have them.

local concat = table.concat

local M = {}

--- JSON with sorted keys: equal requests are equal text, for the cache and for cassettes.
local function canonical(json, value)
  if type(value) ~= "table" then
    return json.encode(value)
  elseif #value > 0 then
    local parts = {}
    for i, item in ipairs(value) do
      parts[i] = canonical(json, item)
    end
    return "[" .. concat(parts, ",") .. "]"
  elseif next(value) == nil then
    return json.encode(value)
  end
  local keys, parts = {}, {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = json.encode(key) .. ":" .. canonical(json, value[key])
  end
  return "{" .. concat(parts, ",") .. "}"
end
M.canonical = canonical

local function sorted_names(tools)
  local names = {}
  for name in pairs(tools) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

--- What the model is told of tools, without their functions.
function M.tools(tools)
  local list = {}
  for _, name in ipairs(sorted_names(tools or {})) do
    local tool = tools[name]
    list[#list + 1] = { type = "function", ["function"] = { name = name, description = tool.description,
      parameters = tool.parameters or { type = "object", properties = {} } } }
  end
  return #list > 0 and list or nil
end

local function wish(json, schema)
  return "Answer with JSON alone, without a word around it, that fits this JSON Schema: " .. canonical(json, schema)
end

--- The messages with what is said first: the plugin's system text, and the schema where the provider has no option
--- for it.
local function with_system(json, request, messages, output)
  local texts = {}
  if request.system then
    texts[1] = request.system
  end
  if request.schema and output ~= "json_schema" then
    texts[#texts + 1] = wish(json, request.schema)
  end
  if #texts == 0 then
    return messages
  end
  local all = { { role = "system", content = concat(texts, "\n\n") } }
  for i, message in ipairs(messages) do
    all[i + 1] = message
  end
  return all
end

local function response_format(request, output)
  if not request.schema or output == "text" then
    return nil
  elseif output == "json_object" then
    return { type = "json_object" }
  end
  return { type = "json_schema", json_schema = { name = request.schema_name or "answer", schema = request.schema,
    strict = request.strict } }
end

--- The body for one provider. messages: redacted; tokens_field: the provider's word for max_tokens.
function M.body(json, request, messages, provider, tokens_field, stream)
  local body = {
    model = request.model or provider.model,
    messages = with_system(json, request, messages, provider.output),
    temperature = request.temperature,
    tools = M.tools(request.tools),
    tool_choice = request.tools and request.tool_choice or nil,
    response_format = response_format(request, provider.output),
    stop = request.stop,
    seed = request.seed,
    [tokens_field] = request.max_tokens,
  }
  if stream then
    body.stream, body.stream_options = true, { include_usage = true }
  end
  return canonical(json, body)
end

--- An answer's calls as the message that goes before their results.
function M.calls_message(json, answer)
  local calls = {}
  for i, call in ipairs(answer.tool_calls) do
    calls[i] = { id = call.id, type = "function", ["function"] = { name = call.name,
      arguments = call.arguments_text } }
  end
  return { role = "assistant", content = answer.text ~= "" and answer.text or json.null, tool_calls = calls }
end

function M.result_message(json, call, value)
  local text = type(value) == "string" and value or canonical(json, value == nil and json.null or value)
  return { role = "tool", tool_call_id = call.id, content = text }
end

--- A third of the bytes: about right for Korean, too much for English, and too much is the safe side of a budget.
function M.guess_tokens(text)
  return math.ceil(#text / 3)
end

return M
