--- Every listing and error answer of the fixtures, through the collectors: good pages give exactly
--- their rows; each bad one gives one log line, one metric and no rows.
local support = require("spec.support.app")

local FIXTURES = "../shared/fixtures/"

local function fixture(name)
  return support.read(FIXTURES .. name)
end

local function collect(name, answers, options)
  options = options or {}
  local plugin = support.load(name)
  local app = support.new({
    plugin = plugin, answers = answers, env = options.env, config = options.config,
  })
  local pass, message, code = plugin.exports.lives(app)
  return { app = app, plugin = plugin, pass = pass, message = message, code = code }
end

local CHZZK_KEYS = { CHZZK_CLIENT_ID = "id", CHZZK_CLIENT_SECRET = "secret" }
local SOOP_KEYS = { SOOP_CLIENT_ID = "id" }
local ONE_PAGE = { max_pages = 1 }
local EMPTY = { chzzk = "chzzk/web_lives_empty.json", soop = "soop/web_main_none_live.json" }

local function errors(app)
  local found = {}
  for _, count in ipairs(app.counts) do
    if count.name == "collect_errors" then
      found[#found + 1] = count
    end
  end
  return found
end

local covered = {}

describe("good pages", function()
  local CASES = {
    { "chzzk", "web_lives_p1.json", 20, 25830 },
    { "chzzk", "web_lives_p2.json", 20 },
    { "chzzk", "web_lives_last.json", 7 },
    { "chzzk", "web_lives_2025_shape.json", 3, 25830 },
    { "chzzk", "web_lives_empty.json", 0 },
    { "chzzk", "web_category_lives_p1.json", 6 },
    { "chzzk", "web_category_lives_last.json", 2 },
    { "chzzk", "open_lives_p1.json", 20, 25830, CHZZK_KEYS },
    { "chzzk", "open_lives_p2.json", 20, nil, CHZZK_KEYS },
    { "chzzk", "open_lives_last.json", 7, nil, CHZZK_KEYS },
    { "chzzk", "open_lives_last_next_empty_string.json", 2, 956, CHZZK_KEYS },
    { "chzzk", "open_lives_missing_fields.json", 2, 24783, CHZZK_KEYS },
    { "chzzk", "open_lives_empty.json", 0, nil, CHZZK_KEYS },
    { "soop", "web_main_p1.json", 60, 31788 },
    { "soop", "web_main_p2.json", 60 },
    { "soop", "web_main_last.json", 21 },
    { "soop", "web_main_none_live.json", 0 },
    { "soop", "web_main_beyond_empty.json", 0 },
    { "soop", "open_broad_p1.json", 60, 31788, SOOP_KEYS },
    { "soop", "open_broad_p2.json", 60, nil, SOOP_KEYS },
    { "soop", "open_broad_last.json", 20, nil, SOOP_KEYS },
    { "soop", "open_broad_alt_types.json", 5, 31788, SOOP_KEYS },
    { "soop", "open_broad_p1_jsonp.txt", 3, 31788, SOOP_KEYS },
    { "soop", "open_broad_beyond_empty.json", 0, nil, SOOP_KEYS },
  }
  for _, case in ipairs(CASES) do
    local platform, file, rows, first, env = unpack(case, 1, 5)
    covered[platform .. "/" .. file] = true
    it(platform .. "/" .. file .. " gives " .. rows .. " rows", function()
      local asked = 0
      local function answers(url)
        if url:find("category", 1, true) then
          return { status = 200, body = fixture("soop/open_category.json") }
        end
        asked = asked + 1
        local name = asked == 1 and platform .. "/" .. file or EMPTY[platform]
        return { status = 200, body = fixture(name) }
      end
      -- one page at most: what follows a page in the middle of a list is another case
      local run = collect(platform, answers, { env = env, config = ONE_PAGE })
      assert.is_table(run.pass, run.message)
      assert.equal(rows, #run.pass.lives)
      assert.equal(env and "open_api" or "web", run.pass.source)
      assert.same({}, errors(run.app))
      assert.same({}, support.lines(run.app, "warn"))
      if first then
        assert.equal(first, run.pass.lives[1].viewers)
      end
    end)
  end
end)

describe("a pass", function()
  local function pages(platform, names)
    local answers = {}
    for _, name in ipairs(names) do
      answers[#answers + 1] = { status = 200, body = fixture(platform .. "/" .. name) }
    end
    return answers
  end

  it("follows CHZZK's cursor, drops the repeat and ends at the null cursor", function()
    local run = collect("chzzk",
      pages("chzzk", { "web_lives_p1.json", "web_lives_p2.json", "web_lives_last.json" }))
    assert.equal(46, #run.pass.lives) -- 20 + 20 + 7, one of them twice
    assert.equal(3, run.pass.pages)
    local query = run.app.requests[2].options.query
    assert.equal("15764", query.concurrentUserCount)
    assert.equal("21336461", query.liveId)
    assert.equal(0.5, run.app.slept)
  end)

  it("follows the Open API's opaque text", function()
    local run = collect("chzzk",
      pages("chzzk", { "open_lives_p1.json", "open_lives_p2.json", "open_lives_last.json" }),
      { env = CHZZK_KEYS })
    assert.equal(46, #run.pass.lives)
    assert.equal("eyJjb25jdXJyZW50VXNlckNvdW50IjoxNTc2NCwibGl2ZUlkIjoyMTMzNjQ2MX0",
      run.app.requests[2].options.query.next)
    assert.equal("secret", run.app.requests[1].options.headers["client-secret"])
  end)

  it("stops when a cursor comes back", function()
    local run = collect("chzzk", pages("chzzk",
      { "web_lives_p1.json", "web_lives_p2.json", "web_lives_p2.json" }))
    assert.equal(3, run.pass.pages)
    assert.equal(39, #run.pass.lives)
  end)

  it("walks SOOP's pages to the announced end", function()
    local run = collect("soop",
      pages("soop", { "web_main_p1.json", "web_main_p2.json", "web_main_last.json" }))
    assert.equal(140, #run.pass.lives) -- 141 items, one of them twice
    assert.equal(3, run.pass.pages)
    assert.equal(3, run.app.requests[3].options.query.pageNo)
  end)

  it("names SOOP's categories and decodes its titles once", function()
    local answers = pages("soop", { "open_broad_alt_types.json", "open_category.json" })
    local run = collect("soop", answers, { env = SOOP_KEYS })
    assert.equal("[LCK] 같이보기 >< 응원", run.pass.lives[2].title)
    assert.equal("서든어택", run.pass.lives[2].category)
    assert.equal("토크/캠방", run.pass.lives[1].category)
  end)

  it("gives every live of the recorded CHZZK list its exact count", function()
    local path = "../shared/data/recorded/chzzk/service_v1_lives_popular_20251126.json"
    local body = support.read(path)
    local answers = { { status = 200, body = body } }
    local run = collect("chzzk", answers, { config = ONE_PAGE })
    local wire = require("cjson").decode(body).content.data
    assert.equal(20, #run.pass.lives)
    for index, item in ipairs(wire) do
      local live = run.pass.lives[index]
      assert.equal(item.concurrentUserCount, live.viewers)
      assert.equal(item.channel.channelId, live.channel_id)
      assert.equal(item.liveTitle, live.title)
    end
    -- 2025-11-26 17:53:01 in Korea
    assert.equal(1764147181, run.pass.lives[1].started_at)
  end)

  it("is never partial: a bad last page loses all of it", function()
    local answers = pages("chzzk", { "web_lives_p1.json", "malformed_truncated.txt" })
    local run = collect("chzzk", answers)
    assert.is_nil(run.pass)
    assert.equal("json", run.code)
    assert.equal(2, run.app.logs[1].value.page)
  end)

  it("does not take an empty page in the middle for the end", function()
    local body = '{"total_cnt":"2120","cnt":0,"broad":[],"time":1790530229,"is_wp":[]}'
    local run = collect("soop", {
      { status = 200, body = (fixture("soop/web_main_p1.json"):gsub('"140"', '"2120"', 1)) },
      { status = 200, body = body },
    })
    assert.is_nil(run.pass)
    assert.equal("SOOP sent an empty page 2 although it announced 2120 broadcasts", run.message)
  end)

  it("keeps a page with one unreadable item in twenty, and counts it", function()
    local text = fixture("chzzk/web_lives_last.json")
    local cjson = require("cjson")
    local page = cjson.decode(text)
    for copy = 1, 13 do
      local item = cjson.decode(text).content.data[1]
      item.liveId = 99000000 + copy
      table.insert(page.content.data, item)
    end
    page.content.data[3].channel = cjson.null
    local run = collect("chzzk", { { status = 200, body = cjson.encode(page) } })
    assert.equal(19, #run.pass.lives)
    assert.equal(1, run.pass.skipped)
  end)
end)

describe("bad answers", function()
  local CASES = {
    { "chzzk", "malformed_html_200.html", 200, "html", "서비스 점검 안내" },
    { "chzzk", "malformed_html_502.html", 502, "http_502", "502 Bad Gateway" },
    { "chzzk", "malformed_truncated.txt", 200, "json", "broken JSON" },
    { "chzzk", "malformed_wrong_types.json", 200, "shape", "item 1 has no channelId" },
    { "chzzk", "web_error_200_code_not_200.json", 200, "code_500", "잠시 후 다시" },
    { "chzzk", "web_error_429.json", 429, "http_429", "TOO_MANY_REQUESTS" },
    { "chzzk", "web_error_500.json", 500, "http_500", "요청에 실패했습니다" },
    { "chzzk", "web_error_9004.json", 500, "http_500", "해외 시청" },
    { "chzzk", "web_live_detail_404.json", 404, "http_404", "채널이 존재하지" },
    { "chzzk", "open_error_401_invalid_client.json", 401, "http_401", "INVALID_C", CHZZK_KEYS },
    { "chzzk", "open_error_401_invalid_token.json", 401, "http_401", "INVALID_TOKEN", CHZZK_KEYS },
    { "chzzk", "open_error_401_noauth.json", 401, "http_401", "클라이언트 인증", CHZZK_KEYS },
    { "chzzk", "open_error_401_unauthorized.json", 401, "http_401", "UNAUTHORIZED", CHZZK_KEYS },
    { "chzzk", "open_error_403.json", 403, "http_403", "FORBIDDEN", CHZZK_KEYS },
    { "chzzk", "open_error_404.json", 404, "http_404", "NOT_FOUND", CHZZK_KEYS },
    { "chzzk", "open_error_429.json", 429, "http_429", "TOO_MANY_REQUESTS", CHZZK_KEYS },
    { "chzzk", "open_error_500.json", 500, "http_500", "INTERNAL_SERVER_ERROR", CHZZK_KEYS },
    { "chzzk", "web_live_detail_never_streamed.json", 200, "shape", "without a list" },
    { "soop", "malformed_php_notice.txt", 200, "html", "HTML page" },
    { "soop", "malformed_truncated.txt", 200, "json", "broken JSON" },
    { "soop", "malformed_wrong_types.json", 200, "shape", "item 2 has no broad_no" },
    { "soop", "error_403.html", 403, "http_403", "could not be satisfied" },
    { "soop", "error_429.html", 429, "http_429", "Too Many Requests" },
    { "soop", "error_502.html", 502, "http_502", "Bad Gateway" },
    { "soop", "station_unknown_515.json", 515, "http_515", "HTTP 515" },
    { "soop", "search_error.json", 200, nil, "" },
    { "soop", "open_error_-1100.json", 200, "code_-1100", "필수 파라미터", SOOP_KEYS },
    { "soop", "open_error_-1104.json", 200, "code_-1104", "invalid client", SOOP_KEYS },
  }
  for _, case in ipairs(CASES) do
    local platform, file, status, code, says, env = unpack(case, 1, 6)
    covered[platform .. "/" .. file] = true
    it(platform .. "/" .. file .. " gives one log line, one metric and no rows", function()
      local answers = { { status = status, body = fixture(platform .. "/" .. file) } }
      local run = collect(platform, answers, { env = env })
      assert.is_nil(run.pass)
      assert.equal(1, #run.app.logs)
      local line = run.app.logs[1]
      assert.equal("warn", line.kind)
      assert.equal(platform, line.value.platform)
      assert.truthy(line.value.endpoint:find("GET https://", 1, true))
      assert.truthy(line.value.reason:find(says, 1, true), line.value.reason)
      assert.equal(1, #errors(run.app))
      assert.same({ platform = platform, reason = line.value.code }, errors(run.app)[1].labels)
      if code then
        assert.equal(code, run.code)
      end
    end)
  end

  it("says which platform cannot be reached and why", function()
    local run = collect("chzzk", { { message = "curl: (6) whatever", code = "dns" } })
    assert.equal("CHZZK unreachable: could not resolve host", run.message)
    assert.equal("dns", run.code)
    assert.equal(1, #run.app.logs)
    run = collect("soop", { { message = "curl: (28) whatever", code = "timeout" } })
    assert.equal("SOOP unreachable: no answer in time", run.message)
  end)
end)

describe("answers of other endpoints", function()
  local manifest = require("cjson").decode(fixture("manifest.json"))
  for name, facts in pairs(manifest) do
    local platform = name:match("^(%w+)/")
    if (platform == "chzzk" or platform == "soop") and not covered[name] then
      it("give no lives: " .. name, function()
        local body = fixture(name)
        local run = collect(platform, { { status = facts.http_status, body = body } })
        if run.pass then
          assert.truthy(name:find("empty", 1, true))
          assert.same({}, run.pass.lives)
        else
          assert.equal(1, #run.app.logs)
          assert.equal(1, #errors(run.app))
        end
      end)
    end
  end
end)

describe("the breaker", function()
  local function plugin_with(answers)
    local plugin = support.load("soop")
    return plugin, support.new({ plugin = plugin, answers = answers })
  end

  it("opens after three failed passes, asks nobody, then lets one probe through", function()
    local bad = { status = 429, body = fixture("soop/error_429.html") }
    local plugin, app = plugin_with({ bad, bad, bad, bad })
    for _ = 1, 3 do
      plugin.exports.lives(app)
    end
    assert.equal("open", app.logs[3].value.breaker)
    local _, message, code = plugin.exports.lives(app)
    assert.equal("open", code)
    assert.truthy(message:find("^SOOP answered HTTP 429 .*tried 3 times"), message)
    assert.equal(3, #app.requests)
    assert.equal(3, #app.logs)
    app.clock = app.clock + 241
    _, _, code = plugin.exports.lives(app)
    assert.equal("http_429", code) -- the probe failed: open again
    assert.equal(4, #app.requests)
    assert.equal("open", select(3, plugin.exports.lives(app)))
  end)

  it("closes when the probe succeeds", function()
    local bad = { status = 502, body = fixture("soop/error_502.html") }
    local good = { status = 200, body = fixture("soop/web_main_none_live.json") }
    local plugin, app = plugin_with({ bad, bad, bad, good, good })
    for _ = 1, 3 do
      plugin.exports.lives(app)
    end
    app.clock = app.clock + 241
    assert.is_table(plugin.exports.lives(app))
    assert.is_table(plugin.exports.lives(app))
  end)
end)
