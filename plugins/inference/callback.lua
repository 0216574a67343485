--- Tells a client that its result is there: a POST to the address it named, signed as Standard Webhooks has it.
local must = require("must")
local record = require("record")

local M = {}

local function origin(url)
  return url:lower():match("^(https?://[^/%?#]+)")
end

--- callback_url, if it leads to where the operator lets callbacks go and can be signed.
function M.check(app, url, refuse)
  local asked = origin(url)
  if not asked or url:find("[%c%s]") then
    refuse(app, "callback_url", "url", "callback_url must be an address, http:// or https://")
  elseif asked:find("@", 1, true) then
    refuse(app, "callback_url", "url", "callback_url may not have a user")
  elseif not app.env.INFERENCE_CALLBACK_SECRET then
    refuse(app, "callback_url", "unavailable", "this server has no secret to sign callbacks with")
  end
  for _, allowed in ipairs(app.config.callbacks) do
    if origin(allowed) == asked then
      return url
    end
  end
  refuse(app, "callback_url", "forbidden", "callbacks to this address are not allowed here")
end

local function bytes_of(hex)
  return (hex:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

--- The key: what follows whsec_ is base64, anything else is taken as it is.
local function key_of(app)
  local secret = app.env.INFERENCE_CALLBACK_SECRET
  local encoded = secret:match("^whsec_(.+)$")
  return encoded and app.crypto.unbase64(encoded) or secret
end

--- @return string "v1,…" over "id.timestamp.body"
function M.sign(app, id, timestamp, body)
  local mac = app.crypto.hmac_sha256(key_of(app), ("%s.%d.%s"):format(id, timestamp, body))
  return "v1," .. app.crypto.base64(bytes_of(mac))
end

--- The job: any 2xx is an end, 410 too; everything else is tried again.
function M.run(app, job)
  local row = must(app.store:one("select body from results where id = $1", job.args.id))
  if not row then
    return { gone = true }
  end
  local timestamp = math.floor(app.now())
  local answer = must(app.http:post(job.args.url, {
    body = row.body, redirects = 0, timeout = 10, max_bytes = "64K",
    headers = {
      ["content-type"] = "application/json", ["webhook-id"] = job.args.id,
      ["webhook-timestamp"] = tostring(timestamp),
      ["webhook-signature"] = M.sign(app, job.args.id, timestamp, row.body),
    },
  }))
  if answer.status == 410 then
    error(app.discard("the address answered 410: it wants no more"))
  elseif answer.status == 429 or answer.status == 503 then
    error(app.retry(tonumber(answer.headers["retry-after"]) or 30, "the address answered " .. answer.status))
  elseif answer.status < 200 or answer.status > 299 then
    error("the address answered " .. answer.status, 0)
  end
  return { status = answer.status }
end

local STATES = { done = "delivered", dead = "failed", cancelled = "failed", expired = "failed" }

local function row_of(app, id)
  return must(app.store:one("select job from callbacks where id = $1", id))
end

--- The row of a submission about which somebody is called back; ends the request with 404 for others. (waits)
local function find(app, id)
  local row = row_of(app, id)
  if row then
    return row
  end
  local view = record.body(app, id) or record.queued(app, id)
  if not view then
    error(app.fail(404, "not_found", "there is no such submission"))
  end
  row = row_of(app, id) -- looking for it may have been what ended it
  if not row then
    local waits = type(view) == "table" and view.callback
    error(app.fail(404, "no_callback", waits and "nobody has been called back about it yet: it has not ended"
      or "nobody is called back about it: it came without callback_url"))
  end
  return row
end

--- GET /api/v1/inference/{id}/callback: how telling its client goes.
function M.show(app, req)
  local null = app.json.null
  local row = find(app, req.params.id)
  local job = must(app.jobs:get(row.job))
  if not job then
    return 200, { state = "unknown", attempts = null, error = null, next_at = null } -- the queue has forgotten it
  end
  local state = STATES[job.state] or "trying"
  local told = state ~= "delivered" and type(job.error) == "string" and job.error ~= "" and job.error or null
  return 200, { state = state, attempts = job.attempt, error = told,
    next_at = job.state == "delayed" and job.run_at or null }
end

return M
