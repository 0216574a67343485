--- SOOP's answers as rows: the web list (JSON sent as text/html, every number a text, HTML entities
--- in titles) and the Open API's list (perhaps wrapped for a script tag).
local collector = require("maru.collector")

local M = {}

M.PAGE_SIZE = 60

local function first_tag(list)
  return type(list) == "table" and collector.text(list[1]) or nil
end

local function plain(app, value)
  local text = collector.text(value)
  return text and app.text.unescape_html(text)
end

local function live(app, item)
  local id, user = collector.id(item.broad_no), collector.text(item.user_id)
  local viewers = collector.count(item.total_view_cnt) -- PC and mobile; current_view_cnt is PC only
  if not id then
    return nil, "has no broad_no"
  elseif not user then
    return nil, "has no user_id"
  elseif not viewers then
    return nil, "has no total_view_cnt"
  end
  local started = collector.text(item.broad_start)
  local category = collector.text(item.category_name) or first_tag(item.category_tags)
  return {
    platform = "soop",
    id = id,
    channel_id = user,
    channel_name = plain(app, item.user_nick) or user,
    title = plain(app, item.broad_title) or "",
    category = plain(app, category),
    category_no = collector.id(item.broad_cate_no),
    viewers = viewers,
    started_at = started and app.text.parse_time(started:sub(1, 19), "+09:00") or nil,
    adult = collector.count(item.broad_grade) == 19,
    url = "https://play.sooplive.co.kr/" .. user .. "/" .. id,
  }
end

--- Body text as a table, out of its script wrapping, if it is not an error of the Open API
--- (all of which come as HTTP 200).
local function open(app, body, status)
  body = body or ""
  body = body:match("^%s*[%a_$][%w_$.]*%((.*)%)%s*;?%s*$") or body
  local document, reason, code = collector.decode(app, body, status)
  if not document then
    return nil, reason, code
  end
  if status and status >= 400 then
    return nil, "answered HTTP " .. status, "http_" .. status
  end
  local result = tonumber(document.result)
  if result and result <= 0 then
    local said = collector.text(document.msg)
    return nil, "answered result " .. result .. (said and ": " .. said or ""), "code_" .. result
  end
  return document
end

--- @return { rows, skipped, total: integer? }|nil, string? reason, string? code
function M.page(app, body, status)
  local document, reason, code = open(app, body, status)
  if not document then
    return nil, reason, code
  elseif type(document.broad) ~= "table" then
    return nil, "sent an answer without a list", "shape"
  end
  local rows, skipped, why = collector.items(document.broad, function(item)
    return live(app, item)
  end)
  if not rows then
    return nil, skipped, why
  end
  return { rows = rows, skipped = skipped, total = collector.count(document.total_cnt) }
end

local function add_categories(list, names)
  for _, item in ipairs(type(list) == "table" and list or {}) do
    if type(item) == "table" and collector.id(item.cate_no) then
      names[collector.id(item.cate_no)] = collector.text(item.cate_name)
      add_categories(item.child, names)
    end
  end
  return names
end

--- Category names by number. @return table<string, string>|nil, string? reason, string? code
function M.categories(app, body, status)
  local document, reason, code = open(app, body, status)
  if not document then
    return nil, reason, code
  elseif type(document.broad_category) ~= "table" then
    return nil, "sent an answer without categories", "shape"
  end
  return add_categories(document.broad_category, {})
end

return M
