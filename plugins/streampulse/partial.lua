--- The texts of a JSON object that is still being written. Pure.
local M = {}

--- What there is so far of the text under `key` of the object under `name`, or nil before it begins.
--- @param decode fun(text: string): any
function M.text(json, name, key, decode)
  local _, inside = json:find('"' .. name .. '"%s*:%s*{')
  local _, from = json:find('"' .. key .. '"%s*:%s*"', inside or #json + 1)
  if not from then
    return nil
  end
  local stop = from + 1
  while true do
    local at = json:find('["\\]', stop)
    if not at then
      stop = #json + 1
      break
    elseif json:sub(at, at) == '"' then
      stop = at
      break
    end
    local length = json:sub(at + 1, at + 1) == "u" and 6 or 2
    if at + length - 1 > #json then -- an escape that is cut
      stop = at
      break
    end
    stop = at + length
  end
  local text = json:sub(from + 1, stop - 1)
  local tail = text:match("[\194-\244][\128-\191]*$") -- a character that is cut
  local needs = tail and (tail:byte() >= 240 and 4 or tail:byte() >= 224 and 3 or 2)
  if tail and #tail < needs then
    text = text:sub(1, -#tail - 1)
  end
  return decode('"' .. text .. '"') or decode('"' .. text:gsub("\\u[dD][89abAB]%x%x$", "") .. '"')
end

return M
