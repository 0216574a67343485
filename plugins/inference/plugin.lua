--- Inference: a series is submitted, a queue carries it, a model computes, and the result is kept, told and shown.
local backtest = require("backtest")
local callback = require("callback")
local dashboard = require("dashboard")
local models_api = require("models_api")
local results = require("results")
local run = require("run")
local shadow = require("shadow")
local submit = require("submit")
local upkeep = require("upkeep")

local M = { name = "inference", version = "1.0.0" }

M.config = {
  max_points = { type = "integer", default = 1000000, min = 1, max = 1000000, help = "of one series" },
  callbacks = { type = "array", items = "url", default = {}, max = 50,
    help = "origins that callback_url may lead to, such as https://example.com" },
  keep_days = { type = "integer", default = 7, min = 1, help = "results are kept" },
}

M.allow = { events = { "inference_results" }, net = { "config:callbacks" }, env = { "INFERENCE_CALLBACK_SECRET" } }

M.limits = { memory = "512M", task = "2m", watchdog = "10s", tasks = 10000, sockets = 20000 }

M.queues = { inference = { weight = 4 } }

M.jobs = {
  run = { queue = "inference", retries = 3, result_ttl = "1d", timeout = "2m", batch = 64, wait = "2ms",
    run.many },
  backtest = { queue = "backtest", retries = 2, timeout = "5m", concurrency = 2, backtest.run },
  callback = { queue = "callback", retries = 8, backoff = "5s", timeout = "30s", concurrency = 16, callback.run },
}

M.cron = {
  ["* * * * *"] = { id = "bury", upkeep.bury },
  ["*/10 * * * *"] = { id = "fold", upkeep.fold },
  ["15 4 * * *"] = { id = "prune", upkeep.prune },
}

local ID = { id = { type = "string", min = 1, max = 40, help = "as submit answered it" } }
local NAME = { type = "string", pattern = "[a-z][a-z0-9_]*", max = 60 }
local VERSION = { type = "string", pattern = "[%w][%w._-]*", max = 40 }
local STATUS = { type = "enum", values = { "completed", "failed", "cancelled", "expired" }, optional = true }
local ACCEPTED = { id = "string", status = "string", model_name = "string", model_version = "string",
  status_url = "string" }
local VIEW = {
  id = "string", model_name = "string", model_version = "string",
  status = "enum(queued,running,completed,failed,cancelled,expired)", submitted_at = "datetime",
  started_at = "datetime|null", finished_at = "datetime|null", processing_ms = "number|null", points = "integer",
  metadata = "any", result = "any", error = "any", callback = "string?",
}
local VIEWS = { type = "array", items = { type = "object", fields = VIEW } }
local TIMES = { p50 = "number|null", p95 = "number|null", p99 = "number|null" }
local STATISTICS = {
  window = "integer", submitted_per_second = "number", completed_per_second = "number", completed = "integer",
  failed = "integer", cancelled = "integer", success_rate = "number", queue_depth = "integer",
  latency_ms = { type = "object", fields = TIMES }, processing_ms = { type = "object", fields = TIMES },
  failed_by = { type = "array", items = { type = "object", fields = { code = "string", count = "integer" } } },
  by_model = { type = "array", items = { type = "object", fields = { model_name = "string", completed = "integer",
    failed = "integer", cancelled = "integer", p50 = "number|null", p99 = "number|null" } } },
  per_minute = { type = "array", items = { type = "object", fields = { at = "datetime", completed = "integer",
    failed = "integer" } } },
}
local PROBLEM = "What is wrong: problem+json with field, index (of the first bad point, from 0), code"

