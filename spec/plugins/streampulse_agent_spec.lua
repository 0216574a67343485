--- The pure parts of StreamPulse's agent: what a claim is checked against, and JSON that is still being written.
local cjson = require("cjson")
local support = require("spec.support.app")

local _, inside = support.load("streampulse")
local claims, partial = inside("claims"), inside("partial")

local function decode(text)
  local ok, value = pcall(cjson.decode, "[" .. text .. "]")
  return ok and value[1] or nil
end

local FACTS = { event = { viewers = 2600, baseline = 1001, previous = 1200, ratio = 2.6 }, changes = {}, fresh = false,
  series = { { minutes_before = 5, viewers = 1234 } }, related = {}, category = { lives = 4, growth = 1.2 } }

local function answer(text, more)
  local one = { summary = { ko = text, en = "It rose." }, causes = { { code = "other", ko = "가", en = "a" } } }
  for key, value in pairs(more or {}) do
    one[key] = value
  end
  return one
end

describe("claims", function()
  local function wrong(one, seen)
    return table.concat(claims.check(one, FACTS, seen), "; ")
  end

  it("that stand in the data pass, rounded or not", function()
    assert.equal("", wrong(answer("1,001명에서 2,600명으로, 약 1,230명을 지나 1,599명 늘었습니다.")))
    assert.equal("", wrong(answer("160% 늘었습니다.")))
    assert.equal("", wrong(answer("7777명", {}), { { { viewers = 7777 } } }))
  end)

  it("that do not are named", function()
    assert.equal("the number 9999 is not in the data", wrong(answer("9,999명")))
    assert.equal("the number 1234567 is not in the data", wrong(answer("1,234,567명")))
    assert.equal("viewers is 2600, not 3000", wrong(answer("늘었습니다.", { claims = { { name = "viewers",
      value = 3000 } } })))
    for code, part in pairs({ title_change = "title did not", category_change = "category did not",
      raid = "no broadcast ended", stream_start = "did not start" }) do
      local said = wrong(answer("늘었습니다.", { causes = { { code = code, ko = "가", en = "a" } } }))
      assert.truthy(said:find(part, 1, true), said)
    end
    assert.equal("", wrong(answer("가", { causes = { { code = "category_rise", ko = "가", en = "a" } } })))
  end)
end)

describe("a text in JSON that is being written", function()
  it("grows by whole characters, whatever it is cut at", function()
    local whole = '{"causes": [{"ko": "no"}], "summary": {"ko": "한국\\n\\"따옴표\\" \\uc11c\\ud83c\\udf0a 끝", "en": "end"}}'
    local last = ""
    for n = 1, #whole do
      local text = partial.text(whole:sub(1, n), "summary", "ko", decode)
      if text then
        assert.equal(last, text:sub(1, #last))
        last = text
      end
    end
    assert.equal('한국\n"따옴표" 서🌊 끝', last)
    assert.equal("end", partial.text(whole, "summary", "en", decode))
    assert.is_nil(partial.text(whole, "summary", "fr", decode))
  end)
end)
