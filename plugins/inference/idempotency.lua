--- Idempotency-Key: the first submission with a key counts, those after it are told its id.
local must = require("must")

local M = {}

local function known(app, row, digest, refuse)
  if row.digest ~= digest then
    refuse(app, "idempotency-key", "reused", "this key came with another request before")
  end
  return app.json.decode(row.id)
end

--- push(tx) makes the submission inside the transaction that keeps the key. @return table what it answered
function M.once(app, key, req, refuse, push)
  if #key > 200 or key == "" then
    refuse(app, "idempotency-key", "too_long", "Idempotency-Key must have 1 to 200 bytes")
  end
  local digest = app.crypto.sha256(req.path .. "?" .. req.query_string .. "\n" .. req.raw_body)
  local row = must(app.store:one("select digest, id from submissions where key = $1", key))
  if row then
    return known(app, row, digest, refuse)
  end
  local answer, message, code = app.store:tx(function(tx)
    local other = must(tx:one("select digest, id from submissions where key = $1", key))
    if other then
      return { other = other }
    end
    local accepted = push(tx)
    must(tx:exec("insert into submissions (key, digest, id, at) values ($1, $2, $3, $4)", key, digest,
      app.json.encode(accepted), app.now()))
    return { accepted = accepted }
  end)
  if not answer then
    error(app.fail(503, code or "unavailable", "the submission could not be kept: " .. tostring(message)))
  end
  return answer.accepted or known(app, answer.other, digest, refuse)
end

return M
