--- StreamPulse: collects the live viewers of every platform, finds surges, explains each once, and
--- shows all of it as it happens.
local agent = require("agent")
local analyse = require("analyse")
local channel_api = require("channel_api")
local collect = require("collect")
local detect = require("detect")
local events_api = require("events_api")
local explorer_api = require("explorer_api")
local live_api = require("live_api")
local shapes = require("shapes")

local M = { name = "streampulse", version = "1.1.0", requires = { "chzzk", "soop" } }

M.allow = { exports = { "chzzk.lives", "soop.lives" }, model = true }

local PLATFORM = { type = "enum", values = { "chzzk", "soop" } }

M.config = {
  platforms = { type = "array", items = "string", default = { "chzzk", "soop" } },
  collect_every = { type = "string", default = "*/5 * * * *", help = "when to collect" },
  detect_every = { type = "string", default = "*/5 * * * *", help = "when to look for surges" },
  sweep_every = { type = "string", default = "* * * * *", help = "when to look for lost analyses" },
  retry_delay = { type = "string", default = "10s", help = "before a failed pass is retried" },
  fresh_for = { type = "integer", default = 240, min = 0, help = "seconds a pass stays new" },
  simulated = { type = "boolean", default = false, help = "mark everything shown as simulated" },
  window = { type = "integer", default = 36, min = 6, max = 2000, help = "points compared with" },
  history = { type = "integer", default = 14400, min = 60, help = "seconds these may reach back" },
  max_gap = { type = "integer", default = 1200, min = 1, help = "seconds off the air at most" },
  average_window = { type = "integer", default = 12, min = 1, max = 24, help = "points averaged" },
  min_points = { type = "integer", default = 6, min = 2, help = "points that a judgement needs" },
  min_viewers = { type = "integer", default = 100, min = 1, help = "smaller ones are left out" },
  min_gain = { type = "integer", default = 50, min = 1, help = "viewers above the average" },
  min_ratio = { type = "number", default = 1.5, min = 1, help = "times the moving average" },
  min_zscore = { type = "number", default = 3.5, min = 0, help = "robust z-score, median and MAD" },
  cooldown = { type = "integer", default = 3600, min = 0, help = "seconds between events" },
  max_events = { type = "integer", default = 20, min = 1, help = "events of one pass" },
  surge_hold = { type = "integer", default = 1800, min = 1, help = "seconds a surge is marked" },
  context = { type = "integer", default = 1800, min = 1, help = "seconds an analysis looks back" },
  sweep_after = { type = "integer", default = 120, min = 1, help = "seconds an event may pend" },
  model_tokens = { type = "integer", default = 1200, min = 100, help = "of a model's answer, at most" },
  model_timeout = { type = "string", default = "90s", help = "of one analysis by models" },
  keep_days = { type = "integer", default = 90, min = 1, help = "ended broadcasts are kept" },
}

M.limits = { memory = "192M", task = "1m" }

M.series = {
  viewers = { keys = { "platform", "channel_id" }, values = { "viewers" }, retention = "90d" },
}

M.workflows = { analysis = agent.workflow }

M.jobs = {
  collect = { queue = "collect", retries = 2, timeout = "4m", collect.run },
  detect = { queue = "collect", retries = 2, timeout = "2m", detect.run },
  analyse = { queue = "analyse", retries = analyse.RETRIES, timeout = "1m", concurrency = 4,
    analyse.run },
}

local function push_collect(app)
  collect.push_all(app, "collect")
end

local function push_detect(app)
  collect.push_all(app, "detect")
end

M.cron = {
  ["config:collect_every"] = { id = "collect", push_collect },
  ["config:detect_every"] = { id = "detect", push_detect },
  ["config:sweep_every"] = { id = "sweep", analyse.sweep },
  ["10 4 * * *"] = { id = "prune", tz = "Asia/Seoul", collect.prune },
}

M.start = collect.push_stale

local LIMIT = { type = "integer", min = 1, max = 200, default = 50, help = "of one page" }
local CURSOR = { type = "string", min = 1, max = 1000, optional = true,
  help = "`next` of the page before" }
local OPTIONAL_PLATFORM = { type = "enum", values = PLATFORM.values, optional = true }
local CHANNEL = { platform = PLATFORM,
  id = { type = "string", min = 1, max = 100, help = "the platform's own" } }

M.routes = {
  ["GET /api/live"] = {
    summary = "Live broadcasts as of the last collection",
    query = {
      platform = OPTIONAL_PLATFORM,
      category = "string(1,200)?",
      q = { type = "string", max = 200, optional = true, help = "in name and title" },
      sort = { type = "enum", values = { "viewers", "delta", "started" }, default = "viewers" },
      order = { type = "enum", values = { "desc", "asc" }, default = "desc" },
      limit = LIMIT,
      cursor = CURSOR,
    },
    answers = { [200] = shapes.lives },
    live_api.list,
  },
  ["GET /api/live/summary"] = {
    summary = "Platforms, categories and totals", query = {},
    answers = { [200] = shapes.summary }, live_api.summary,
  },
  ["GET /api/live/stream"] = {
    summary = "Server-sent events: hello, live, event, analysis", query = {},
    answers = { [200] = { content = "text/event-stream", help = "Events as they happen" } },
    live_api.stream,
  },
  ["GET /api/channels/{platform}/{id}"] = {
    summary = "One channel", path = CHANNEL, query = {},
    answers = { [200] = shapes.channel, [404] = "The channel was never seen live" }, channel_api.get,
  },
  ["GET /api/channels/{platform}/{id}/series"] = {
    summary = "A channel's viewers over time",
    path = CHANNEL,
    query = {
      from = { type = "string", max = 40, optional = true, help = "seconds or ISO 8601; a day back" },
      to = { type = "string", max = 40, optional = true, help = "seconds or ISO 8601; now" },
      step = { type = "string", pattern = "[1-9]%d?%d?%d?%d?[smhd]", optional = true, example = "5m",
        help = "one point for each; without it every point" },
      agg = { type = "enum", values = { "mean", "max", "min", "last" }, default = "mean" },
    },
    answers = { [200] = shapes.series, [404] = "The channel was never seen live" },
    channel_api.series,
  },
  ["GET /api/events"] = {
    summary = "Surges, newest first",
    query = {
      status = { type = "enum", values = { "PENDING", "ANALYZED", "FAILED" }, optional = true },
      platform = OPTIONAL_PLATFORM,
      channel_id = "string(1,100)?",
      limit = LIMIT,
      cursor = CURSOR,
    },
    answers = { [200] = shapes.events },
    events_api.list,
  },
  ["GET /api/events/{id}"] = {
    summary = "One event with its analysis",
    path = { id = { type = "integer", min = 1 } },
    query = {},
    answers = { [200] = shapes.event, [404] = "There is no such event" },
    events_api.get,
  },
  ["POST /api/events/{id}/analyse"] = {
    summary = "Analyses an event again", auth = "admin", rate = "30/m",
    path = { id = { type = "integer", min = 1 } },
    answers = { [202] = { run = "integer" }, [404] = "There is no such event",
      [409] = "It is being analysed now", [503] = "The queue takes nothing" },
    analyse.again,
  },
}

for route, declaration in pairs(explorer_api.routes) do
  M.routes[route] = declaration
end

M.pages = {
  { path = "/explorer", title = { ko = "데이터 탐색", en = "Data explorer" }, module = "explorer.js" },
}

return M
