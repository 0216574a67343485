--- The simulator of the demo: CHZZK and SOOP on this very server, in their own wire formats, from
--- invented channels or from recorded pages, with the faults that the real ones have.
local chance = require("chance")
local chzzk = require("chzzk")
local model = require("model")
local recorded = require("recorded")
local soop = require("soop")
local words = require("words")

local M = { name = "simulator", version = "1.0.0" }

local function rate(what)
  return { type = "number", default = 0, min = 0, max = 1, help = "part of answers: " .. what }
end

M.config = {
  seed = { type = "integer", default = 20260921, min = 0, help = "another seed, other channels" },
  speed = { type = "number", default = 1, min = 0.1, max = 1000, help = "of the clock" },
  surge_every = { type = "integer", default = 60, min = 10, help = "seconds between surges" },
  chzzk_channels = { type = "integer", default = 420, min = 0, max = 9999, help = "live or not" },
  soop_channels = { type = "integer", default = 480, min = 0, max = 9999, help = "live or not" },
  fault_429 = rate("too many requests"),
  fault_html = rate("a page for people, status 200"),
  fault_truncated = rate("a body that ends in the middle"),
  recorded_chzzk = { type = "string", optional = true, help = "files of pages, colon-separated" },
  recorded_soop = { type = "string", optional = true, help = "files of pages, colon-separated" },
}

M.allow = { fs = { "config:recorded_chzzk", "config:recorded_soop" } }

local JSON = { ["content-type"] = "application/json;charset=UTF-8" }
-- SOOP's JSON really comes so.
local HTML = { ["content-type"] = "text/html; charset=utf-8" }

local TOO_MANY = '{"code":429,"message":"TOO_MANY_REQUESTS"}'
local MAINTENANCE = '<!doctype html><html lang="ko"><head><title>서비스 점검 안내</title></head>'
  .. "<body><p>더 나은 서비스를 위해 점검 중입니다.</p></body></html>"

--- Sometimes the answer goes wrong. The draw changes ten times a second.
local function faulty(app, req, body, headers)
  local config = app.config
  local draw = chance.uniform(config.seed, math.floor(app.now() * 10), #req.query_string, 31)
  if draw < config.fault_429 then
    return 429, TOO_MANY, JSON
  end
  draw = draw - config.fault_429
  if draw < config.fault_html then
    return 200, MAINTENANCE, { ["content-type"] = "text/html;charset=UTF-8" }
  end
  draw = draw - config.fault_html
  if draw < config.fault_truncated then
    return 200, body:sub(1, math.floor(#body * 0.6)), headers
  end
  return 200, body, headers
end

local function chzzk_route(make)
  return function(app, req)
    local body
    if app.config.recorded_chzzk then
      body = recorded.chzzk(app, app.config.recorded_chzzk, req.query)
    else
      local lives = model.lives("chzzk", app.config, app.now())
      body = app.json.encode(make(app, words, lives, req.query))
    end
    return faulty(app, req, body, JSON)
  end
end

local function soop_route(make, headers)
  return function(app, req)
    local body
    if app.config.recorded_soop then
      body = recorded.soop(app, app.config.recorded_soop, req.query)
    else
      local lives = model.lives("soop", app.config, app.now())
      body = app.json.encode(make(app, words, lives, req.query, app.now()))
    end
    return faulty(app, req, body, headers)
  end
end

local open_lives = chzzk_route(chzzk.open)
local open_broads = soop_route(soop.open, JSON)

local function chzzk_open(app, req)
  if not req.headers["client-id"] or not req.headers["client-secret"] then
    return 401, '{"code":401,"message":"클라이언트 인증이 필요한 API 입니다."}', JSON
  end
  return open_lives(app, req)
end

local function soop_open(app, req)
  if not req.query.client_id then
    return 200, '{"result":-1100,"msg":"필수 파라미터가 누락되었습니다."}', JSON
  end
  return open_broads(app, req)
end

local function soop_categories(app)
  return 200, app.json.encode(soop.categories(app, words)), JSON
end

local PAGE = { [200] = { type = "any", help = "A page in the platform's own format" } }

M.routes = {
  ["GET /sim/chzzk/service/v1/lives"] = {
    summary = "CHZZK's web list, simulated", answers = PAGE, chzzk_route(chzzk.web),
  },
  ["GET /sim/chzzk/open/v1/lives"] = {
    summary = "CHZZK's Open API, simulated", answers = PAGE, chzzk_open,
  },
  ["GET /sim/soop/api/main_broad_list_api.php"] = {
    summary = "SOOP's web list, simulated", answers = PAGE, soop_route(soop.web, HTML),
  },
  ["GET /sim/soop/broad/list"] = {
    summary = "SOOP's Open API, simulated", answers = PAGE, soop_open,
  },
  ["GET /sim/soop/broad/category/list"] = {
    summary = "SOOP's categories, simulated", answers = PAGE, soop_categories,
  },
}

return M
