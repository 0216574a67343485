--- What a client submits, as JSON, as lines of numbers or as bytes: checked, with the first thing that is wrong.
local average = require("average")
local callback = require("callback")
local models = require("models")
local series = require("series")

local M = {}

local FIELDS = { model_name = true, data = true, metadata = true, horizon = true, options = true, priority = true,
  deadline = true, callback_url = true }
local PRIORITIES = { high = true, normal = true, low = true }
local NDJSON = { ["application/x-ndjson"] = true, ["application/ndjson"] = true, ["application/jsonl"] = true }
local METADATA_BYTES = 16384
local POINTS = { floats = "data" }

--- Ends the request with 422. index: of the point, from 0.
local function refuse(app, field, code, message, index)
  error(app.fail(422, code, message, { field = field, index = index or app.json.null, message = message }))
end
M.refuse = refuse

local function whole(app, field, value, least, most)
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    refuse(app, field, "range", ("%s must be a whole number from %d to %d"):format(field, least, most))
  end
  return value
end

local function text_of(app, field, value, most)
  if type(value) ~= "string" or value == "" or #value > most then
    refuse(app, field, "type", ("%s must be text of 1 to %d bytes"):format(field, most))
  end
  return value
end

--- An empty array passes: some languages write an empty object so.
local function is_object(value)
  return type(value) == "table" and value[1] == nil
end

local function object_of(app, field, value)
  if not is_object(value) then
    refuse(app, field, "type", field .. " must be an object")
  end
  return value
end

--- What a client wants back, or nil.
function M.metadata(app, value)
  if value == nil or value == app.json.null then
    return nil
  elseif #app.json.encode(object_of(app, "metadata", value)) > METADATA_BYTES then
    refuse(app, "metadata", "too_long", "metadata has more than 16 KiB")
  end
  return value
end

--- A body that is an object of these fields; what: its name in the sentence that refuses another.
function M.fields(app, body, known, what)
  if not is_object(body) then
    refuse(app, "", "type", what .. " is an object")
  end
  for name in pairs(body) do
    if not known[name] then
      local told = #name <= 100 and name or name:sub(1, 100):gsub("[\192-\255][\128-\191]*$", "") -- whole characters
      refuse(app, told, "unknown", "there is no such field")
    end
  end
end

--- "30s", "5m" as seconds.
local function deadline_of(app, value)
  local number, unit = text_of(app, "deadline", value, 20):match("^(%d+%.?%d*)(m?[smhd])$")
  local factor = ({ ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 })[unit]
  local seconds = factor and tonumber(number) * factor
  if not seconds or seconds <= 0 or seconds > 604800 then
    refuse(app, "deadline", "range", 'deadline must be a duration such as "30s", at most "7d"')
  end
  return seconds
end

--- options of moving_average.
local function window_of(app, options)
  if options == nil then
    return nil
  end
  for name, value in pairs(object_of(app, "options", options)) do
    if name ~= "window" then
      refuse(app, "options." .. tostring(name), "unknown", "there is no such option of this model")
    end
    whole(app, "options.window", value, 1, average.LONGEST)
  end
  return options.window
end

--- Everything but the points. @return table plan, table model
local function plan_of(app, body)
  local null = app.json.null
  for name, value in pairs(body) do
    if value == null and name ~= "data" then
      body[name] = nil
    end
  end
  local model = models.find(app, text_of(app, "model_name", body.model_name, 100))
  if not model then
    refuse(app, "model_name", "unknown_model", "there is no such model; GET /api/v1/models lists them")
  end
  local plan = { m = model.name, v = model.current, t = app.now() }
  if model.name == average.NAME then
    plan.w = window_of(app, body.options)
  elseif body.options ~= nil and next(object_of(app, "options", body.options)) ~= nil then
    refuse(app, "options." .. tostring(next(body.options)), "unknown", "there is no such option of this model")
  end
  plan.h = body.horizon == nil and model.default or whole(app, "horizon", body.horizon, 1, model.longest)
  plan.x = M.metadata(app, body.metadata)
  return plan, model
end

--- What the queue is told beside the arguments, or nil.
local function options_of(app, body, plan)
  local priority = body.priority
  if priority ~= nil and not PRIORITIES[priority] then
    refuse(app, "priority", "enum", "priority must be high, normal or low")
  elseif body.deadline ~= nil then
    plan.e = plan.t + deadline_of(app, body.deadline) -- not the queue's: what expires is counted and told, too
  end
  if body.callback_url ~= nil then
    plan.c = callback.check(app, text_of(app, "callback_url", body.callback_url, 2000), refuse)
  end
  return priority and { priority = priority } or nil
end

--- Checks the points against the model, too.
local function take_points(app, plan, model, data)
  local n, wrong = series.check(app, data, app.config.max_points)
  if wrong then
    refuse(app, "data", wrong.code, wrong.message, wrong.index)
  end
  if n < model.min_points then
    refuse(app, "data", "too_short", ("%s needs at least %d points, got %d"):format(model.name, model.min_points, n), n)
  end
  plan.n = n
  series.keep(app, plan, data)
end

--- A submission as JSON has it. @return table { args, options }
function M.of_table(app, body)
  M.fields(app, body, FIELDS, "a submission")
  local plan, model = plan_of(app, body)
  local options = options_of(app, body, plan)
  take_points(app, plan, model, body.data)
  return { args = plan, options = options }
end

--- The body as JSON; 422 says which point is none when that is what is wrong. options: of app.json.decode.
local function read_text(app, req, options)
  local text = req.raw_body
  local body, message = app.json.decode(text, options)
  if body == nil then
    local wrong = series.find_bad(text)
    if wrong then
      refuse(app, "data", wrong.code, wrong.message, wrong.index)
    end
    refuse(app, "", "json", text == "" and "the body is empty; JSON was expected"
      or "the body is not JSON: " .. message)
  end
  return body
end

--- Fields of the query for bodies that are points alone.
local function of_query(app, req)
  local body = {}
  for name, value in pairs(req.query) do
    if name == "data" or name == "metadata" or name == "options" then
      refuse(app, "query." .. name, "unknown", "there is no such field")
    end
    body[name] = name == "horizon" and (tonumber(value) or value) or value
  end
  if body.window ~= nil then
    body.options, body.window = { window = tonumber(body.window) or body.window }, nil
  end
  return body
end

local function content_of(req)
  return (req.headers["content-type"] or ""):match("^%s*([^;%s]*)"):lower()
end

--- @return table { args, options }; ends the request with 422
function M.read(app, req)
  local content = content_of(req)
  if content == "application/json" then
    return M.of_table(app, read_text(app, req, POINTS))
  elseif content == "application/octet-stream" or NDJSON[content] then
    local body = of_query(app, req)
    body.data = series.parse(app, req.raw_body, content == "application/octet-stream", refuse)
    return M.of_table(app, body)
  end
  refuse(app, "content-type", "content_type",
    "the body must be application/json, application/x-ndjson or application/octet-stream")
end

--- Content that only JSON may be; points: where they are, of app.json.decode.
function M.read_json(app, req, points)
  if content_of(req) ~= "application/json" then
    refuse(app, "content-type", "content_type", "the body must be application/json")
  end
  return read_text(app, req, points or POINTS)
end

return M
