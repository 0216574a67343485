--- The rules that explain a surge, the score that finds it, and the instants the API takes.
local support = require("spec.support.app")

local plugin, inside = support.load("streampulse")
local rules, score, times = inside("rules"), inside("score"), inside("times")

local function facts(more)
  local result = {
    event = { channel_name = "달빛고양이", baseline = 1200.4, viewers = 12345, ratio = 10.28 },
    changes = {}, sudden = 0.2, fresh = false,
  }
  for key, value in pairs(more or {}) do
    result[key] = value
  end
  return result
end

local function codes(analysis)
  local list = {}
  for index, cause in ipairs(analysis.causes) do
    list[index] = cause.code
  end
  return table.concat(list, " ")
end

describe("rules", function()
  it("say so when there is no clear cause", function()
    local analysis = rules.analyse(facts())
    assert.equal("unknown", codes(analysis))
    assert.equal(0.1, analysis.confidence)
    assert.equal("rule-based", analysis.engine)
    assert.truthy(analysis.summary.ko:find("약 1,200명에서 12,345명으로 늘었습니다(10.3배)", 1, true))
    assert.truthy(analysis.summary.en:find("from about 1,200 to 12,345 viewers", 1, true))
  end)

  it("name the broadcast that a raid came from", function()
    local analysis = rules.analyse(facts({
      sudden = 0.9, ended = { channel_name = "소금빵", viewers = 9800 },
    }))
    assert.equal("raid", codes(analysis))
    assert.truthy(analysis.causes[1].ko:find("소금빵 채널(9,800명)", 1, true))
  end)

  it("put the weightiest first and add up their confidence", function()
    local analysis = rules.analyse(facts({
      sudden = 0.9, fresh = true,
      changes = {
        title = { old = "a", new = "합방" }, category = { old = "", new = "토크/잡담" },
      },
      category = { name = "토크/잡담", lives = 12, growth = 1.31 },
      platform = { lives = 300, growth = 1.2 },
    }))
    local order = "stream_start category_change category_rise title_change platform_rise "
      .. "sudden_jump"
    assert.equal(order, codes(analysis))
    assert.equal(0.95, analysis.confidence)
    assert.truthy(analysis.causes[2].en:find("none → “토크/잡담”", 1, true))
    assert.truthy(analysis.causes[3].ko:find("31%", 1, true))
  end)
end)

describe("the score", function()
  local app = support.new({ plugin = plugin })

  local function surge(values, config)
    return score.surge(values, config or app.config, app.kernels.moving_average)
  end

  it("leaves the steps of cached counts alone and sees a jump among them", function()
    local values = {}
    for index = 1, 36 do
      values[index] = 8200 + (index % 10 < 3 and 150 or 0)
    end
    for step = 0, 400, 50 do
      values[37] = 8200 + step
      assert.is_nil(surge(values))
    end
    values[37] = 13000
    local found = surge(values)
    assert.equal(13000, found.viewers)
    assert.is_true(found.ratio > 1.5 and found.zscore > 20)
  end)

  it("needs enough points, viewers and gain", function()
    assert.is_nil(surge({ 100, 100, 100, 100, 100, 900 }))
    assert.is_table(surge({ 100, 100, 100, 100, 100, 100, 900 }))
    assert.is_nil(surge({ 10, 10, 10, 10, 10, 10, 90 }))
    assert.is_nil(surge({ 70, 70, 70, 70, 70, 70, 115 }))
    assert.is_nil(surge({}))
  end)

  it("starts anew after a gap", function()
    local lines = score.lines({
      n = 4, at = { 0, 300, 9000, 9300 }, channel_id = { "a", "a", "a", "a" },
      viewers = { 1, 2, 3, 4 },
    }, 1200)
    assert.same({ a = { at = 9300, values = { 3, 4 } } }, lines)
  end)
end)

describe("instants", function()
  local app = support.new({ plugin = plugin })

  it("are seconds or ISO 8601, Korean without an offset", function()
    for text, seconds in pairs({
      ["1764147181"] = 1764147181,
      ["2025-11-26T17:53:01+09:00"] = 1764147181,
      ["2025-11-26T17:53:01 09:00"] = 1764147181, -- a plus sign that became a space
      ["2025-11-26T08:53:01Z"] = 1764147181,
      ["2025-11-26T08:53:01.250Z"] = 1764147181,
      ["2025-11-26T17:53"] = 1764147180,
    }) do
      assert.equal(seconds, times.parse(app, text))
    end
    for _, text in ipairs({ "", "now", "2025-11-26", "-5", "2025-11-26T17:53:01+9" }) do
      assert.is_nil(times.parse(app, text))
    end
  end)

  it("know when a schedule fires next", function()
    local noon = 1764126000 -- 12:00 in Korea
    assert.equal(noon + 300, times.next_run("*/5 * * * *", noon, noon))
    assert.equal(noon + 3600, times.next_run("*/7 * * * *", noon + 3590, noon))
    assert.equal(noon + 5, times.next_run("@every 5s", noon + 1, noon))
    assert.is_nil(times.next_run("0 4 * * *", noon, noon))
  end)
end)
