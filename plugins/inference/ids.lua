--- Ids of submissions: the job's number, by which the queue finds it, and a part that nobody guesses and no
--- other server's queue gives out again.
local format, match = string.format, string.match

local M = {}

--- To be made before the job is pushed, and to be among its arguments.
function M.token(app)
  return app.crypto.random(8)
end

function M.of(job, token)
  return format("%d-%s", job, token)
end

--- @return integer|nil job, string|nil token
function M.parse(id)
  local job, token = match(id, "^([1-9]%d*)%-(%x+)$")
  if not job or #job > 15 or #token ~= 16 then
    return nil
  end
  return tonumber(job), token
end

return M
