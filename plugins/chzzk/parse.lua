--- CHZZK's answers as rows: the web list and the Open API list differ in two places only.
local collector = require("maru.collector")

local M = {}

--- One broadcast of either list; the Open API has the channel's fields in the item itself.
local function live(app, item)
  local channel = type(item.channel) == "table" and item.channel or item
  local id, channel_id = collector.id(item.liveId), collector.id(channel.channelId)
  local viewers = collector.count(item.concurrentUserCount)
  if not id then
    return nil, "has no liveId"
  elseif not channel_id then
    return nil, "has no channelId"
  elseif not viewers then
    return nil, "has no concurrentUserCount"
  end
  local opened = collector.text(item.openDate)
  return {
    platform = "chzzk",
    id = id,
    channel_id = channel_id,
    channel_name = collector.text(channel.channelName) or channel_id,
    title = collector.text(item.liveTitle) or "",
    category = collector.text(item.liveCategoryValue) or collector.text(item.liveCategory),
    viewers = viewers,
    started_at = opened and app.text.parse_time(opened, "+09:00") or nil,
    adult = item.adult == true,
    url = "https://chzzk.naver.com/live/" .. channel_id,
  }
end

--- `page.next` as query fields: an object in the web list, a text in the Open API; all else ends.
local function cursor(page)
  local next_page = type(page) == "table" and page.next or nil
  if type(next_page) == "string" then
    return next_page ~= "" and { next = next_page } or nil
  elseif type(next_page) ~= "table" then
    return nil
  end
  local fields = {}
  for key, value in pairs(next_page) do
    fields[key] = collector.id(value)
  end
  return next(fields) and fields or nil
end

--- Success is the body's own code; the HTTP status may be 200 for an error.
local function envelope(document, status)
  local code = collector.count(document.code)
  if code == 200 and status < 400 then
    return true
  end
  local message = collector.text(document.message)
  local said = message and ": " .. message:gsub("%s*\n%s*", " ") or ""
  if status >= 400 then
    return nil, "answered HTTP " .. status .. said, "http_" .. status
  elseif code then
    return nil, "answered code " .. code .. said, "code_" .. code
  end
  return nil, "sent an answer without a code", "shape"
end

--- @return { rows: table[], skipped: integer, next: table? }|nil, string? reason, string? code
function M.page(app, body, status)
  local document, reason, code = collector.decode(app, body, status)
  if not document then
    return nil, reason, code
  end
  local ok, refusal, refusal_code = envelope(document, status or 200)
  if not ok then
    return nil, refusal, refusal_code
  end
  local content = document.content
  if type(content) ~= "table" or type(content.data) ~= "table" then
    return nil, "sent an answer without a list", "shape"
  end
  local rows, skipped, why = collector.items(content.data, function(item)
    return live(app, item)
  end)
  if not rows then
    return nil, skipped, why
  end
  return { rows = rows, skipped = skipped, next = cursor(content.page) }
end

return M
