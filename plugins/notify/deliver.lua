--- One notice to one channel. What may help is tried again by the job, what cannot is written down.
local slack = require("slack")

local M = {}

local TRANSIENT = { busy = true, io = true, timeout = true, dns = true, connect = true, protocol = true, limit = true }

local kinds = {}

function kinds.log(app, _, notice)
  app.log[notice.level == "error" and "error" or notice.level == "info" and "info" or "warn"](app.log, notice.title,
    { event = notice.event, count = notice.count, lines = notice.lines })
  return true
end

function kinds.mail(app, channel, notice)
  local sent, message, code = app.mail:send({ to = channel.to, subject = notice.title,
    text = notice.lines .. "\n\n" .. ("%s · %d"):format(notice.event, notice.count) })
  if not sent then
    return nil, message, code
  end
  local refused = sent.refused[1]
  return true, refused and ("%s: %s"):format(refused.to, refused.message) or nil
end

--- 200 "ok", or a word that says what is wrong. 429 says how long to wait.
function kinds.slack(app, channel, notice)
  local url = app.config.webhooks[channel.webhook or 1]
  if not url then
    return nil, "config.webhooks has no " .. tostring(channel.webhook or 1), "invalid"
  end
  local answer, message, code = app.http:post(url, { json = slack.message(notice), redirects = 0, timeout = 10 })
  if not answer then
    return nil, message, code
  elseif answer.status == 200 then
    return true
  elseif answer.status == 429 then
    return nil, "rate_limited", "wait", tonumber(answer.headers["retry-after"]) or 30
  end
  return nil, ("%d %s"):format(answer.status, answer.body:sub(1, 200)), answer.status >= 500 and "busy" or "refused"
end

local function record(app, delivery, state, attempt, message)
  assert(app.store:exec("update deliveries set state = $2, attempts = $3, message = $4, at = $5 where id = $1",
    delivery, state, attempt, message or "", app.now()))
end

function M.run(app, job)
  local row = assert(app.store:all("select d.id, d.channel, d.state, n.title, n.lines, n.level, n.event, n.count"
    .. " from deliveries d join notices n on n.id = d.notice where d.id = $1", job.args.delivery))[1]
  if not row or row.state ~= "waiting" then
    return
  end
  local channel
  for _, one in ipairs(app.config.channels) do
    channel = one.name == row.channel and one or channel
  end
  if not channel then
    record(app, row.id, "failed", job.attempt, "there is no such channel any more")
    return
  end
  local sent, message, code, wait = kinds[channel.kind](app, channel, row)
  if sent then
    record(app, row.id, "sent", job.attempt, message)
  elseif code == "wait" and job.attempt < job.max_attempts then
    record(app, row.id, "waiting", job.attempt, message)
    error(app.retry(wait, message))
  elseif TRANSIENT[code] and job.attempt < job.max_attempts then
    record(app, row.id, "waiting", job.attempt, message)
    error(message, 0)
  else
    record(app, row.id, "failed", job.attempt, message)
    error(app.discard(message))
  end
end

return M
