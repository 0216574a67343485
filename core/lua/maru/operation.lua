--- A route as an operation of OpenAPI 3.1. reload/openapi.c puts the operations of all plugins together and
--- adds the components that are named here.
local describe = require "maru.describe"
local words = require "maru.words"

local format, gsub, lower, match = string.format, string.gsub, string.lower, string.match

local PLACES = { { "path", "path" }, { "query", "query" }, { "headers", "header" } }
-- OpenAPI says these with other words than parameters.
local OTHER_WORDS = { accept = true, ["content-type"] = true, authorization = true }
local TITLES = { [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No content",
  [304] = "Not modified" }

--- "GET /api/lines/{id}" of guestbook -> "guestbook.get_api_lines_by_id"; the same twice gets a number.
local function operation_id(route, context)
  local path = gsub(gsub(route.pattern, "{([%w_]+)[.]*}", "by_%1"), "[^%w]+", "_")
  local id = context.name .. "." .. lower(route.method) .. (path == "_" and "" or gsub(path, "_$", ""))
  local count = (context.operation_ids[id] or 0) + 1
  context.operation_ids[id] = count
  return count == 1 and id or format("%s_%d", id, count)
end

local function parameter(name, place, field)
  local schema = describe.schema(field, false)
  local description, deprecated = schema.description, schema.deprecated
  schema.description, schema.deprecated = nil, nil
  return { name = name, ["in"] = place, schema = schema, description = description, deprecated = deprecated,
    required = place == "path" or not (field.optional or field.default ~= nil) }
end

local function parameters(declared)
  local list = describe.array({})
  for _, pair in ipairs(PLACES) do
    local part, place = pair[1], pair[2]
    local field = declared[part]
    for _, name in ipairs(field and words.sorted_keys(field.fields) or {}) do
      if part ~= "headers" or not OTHER_WORDS[name] then
        list[#list + 1] = parameter(name, place, field.fields[name])
      end
    end
  end
  return list
end

--- The example that the checker accepts, or nil: a pattern cannot be guessed.
local function sample(field, check)
  local value = describe.example(field)
  local fits = check(value, "", "answer")
  return fits ~= nil and value or nil
end

local function json_content(field, check)
  local media = { schema = describe.schema(field, true) }
  media.example = sample(field, check)
  return { ["application/json"] = media }
end

local function answer(status, declared)
  local out = { description = declared.help or TITLES[status] or format("Status %d", status) }
  if declared.field then
    out.content = json_content(declared.field, declared.check)
  elseif declared.content then
    out.content = { [declared.content] = {} }
  elseif status >= 400 then
    out.content = { ["application/problem+json"] = {
      schema = { ["$ref"] = "#/components/schemas/Problem" } } }
  end
  return out
end

local function responses(route, declared)
  local out = { default = { ["$ref"] = "#/components/responses/Problem" } }
  local function refers(status, name)
    out[tostring(status)] = { ["$ref"] = "#/components/responses/" .. name }
  end
  if declared.path or declared.query or declared.headers or declared.body then
    refers(422, "Invalid")
  end
  if declared.body then
    refers(400, "Malformed")
    refers(413, "TooLarge")
    refers(415, "NotJson")
  end
  if route.auth ~= "none" then
    refers(401, "Unauthorized")
  end
  if route.rate then
    refers(429, "TooMany")
  end
  local succeeds = false
  for status, item in pairs(declared.answers or {}) do
    out[tostring(status)] = answer(status, item)
    succeeds = succeeds or status < 400
  end
  if not succeeds then
    out["200"] = { description = "The answer" }
  end
  return out
end

--- route: what contract_routes.lua made of the declaration; options: the declaration itself; declared: its
--- parts as fields (path, query, headers, body) and answers.
return function(route, options, declared, context)
  local out = {
    operationId = operation_id(route, context), tags = { context.name }, summary = route.summary,
    description = options.description, deprecated = options.deprecated,
    responses = responses(route, declared),
    ["x-maru"] = { rate = options.rate, cache = options.cache, max_body = options.max_body,
      timeout = options.timeout },
  }
  local list = parameters(declared)
  out.parameters = list[1] and list or nil
  if declared.body then
    out.requestBody = { required = not declared.body_optional,
      content = json_content(declared.body, declared.check_body) }
  end
  if route.auth ~= "none" then
    out.security = { { [route.auth] = describe.array({}) } }
  end
  if not next(out["x-maru"]) then
    out["x-maru"] = nil
  end
  local rest = match(route.pattern, "{([%w_]+)%.%.%.}$")
  for _, item in ipairs(rest and list or {}) do
    if item.name == rest and item["in"] == "path" and not item.description then
      item.description = "The rest of the path; it may hold slashes"
    end
  end
  return out
end
