--- Tells people what happened: rules lead from events to channels (the log, mail, Slack), keep quiet hours, put
--- what comes in a row into one message, and go on to others when nobody acknowledges.
local deliver = require("deliver")
local rules = require("rules")

local M = { name = "notify", version = "1.0.0" }

local CHANNEL = { type = "object", fields = {
  name = "string(1,40)", kind = "enum(log,mail,slack)",
  to = { type = "array", items = "string(3,320)", optional = true, help = "mail: whom" },
  webhook = { type = "integer", min = 1, optional = true, help = "slack: which of webhooks" },
} }
local STEP = { type = "object", fields = { after = "integer(1,604800)", channels = "string(1,40)[1,10]" } }
local RULE = { type = "object", fields = {
  name = "string(1,60)",
  event = { type = "string", min = 1, max = 100, help = 'topic, or "prefix.*"' },
  channels = "string(1,40)[1,10]",
  level = "enum(info,warn,error)?",
  title = { type = "string", max = 300, optional = true, help = '"{channel_name} surged": fields of the event' },
  text = { type = "string", max = 2000, optional = true, help = "one line for each event" },
  group = { type = "integer", min = 0, max = 86400, default = 0, help = "seconds whose events are one message" },
  quiet = { type = "string", optional = true, help = '"22:00-08:00": said when they are over' },
  escalate = { type = "array", max = 5, optional = true, items = STEP,
    help = "not acknowledged: next, one after another" },
} }

M.config = {
  topics = { type = "array", items = "string(1,100)", default = {}, max = 50, help = "events of app.events heard" },
  webhooks = { type = "array", items = "url", default = {}, max = 20, secret = true, help = "of Slack, by number" },
  channels = { type = "array", max = 50, default = { { name = "log", kind = "log" } }, items = CHANNEL },
  rules = { type = "array", max = 100, default = {}, help = "the first that fits is used", items = RULE },
  zone = { type = "string", default = "+09:00", pattern = "[+-]%d%d:%d%d", help = "of quiet hours" },
  keep_days = { type = "integer", default = 30, min = 1, help = "what was said is kept" },
}

M.allow = { net = { "config:webhooks" }, mail = true }

M.on = { ["config:topics"] = function(app, event)
  rules.hear(app, { event = event.topic, data = event.data })
end }

M.exports = {
  --- { event, data?, title?, text?, level? } by the rules; how many notices it went into (0 or 1).
  send = function(app, event) return rules.hear(app, event) end,
}

M.jobs = {
  say = { retries = 5, rules.say },
  escalate = { retries = 5, rules.escalate },
  -- Slack takes one message a second for each webhook.
  deliver = { retries = 8, backoff = "5s", key = "way", key_concurrency = 1, key_rate = "1/s", deliver.run },
}

M.cron = { ["20 4 * * *"] = { id = "prune", function(app)
  assert(app.store:exec("delete from deliveries where at < $1", app.now() - app.config.keep_days * 86400))
  assert(app.store:exec("delete from notices where last_at < $1 and state <> 'waiting'",
    app.now() - app.config.keep_days * 86400))
end } }

M.start = rules.check

M.routes = {
  ["GET /api/notify"] = { auth = "admin", summary = "Rules, and what was said by them",
    answers = { [200] = { rules = { type = "array", items = "any" }, zone = "string",
      notices = { type = "array", items = "any" } } },
    function(app)
      local shown = {}
      for i, rule in ipairs(app.config.rules) do
        shown[i] = rule
      end
      return 200, { rules = app.json.array(shown), zone = app.config.zone,
        notices = app.json.array(rules.newest(app, 100)) }
    end },
  ["POST /api/notify/{id}/acknowledge"] = { auth = "admin", summary = "Nobody else is told",
    path = { id = "integer(1,)" }, answers = { [200] = { id = "integer" }, [409] = "It waits for nobody" },
    function(app, req)
      local done = assert(app.store:all("update notices set state = 'acknowledged', acknowledged_at = $2 where id = $1"
        .. " and state = 'said' returning id", req.params.id, app.now()))
      if not done[1] then
        error(app.fail(409, "conflict", "there is no such notice to acknowledge"))
      end
      return 200, { id = req.params.id }
    end },
}

M.pages = { { path = "/notify", title = { ko = "알림", en = "Notifications" }, module = "page.js" } }

return M
