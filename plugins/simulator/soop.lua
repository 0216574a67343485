--- SOOP's wire formats: numbers as text, entities in titles, 60 a page, both lists.
local stamp = require("stamp")

local M = {}

local PAGE = 60

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

local function number(live)
  return string.format("%d", 297000000 + live.number)
end

local function title(live)
  return (live.title:gsub("[&<>]", ENTITIES))
end

local function web_item(app, words, live)
  local one, no = live.channel, number(live)
  local mobile = math.floor(live.viewers * 0.55)
  local list = app.json.array
  return {
    broad_no = no, parent_broad_no = "0", user_id = one.user_id, user_nick = one.name,
    broad_title = title(live), broad_title_translate = title(live),
    broad_thumb = "//liveimg.example/m/" .. no .. "?0", broad_start = stamp(app, live.started_at),
    broad_grade = one.adult and "19" or "0", broad_bps = "8000",
    broad_resolution = "1920x1080", visit_broad_type = "0", broad_type = "30",
    station_name = one.name .. "네", broad_memo = "",
    current_view_cnt = tostring(live.viewers - mobile), m_current_view_cnt = tostring(mobile),
    allowed_view_cnt = "100000", is_password = "N", rank = "0", broad_cate_no = live.category.no,
    total_view_cnt = tostring(live.viewers), pc_view_cnt = tostring(live.viewers - mobile),
    mobile_view_cnt = tostring(mobile), is_drops = 0, auto_hashtags = list({}),
    subscription_only = "0", subtitle_cd = "0", strm_lang_type = "ko_KR",
    category_tags = list({ live.category.name }), category_name = live.category.name,
    hash_tags = list({ words.tags[live.category.kind][1] }), lang_tags = list({ "한국어" }),
    is_subtitle = false,
  }
end

local function open_item(app, _, live)
  local one, no = live.channel, number(live)
  return {
    broad_title = title(live), visit_broad_type = "0", is_password = "0",
    broad_cate_no = live.category.no, broad_no = no, user_id = one.user_id, user_nick = one.name,
    profile_img = "//stimg.example/LOGO/" .. one.user_id .. ".jpg",
    broad_thumb = "//liveimg.example/m/" .. no .. "?0", broad_start = stamp(app, live.started_at),
    broad_grade = one.adult and "19" or "0", broad_bps = "8000",
    broad_resolution = "1920x1080", total_view_cnt = tostring(live.viewers),
  }
end

local function page(app, words, lives, number_of_page, make)
  local list = {}
  for index = (number_of_page - 1) * PAGE + 1, math.min(number_of_page * PAGE, #lives) do
    list[#list + 1] = make(app, words, lives[index])
  end
  return list
end

local function asked(text)
  return math.max(1, math.floor(tonumber(text) or 1))
end

function M.web(app, words, lives, query, now)
  local list = page(app, words, lives, asked(query.pageNo), web_item)
  return {
    total_cnt = tostring(#lives), cnt = #list, broad = app.json.array(list),
    time = math.floor(now), is_wp = app.json.array({}),
  }
end

function M.open(app, words, lives, query, now)
  local wanted = asked(query.page_no)
  local list = page(app, words, lives, wanted, open_item)
  return {
    total_cnt = #lives, page_no = wanted, page_block = PAGE, broad = app.json.array(list),
    time = math.floor(now),
  }
end

function M.categories(app, words)
  local list = {}
  for index, category in ipairs(words.categories) do
    list[index] = {
      cate_name = category.name, cate_no = category.no, child = app.json.array({}),
    }
  end
  return { broad_category = app.json.array(list) }
end

return M
