--- The live board and its summary. Everything comes from the lane's copy of the boards: a page is a
--- walk over a sorted list, without a query.
local cursor = require("cursor")
local must = require("must")
local state = require("state")
local times = require("times")

local M = {}

local SORTS = {
  viewers = function(live) return live.viewers end,
  delta = function(live) return live.delta or -1e15 end,
  started = function(live) return live.started_at end,
}

local function known(row) return row and row.collected_at > 0 end

--- A live as the API shows it.
function M.view(app, board, live)
  local null = app.json.null
  return {
    platform = live.platform,
    channel_id = live.channel_id,
    channel_name = live.channel_name,
    title = live.title,
    category = live.category ~= "" and live.category or null,
    viewers = live.viewers,
    delta = live.delta or null,
    moving_average = live.moving_average or null,
    surge = state.surging(app, board, live.key),
    started_at = times.iso(app, live.started_at) or null,
    adult = live.adult,
    url = live.url,
    sparkline = live.sparkline,
  }
end

--- All lives in an order, made once a collection. Ties go by key, so that every order is total.
local function sorted(board, sort, order)
  local name = sort .. " " .. order
  local list = board.sorted[name]
  if not list then
    local value, descending = SORTS[sort], order == "desc"
    list = {}
    for index, live in ipairs(board.lives) do
      list[index] = live
    end
    table.sort(list, function(a, b)
      local x, y = value(a), value(b)
      if x ~= y then
        return (x > y) == descending
      end
      return a.key < b.key
    end)
    board.sorted[name] = list
  end
  return list
end

local function matches(live, query, needle)
  if query.platform and live.platform ~= query.platform then
    return false
  elseif query.category and live.category ~= query.category then
    return false
  elseif needle then
    live.text = live.text or (live.channel_name .. "\n" .. live.title):lower()
    return live.text:find(needle, 1, true) ~= nil
  end
  return true
end

--- Is a live behind the place that a cursor names?
local function behind(live, value, place, descending)
  local x = value(live)
  if x ~= place[3] then
    return (x < place[3]) == descending
  end
  return live.key > place[4]
end

local function pick(app, board, query)
  local value, descending = SORTS[query.sort], query.order == "desc"
  local place = cursor.decode(app, query.cursor, { "string", "string", "number", "string" })
  if place and (place[1] ~= query.sort or place[2] ~= query.order) then
    place = nil -- of another order: begin anew
  end
  local needle = query.q and query.q ~= "" and query.q:lower() or nil
  local all = not (query.platform or query.category or needle)
  local result = { lives = 0, viewers = 0, page = {}, more = false }
  for _, live in ipairs(sorted(board, query.sort, query.order)) do
    if all and result.more then
      break -- nothing is left to count
    elseif matches(live, query, needle) then
      result.lives, result.viewers = result.lives + 1, result.viewers + live.viewers
      if not place or behind(live, value, place, descending) then
        if #result.page < query.limit then
          result.page[#result.page + 1] = live
        else
          result.more = true
        end
      end
    end
  end
  if all then
    result.lives, result.viewers = #board.lives, board.viewers
  end
  return result
end

--- GET /api/live
function M.list(app, req)
  local board, query = state.load(app), req.query
  local result = pick(app, board, query)
  local last = result.page[#result.page]
  local views = {}
  for index, live in ipairs(result.page) do
    views[index] = M.view(app, board, live)
  end
  return 200, {
    as_of = times.iso(app, board.at) or app.json.null,
    simulated = app.config.simulated,
    total_lives = result.lives,
    total_viewers = result.viewers,
    lives = app.json.array(views),
    next = result.more and cursor.encode(app, {
      query.sort, query.order, SORTS[query.sort](last), last.key,
    }) or app.json.null,
  }
end

local function platform_view(app, name, row)
  local null, error_text = app.json.null, row and row.error ~= "" and row.error or nil
  local pattern = app.config.collect_every
  local next_at = times.next_run(pattern, app.now(), row and row.attempted_at or app.now())
  return {
    platform = name,
    lives = row and row.lives or 0,
    viewers = row and row.viewers or 0,
    status = row and row.status or "never",
    error = error_text or null,
    collected_at = known(row) and times.iso(app, row.collected_at) or null,
    next_at = times.iso(app, next_at) or null,
    source = row and row.source or "web",
  }
end

local function top_categories(app, board)
  local by_name, list = {}, {}
  for _, live in ipairs(board.lives) do
    if live.category ~= "" then
      local entry = by_name[live.category]
      if not entry then
        entry = { category = live.category, lives = 0, viewers = 0 }
        by_name[live.category], list[#list + 1] = entry, entry
      end
      entry.lives, entry.viewers = entry.lives + 1, entry.viewers + live.viewers
    end
  end
  table.sort(list, function(a, b)
    if a.viewers ~= b.viewers then
      return a.viewers > b.viewers
    end
    return a.category < b.category
  end)
  for index = #list, 21, -1 do
    list[index] = nil
  end
  return app.json.array(list)
end

--- GET /api/live/summary
function M.summary(app)
  local board = state.load(app)
  local platforms = {}
  for index, name in ipairs(app.config.platforms) do
    platforms[index] = platform_view(app, name, board.platforms[name])
  end
  board.categories = board.categories or top_categories(app, board)
  local today = must(app.store:one("select count(*) as n from events where detected_at >= $1",
    times.day_start(app.now())))
  return 200, {
    as_of = times.iso(app, board.at) or app.json.null,
    simulated = app.config.simulated,
    platforms = app.json.array(platforms),
    categories = board.categories,
    total_lives = #board.lives,
    total_viewers = board.viewers,
    events_today = today.n,
  }
end

--- GET /api/live/stream: what happens, as it happens, until the watcher goes.
function M.stream(app)
  return app.sse(function(stream)
    local updates = must(app.channels:subscribe(state.TOPIC)) -- first: nothing is missed
    local board = state.load(app)
    local going = stream:send("hello", {
      as_of = times.iso(app, board.at) or app.json.null, simulated = app.config.simulated,
    })
    while going do
      local message, _, code = updates:receive(30)
      if message then
        going = stream:send(message.event, message.data)
      else
        going = code == "timeout"
      end
    end
  end)
end

return M
