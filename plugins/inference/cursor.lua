--- Opaque cursors: the place after the last item shown, as text that is safe in an address.
local M = {}

function M.encode(seq)
  return ("r%d"):format(seq)
end

--- @return integer|nil  nil without a cursor; ends the request with 422 for a foreign one
function M.decode(app, text)
  if not text then
    return nil
  end
  local digits = text:match("^r(%d+)$")
  if not digits or #digits > 15 then
    error(app.fail(422, "invalid", "the cursor is not one that this list gave out", { field = "query.cursor" }))
  end
  return tonumber(digits)
end

return M
