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

--- to: those who are left of the channel's, or nil. Also says who was put off (by a grey list), if not all were.
function kinds.mail(app, channel, notice, to)
  local sent, message, code = app.mail:send({ to = to or channel.to, subject = notice.title,
    text = notice.lines .. "\n\n" .. ("%s · %d"):format(notice.event, notice.count) })
  if not sent then
    return nil, message, code
  end
  local left, words = {}, nil
  for _, refused in ipairs(sent.refused) do
    words = words or ("%s: %s"):format(refused.to, refused.message)
    if refused.code == "busy" then
      left[#left + 1] = refused.to
    end
  end
  return true, words, left[1] and left
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

--- The others have it: only those who were put off are written to again.
local function go_on(app, job, message, left)
  assert(app.store:tx(function(tx)
    assert(tx:exec("update deliveries set attempts = $2, message = $3, at = $4 where id = $1", job.args.delivery,
      job.attempt, message, app.now()))
    assert(tx.jobs:push("deliver", { delivery = job.args.delivery, way = job.args.way, to = left, note = message },
      { delay = "5s" }))
    return true
  end))
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
  local sent, message, code, wait = kinds[channel.kind](app, channel, row, job.args.to)
  if sent and code then
    go_on(app, job, message, code)
  elseif sent then
    record(app, row.id, "sent", job.attempt, message or job.args.note)
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