M.routes = {
  ["POST /api/v1/inference/submit"] = {
    summary = "Submits a series to a model", max_body = "32M",
    description = "JSON { model_name, data, metadata, horizon, options, priority, deadline, callback_url }, or the "
      .. "points alone as application/x-ndjson or application/octet-stream (float32, little-endian) with the rest in "
      .. "the query. Idempotency-Key makes a repeated request safe.",
    answers = { [202] = ACCEPTED, [422] = PROBLEM },
    submit.one,
  },
  ["GET /api/v1/inference/results"] = {
    summary = "Results, newest first",
    query = { status = STATUS, model_name = "string(1,100)?", since = "string(1,40)?", ["until"] = "string(1,40)?",
      limit = { type = "integer", min = 1, max = 200, default = 50 }, cursor = "string(1,40)?" },
    answers = { [200] = { results = VIEWS, next = "string|null" } },
    results.list,
  },
  ["POST /api/v1/inference/batch"] = {
    summary = "Submits up to 1000 series", max_body = "32M", answers = { [202] = { items = { type = "array",
      items = "any" } }, [422] = PROBLEM },
    submit.batch,
  },
  ["GET /api/v1/inference/batch"] = {
    summary = "Several submissions by their ids", query = { ids = "string(1,60000)" },
    answers = { [200] = { results = { type = "array", items = "any" } } }, results.batch,
  },
  ["GET /api/v1/inference/statistics"] = {
    summary = "How many, how fast", query = { minutes = { type = "integer", min = 1, max = 120, default = 15 } },
    answers = { [200] = STATISTICS }, results.statistics,
  },
  ["POST /api/v1/inference/backtest"] = {
    summary = "Compares models on a series of one's own", max_body = "8M",
    answers = { [202] = ACCEPTED, [422] = PROBLEM }, backtest.post,
  },
  ["GET /api/v1/inference/{id}"] = {
    summary = "A submission and its result", path = ID, answers = { [200] = VIEW, [404] = "There is none" },
    results.get,
  },
  ["GET /api/v1/inference/{id}/callback"] = {
    summary = "How calling back about it goes", path = ID,
    answers = { [200] = { state = "enum(trying,delivered,failed,unknown)", attempts = "integer|null",
      error = "string|null", next_at = "datetime|null" },
      [404] = "Nobody has been called back (no_callback), or there is none" },
    callback.show,
  },
  ["DELETE /api/v1/inference/{id}"] = {
    summary = "Cancels a submission", path = ID,
    answers = { [200] = { id = "string", status = "string" }, [404] = "There is none", [409] = "It has ended" },
    submit.cancel,
  },
  ["GET /api/v1/models"] = {
    summary = "Models, their versions and what they are good for",
    answers = { [200] = { models = { type = "array", items = "any" } } }, models_api.list,
  },
  ["PUT /api/v1/models/{name}/versions/{version}"] = {
    summary = "Uploads a version", auth = "admin", max_body = "64M", path = { name = NAME, version = VERSION },
    answers = { [201] = "any", [409] = "There is such a version", [422] = PROBLEM }, models_api.upload,
  },
  ["POST /api/v1/models/{name}/current"] = {
    summary = "Chooses the version that answers", auth = "admin", path = { name = NAME },
    body = { version = "string(1,40)" }, answers = { [200] = "any", [404] = "There is no such model", [422] = PROBLEM },
    models_api.current,
  },
  ["POST /api/v1/models/{name}/shadow"] = {
    summary = "Chooses the version that is run beside it", auth = "admin", path = { name = NAME },
    body = { version = "string(1,40)|null" },
    answers = { [200] = "any", [404] = "There is no such model", [422] = PROBLEM }, models_api.shadow,
  },
  ["GET /api/v1/models/{name}/comparison"] = {
    summary = "What running two versions side by side has shown", path = { name = NAME },
    answers = { [200] = "any", [404] = "There is no such model" }, shadow.show,
  },
}

M.pages = { { path = "/inference", title = { ko = "추론", en = "Inference" }, module = "page.js" } }

M.sockets = { ["/api/v1/dashboard/ws"] = { open = dashboard.open, close = dashboard.close } }

return M
