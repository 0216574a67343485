--- What the API answers, for the routes' declarations.
local M = {}

local PLATFORM = { type = "enum", values = { "chzzk", "soop" } }
local WORDS = { type = "object", fields = { ko = "string", en = "string" } }

local function with(fields, more)
  local all = {}
  for _, some in ipairs({ fields, more }) do
    for name, field in pairs(some) do
      all[name] = field
    end
  end
  return all
end

local function list_of(fields)
  return { type = "array", items = { type = "object", fields = fields } }
end

local LIVE = {
  platform = PLATFORM, channel_id = "string", channel_name = "string", title = "string",
  category = "string|null", viewers = "integer(0,)",
  delta = { type = "integer", nullable = true, help = "against the collection before" },
  moving_average = "number|null", surge = "boolean", started_at = "datetime|null",
  adult = "boolean", url = "string", sparkline = { type = "array", items = "integer(0,)",
    help = "the last counts, oldest first" },
}

local CAUSE = { code = "string", weight = "number(0,1)", ko = "string", en = "string" }

local EVENT = {
  id = "integer", platform = PLATFORM, channel_id = "string", channel_name = "string",
  title = "string", category = "string|null", detected_at = "datetime", viewers = "integer(0,)",
  baseline = "number", ratio = "number", zscore = "number",
  status = "enum(PENDING,ANALYZED,FAILED)",
  analysis = { type = "object", nullable = true, fields = {
    engine = { type = "string", help = "rule-based, or the model's name" },
    rule_based = { type = "boolean", optional = true, help = "no model said this" },
    provider = "string?", cost = "number(0,)?", currency = "string?", tokens = "integer(0,)?",
    reason = { type = "string", optional = true, help = "why the rules had to" },
    summary = WORDS, causes = list_of(CAUSE), confidence = "number(0,1)",
    analyzed_at = "datetime",
  } },
}

local NEXT = { type = "string", nullable = true, help = "the next page's cursor" }

M.lives = { as_of = "datetime|null", simulated = "boolean", total_lives = "integer",
  total_viewers = "integer", lives = list_of(LIVE), next = NEXT }

M.summary = {
  as_of = "datetime|null", simulated = "boolean", total_lives = "integer",
  total_viewers = "integer", events_today = "integer",
  categories = list_of({ category = "string", lives = "integer", viewers = "integer" }),
  platforms = list_of({
    platform = "string", lives = "integer", viewers = "integer", status = "string",
    error = "string|null", collected_at = "datetime|null", next_at = "datetime|null",
    source = "string",
  }),
}

M.channel = with(LIVE, { live = "boolean", first_seen = "datetime|null",
  last_seen = "datetime|null", peak = "integer", events = list_of(EVENT) })

M.series = {
  platform = "string", channel_id = "string",
  step = { type = "number", nullable = true, help = "seconds" },
  at = { type = "array", items = "number", help = "seconds since 1970" }, viewers = "number|null[]",
  moving_average = "number|null[]",
  surges = list_of({ event_id = "integer", at = "number", viewers = "integer" }),
}

M.events = { events = list_of(EVENT), next = NEXT }
M.event = EVENT

return M
