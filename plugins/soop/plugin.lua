--- SOOP: every live broadcast of sooplive.co.kr, from the Open API when a client id is configured,
--- else from the list that its web page reads.
local collector = require("maru.collector")
local parse = require("parse")

local M = { name = "soop", version = "1.0.0" }

M.config = {
  web_base = { type = "string", default = "https://live.sooplive.co.kr", help = "web list" },
  open_base = { type = "string", default = "https://openapi.sooplive.co.kr", help = "Open API" },
  client_id = { type = "string", optional = true, secret = true, help = "or SOOP_CLIENT_ID" },
  max_pages = { type = "integer", default = 100, min = 1, help = "pages of one pass at most" },
  page_pause = { type = "number", default = 0.25, min = 0, help = "seconds between two pages" },
  timeout = { type = "string", default = "10s", help = "for one page" },
  retries = { type = "integer", default = 2, min = 0, max = 5, help = "of a page, with back-off" },
  breaker_failures = { type = "integer", default = 3, min = 1, help = "failed passes to open" },
  breaker_cooloff = { type = "integer", default = 240, min = 1, help = "seconds until a probe" },
}

M.limits = { memory = "96M", task = "3m" }

M.allow = { net = { "config:web_base", "config:open_base" }, env = { "SOOP_CLIENT_ID" } }

local HEADERS = {
  ["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (like Gecko) maru/1.0",
  accept = "*/*",
}

local function get(app, url, query)
  local answer, message, code = app.http:get(url, {
    headers = HEADERS, query = query, timeout = app.config.timeout, retries = app.config.retries,
    backoff = "1s", max_bytes = "4M",
  })
  if not answer then
    return nil, code == "cancelled" and message or collector.unreachable(message, code), code
  end
  return answer
end

--- One page with its successor's number. An empty page far from the announced end is a fault:
--- taking it for the end would end hundreds of broadcasts.
local function page(app, url, query, number)
  local answer, message, code = get(app, url, query)
  if not answer then
    return nil, message, code
  end
  local result, reason, why = parse.page(app, answer.body, answer.status)
  if not result then
    return nil, reason, why
  end
  local asked = (number - 1) * parse.PAGE_SIZE
  if number > 1 and #result.rows == 0 and asked < 0.8 * (result.total or 0) then
    local text = "sent an empty page %d although it announced %d broadcasts"
    return nil, text:format(number, result.total), "shape"
  end
  local more = not result.total or asked + parse.PAGE_SIZE < result.total
  result.next = more and number + 1 or nil
  return result
end

local function web(app)
  local url = app.config.web_base .. "/api/main_broad_list_api.php"
  return "web", url, function(_, _, number)
    return page(app, url, {
      selectType = "action", selectValue = "all", orderType = "view_cnt", pageNo = number,
      lang = "ko_KR",
    }, number)
  end
end

--- The Open API's list has category numbers only; the names are read once a day. Without them the
--- pass goes on: the viewers matter more.
local function categories(app, client_id)
  local names = app.cache:get("categories")
  if names then
    return names
  end
  local url = app.config.open_base .. "/broad/category/list"
  local answer, reason = get(app, url, { client_id = client_id, locale = "ko_KR" })
  if answer then
    names, reason = parse.categories(app, answer.body, answer.status)
  end
  if not names then
    app.log:warn("SOOP category names: " .. reason, { platform = "soop", endpoint = "GET " .. url })
  end
  app.cache:set("categories", names or {}, names and "1d" or "10m")
  return names or {}
end

local function open_api(app, client_id)
  local url = app.config.open_base .. "/broad/list"
  return "open_api", url, function(_, _, number)
    local query = { client_id = client_id, order_type = "view_cnt", page_no = number }
    return page(app, url, query, number)
  end
end

--- Every live broadcast, or nothing. (waits)
--- @return { lives, pages, source, fetched_at, truncated, skipped }|nil, string?, string?
local function lives(app)
  local client_id = app.config.client_id or app.env.SOOP_CLIENT_ID
  local choose = client_id and open_api or web
  local source, url, read = choose(app, client_id)
  local pass, message, code = collector.pass(app, {
    name = "SOOP", platform = "soop", endpoint = "GET " .. url, source = source, read = read,
  })
  if not pass then
    return nil, message, code
  end
  if source == "open_api" and #pass.lives > 0 then
    local names = categories(app, client_id)
    for _, row in ipairs(pass.lives) do
      row.category = row.category or names[row.category_no]
    end
  end
  return pass
end

M.exports = { lives = lives }

return M
