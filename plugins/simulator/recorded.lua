--- Recorded pages served as they were: a collector that asks for the next one gets the next file.
local M = {}

local files = {}

local function bodies(app, setting)
  if not files[setting] then
    local list = {}
    for path in setting:gmatch("[^:]+") do
      local body, message = app.read(path)
      if not body then
        error("recorded page " .. path .. ": " .. message, 0)
      end
      list[#list + 1] = body
    end
    files[setting] = list
  end
  return files[setting]
end

--- CHZZK: the page after the one whose cursor was sent.
function M.chzzk(app, setting, query)
  local list = bodies(app, setting)
  if not query.concurrentUserCount and not query.next then
    return list[1]
  end
  for index, body in ipairs(list) do
    local content = app.json.decode(body).content
    local cursor = type(content.page) == "table" and content.page.next
    local pair = type(cursor) == "table" and string.format("%.0f", cursor.liveId) == query.liveId
      and string.format("%.0f", cursor.concurrentUserCount) == query.concurrentUserCount
    if (pair or cursor == query.next) and list[index + 1] then
      return list[index + 1]
    end
  end
  return '{"code":200,"message":null,"content":{"size":0,"page":null,"data":[]}}'
end

--- SOOP: by page number; past the last file, the page that says there is no more.
function M.soop(app, setting, query)
  local list = bodies(app, setting)
  local body = list[tonumber(query.pageNo or query.page_no) or 1]
  return body or '{"total_cnt":"0","cnt":0,"broad":[],"time":0,"is_wp":[]}'
end

return M
