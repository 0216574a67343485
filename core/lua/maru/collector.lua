--- What a collector of an outside service needs: an answer judged by its body, pages walked
--- politely and handed over whole or not at all, one log line and one metric for a failure, and a
--- circuit breaker in the cache, so that every lane sees the same one.
---
--- A site is { name = "CHZZK", platform = "chzzk", endpoint = "GET https://…", source = "web",
--- read = function(app, cursor, number) → page | nil, reason, code }; a page is
--- { rows, skipped, next = cursor or nil }. `reason` continues the sentence that the name begins.
local M = {}

local TRANSPORT = {
  dns = "could not resolve host",
  connect = "could not connect",
  timeout = "no answer in time",
  tls = "no secure connection",
  too_large = "the answer is too large",
}

-- One unreadable item in twenty is a hole in the page; more is another format.
local TOLERANCE = 20

--- What the first byte says: "json", "html", "empty" or "other". Content types are not trusted.
function M.sniff(body)
  local first = (body or ""):match("^\239?\187?\191?%s*(.)")
  if not first then
    return "empty"
  elseif first == "{" or first == "[" then
    return "json"
  end
  return first == "<" and "html" or "other"
end

local function html_title(body)
  local title = body:match("<[Tt][Ii][Tt][Ll][Ee]>%s*(.-)%s*</") or ""
  return title ~= "" and " (" .. title:sub(1, 120) .. ")" or ""
end

--- Body text as a table. @return table|nil, string? reason, string? code
function M.decode(app, body, status)
  local kind = M.sniff(body)
  local refused = status and status >= 400
  if kind == "json" then
    local document, message = app.json.decode(body)
    if type(document) == "table" then
      return document
    elseif not refused then
      return nil, "sent broken JSON: " .. tostring(message), "json"
    end
  end
  if refused then
    local what = kind == "html" and html_title(body) or ""
    return nil, "answered HTTP " .. status .. what, "http_" .. status
  elseif kind == "html" then
    return nil, "sent an HTML page instead of JSON" .. html_title(body), "html"
  elseif kind == "empty" then
    return nil, "sent an empty answer", "empty"
  end
  return nil, "sent something that is not JSON", "not_json"
end

--- A whole number of at least 0, also from text ("3952"); nil for anything else.
function M.count(value)
  local number = (type(value) == "number" or type(value) == "string") and tonumber(value)
  if number and number >= 0 and number < 2 ^ 53 then
    return math.floor(number)
  end
end

--- Text, or nil when it is empty or something else.
function M.text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

--- An id: text or a whole number, as text.
function M.id(value)
  if type(value) == "number" and value >= 0 and value % 1 == 0 then
    return string.format("%.0f", value)
  end
  return M.text(value)
end

--- Reads every item of a list.
--- @return table[]|nil rows, integer|string skipped or reason, string? code
function M.items(list, read)
  if #list == 0 and next(list) ~= nil then
    return nil, "sent an object instead of a list", "shape"
  end
  local rows, skipped, why = {}, 0, nil
  for index = 1, #list do
    local row, problem = nil, "is not an object"
    if type(list[index]) == "table" then
      row, problem = read(list[index])
    end
    if row then
      rows[#rows + 1] = row
    else
      skipped = skipped + 1
      why = why or ("item " .. index .. " " .. problem)
    end
  end
  if skipped > math.floor(#list / TOLERANCE) then
    return nil, "sent a list that cannot be read: " .. why, "shape"
  end
  return rows, skipped
end

--- The sentence for a request that got no answer.
function M.unreachable(message, code)
  return "unreachable: " .. (TRANSPORT[code] or message or "no answer")
end

local function clock(app, at)
  return app.text.format_time(at, "+09:00"):match("T(%d%d:%d%d:%d%d)") or "later"
end

--- May a pass begin? While the breaker is open: no, and after the cool-off one probe at a time.
local function admitted(app, site)
  local open = app.cache:get("breaker:open")
  if not open then
    return true
  elseif app.now() >= open.till and app.cache:add("breaker:probe", true, "2m") then
    return true
  end
  local message = string.format("%s %s (tried %d times, next try at %s)", site.name, open.reason,
    open.failures, clock(app, math.max(open.till, app.now())))
  return nil, message, "open"
end

local function succeeded(app)
  app.cache:delete("breaker:failures")
  app.cache:delete("breaker:open")
  app.cache:delete("breaker:probe")
end

local function failed(app, site, number, reason, code)
  local failures = app.cache:incr("breaker:failures", 1)
  local open = failures >= app.config.breaker_failures
  if open then
    local till = app.now() + app.config.breaker_cooloff
    app.cache:set("breaker:open", { till = till, reason = reason, failures = failures })
    app.cache:delete("breaker:probe")
  end
  app.metrics:count("collect_errors", 1, { platform = site.platform, reason = code })
  app.log:warn(site.name .. " " .. reason, {
    platform = site.platform, endpoint = site.endpoint, reason = reason, code = code, page = number,
    failures = failures, breaker = open and "open" or "closed",
  })
  return nil, site.name .. " " .. reason, code
end

--- A page's cursor as text, to notice one that comes back.
local function mark(cursor)
  if type(cursor) ~= "table" then
    return tostring(cursor)
  end
  local parts = {}
  for key, value in pairs(cursor) do
    parts[#parts + 1] = tostring(key) .. "=" .. tostring(value)
  end
  table.sort(parts)
  return table.concat(parts, "&")
end

local function add(pass, seen, page)
  for _, row in ipairs(page.rows) do
    if not seen[row.id] then -- lists are sorted live, so a row may come again on the next page
      seen[row.id] = true
      pass.lives[#pass.lives + 1] = row
    end
  end
  pass.skipped = pass.skipped + (page.skipped or 0)
end

local function finish(app, site, pass)
  succeeded(app)
  if pass.skipped > 0 then
    app.metrics:count("collect_skipped", pass.skipped, { platform = site.platform })
  end
  pass.fetched_at = math.floor(app.now())
  return pass
end

--- Every page of a site, or nothing. (waits)
---@return table|nil pass, string? message, string? code
function M.pass(app, site)
  local go, message, code = admitted(app, site)
  if not go then
    return nil, message, code
  end
  local pass = { lives = {}, pages = 0, skipped = 0, source = site.source, truncated = false }
  local seen, marks, cursor = {}, {}, nil
  for number = 1, app.config.max_pages do
    if number > 1 and app.config.page_pause > 0 and not app.sleep(app.config.page_pause) then
      return nil, "cancelled", "cancelled"
    end
    local page, reason, why = site.read(app, cursor, number)
    if not page and why == "cancelled" then
      return nil, "cancelled", "cancelled"
    elseif not page then
      return failed(app, site, number, reason, why or "unknown")
    end
    add(pass, seen, page)
    pass.pages, cursor = number, page.next
    if #page.rows == 0 or cursor == nil or marks[mark(cursor)] then
      return finish(app, site, pass)
    end
    marks[mark(cursor)] = true
  end
  pass.truncated = true
  return finish(app, site, pass)
end

return M
