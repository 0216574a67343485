--- CHZZK: every live broadcast of chzzk.naver.com, from the Open API when keys are configured, else
--- from the list that its web page reads.
local collector = require("maru.collector")
local parse = require("parse")

local M = { name = "chzzk", version = "1.0.0" }

M.config = {
  web_base = { type = "string", default = "https://api.chzzk.naver.com", help = "web list" },
  open_base = { type = "string", default = "https://openapi.chzzk.naver.com", help = "Open API" },
  client_id = { type = "string", optional = true, help = "Open API client, or CHZZK_CLIENT_ID" },
  client_secret = { type = "string", optional = true, secret = true, help = "its secret" },
  web_page_size = { type = "integer", default = 50, min = 1, max = 50, help = "lives a page" },
  max_pages = { type = "integer", default = 400, min = 1, help = "pages of one pass at most" },
  page_pause = { type = "number", default = 0.25, min = 0, help = "seconds between two pages" },
  timeout = { type = "string", default = "10s", help = "for one page" },
  retries = { type = "integer", default = 2, min = 0, max = 5, help = "of a page, with back-off" },
  breaker_failures = { type = "integer", default = 3, min = 1, help = "failed passes to open" },
  breaker_cooloff = { type = "integer", default = 240, min = 1, help = "seconds until a probe" },
}

M.limits = { memory = "96M", task = "3m" }

M.allow = {
  net = { "config:web_base", "config:open_base" },
  env = { "CHZZK_CLIENT_ID", "CHZZK_CLIENT_SECRET" },
}

-- What the web page itself sends; without a User-Agent the connection was seen to be reset.
local WEB_HEADERS = {
  ["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (like Gecko) maru/1.0",
  accept = "application/json, text/plain, */*",
  origin = "https://chzzk.naver.com",
  referer = "https://chzzk.naver.com/",
}

local function fetch(app, url, headers, query)
  local answer, message, code = app.http:get(url, {
    headers = headers, query = query, timeout = app.config.timeout, retries = app.config.retries,
    backoff = "1s", max_bytes = "4M",
  })
  if not answer then
    return nil, code == "cancelled" and message or collector.unreachable(message, code), code
  end
  return parse.page(app, answer.body, answer.status)
end

local function with(query, cursor)
  for key, value in pairs(cursor or {}) do
    query[key] = value
  end
  return query
end

local function web(app)
  local url = app.config.web_base .. "/service/v1/lives"
  return "web", url, function(_, cursor)
    local query = { size = app.config.web_page_size, sortType = "POPULAR" }
    return fetch(app, url, WEB_HEADERS, with(query, cursor))
  end
end

local function open_api(app, id, secret)
  local url = app.config.open_base .. "/open/v1/lives"
  local headers = {
    ["client-id"] = id, ["client-secret"] = secret, ["content-type"] = "application/json",
  }
  return "open_api", url, function(_, cursor)
    return fetch(app, url, headers, with({ size = 20 }, cursor)) -- 20 is its largest page
  end
end

--- Every live broadcast, or nothing. (waits)
--- @return { lives, pages, source, fetched_at, truncated, skipped }|nil, string?, string?
local function lives(app)
  local id = app.config.client_id or app.env.CHZZK_CLIENT_ID
  local secret = app.config.client_secret or app.env.CHZZK_CLIENT_SECRET
  local choose = id and secret and open_api or web
  local source, url, read = choose(app, id, secret)
  return collector.pass(app, {
    name = "CHZZK", platform = "chzzk", endpoint = "GET " .. url, source = source, read = read,
  })
end

M.exports = { lives = lives }

return M
