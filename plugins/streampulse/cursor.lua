--- Opaque cursors: the place after the last item shown, as text that is safe in an address.
local M = {}

local UNSAFE = { ["+"] = "-", ["/"] = "_", ["="] = "" }
local SAFE = { ["-"] = "+", _ = "/" }

function M.encode(app, place)
  return (app.crypto.base64(app.json.encode(place)):gsub("[+/=]", UNSAFE))
end

local function refuse(app)
  error(app.fail(422, "invalid", "the cursor is not one that this list gave out", {
    errors = { { field = "query.cursor", message = "is not a cursor of this list" } },
  }))
end

--- @param kinds string[]  the Lua types of the place's parts
--- @return table|nil  nil without a cursor; ends the request with 422 for a foreign one
function M.decode(app, text, kinds)
  if not text then
    return nil
  end
  local padded = text:gsub("[-_]", SAFE) .. ("="):rep(-#text % 4)
  local bytes = app.crypto.unbase64(padded)
  local place = bytes and app.json.decode(bytes)
  if type(place) ~= "table" or #place ~= #kinds then
    refuse(app)
  end
  for index, kind in ipairs(kinds) do
    if type(place[index]) ~= kind then
      refuse(app)
    end
  end
  return place
end

return M
