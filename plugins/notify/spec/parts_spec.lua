--- What the parts reckon by themselves.
local deliver = require("deliver")
local quiet = require("quiet")
local slack = require("slack")

describe("quiet hours", function()
  local zone = "+09:00"
  local function at(text) -- of 2026-01-05 in Seoul
    local hour, minute = text:match("(%d+):(%d+)")
    return 1767538800 + hour * 3600 + minute * 60
  end

  it("end where they say, over midnight and by day", function()
    assert.equal(at("12:00"), quiet.ends(at("12:00"), "22:00-08:00", zone))
    assert.equal(at("32:00"), quiet.ends(at("22:00"), "22:00-08:00", zone))
    assert.equal(at("8:00"), quiet.ends(at("3:30"), "22:00-08:00", zone))
    assert.equal(at("8:00"), quiet.ends(at("8:00"), "22:00-08:00", zone))
    assert.equal(at("13:00"), quiet.ends(at("12:30"), "12:00-13:00", zone))
    assert.equal(at("13:00"), quiet.ends(at("13:00"), "12:00-13:00", zone))
    assert.equal(at("12:30"), quiet.ends(at("12:30"), "12:00-13:00", "+00:00"))
    assert.equal(at("1:00"), quiet.ends(at("1:00"), "", zone))
  end)

  it("are read or refused", function()
    assert.is_nil(quiet.read("22-8"))
    assert.is_nil(quiet.read("24:00-08:00"))
    assert.is_nil(quiet.read("08:00-08:00"))
    assert.equal(-19800, quiet.zone("-05:30"))
  end)
end)

describe("a message for Slack", function()
  it("lets no text mention or link anybody", function()
    assert.equal("&lt;!channel&gt; &amp;amp; \"q\"", slack.escape("<!channel> &amp; \"q\""))
    local message = slack.message({ title = "<@U1>", lines = "<!here> & <https://x|y>", event = "a<b", count = 2 })
    assert.equal("&lt;@U1&gt;", message.blocks[1].text.text)
    assert.equal("&lt;!here&gt; &amp; &lt;https://x|y&gt;", message.blocks[2].text.text)
    assert.equal("a&lt;b · 2", message.blocks[3].elements[1].text)
    assert.falsy(message.text:find("<", 1, true))
  end)

  it("keeps the limits, and cuts neither letters nor escapes", function()
    local message = slack.message({ title = ("가"):rep(200), lines = ("&한"):rep(40000), event = "e", count = 1 })
    assert.equal(50, #message.blocks)
    assert.equal(150 * 3, #message.blocks[1].text.text)
    for i = 2, 49 do
      local _, letters = message.blocks[i].text.text:gsub("[^\128-\191]", "")
      assert.is_true(letters <= 3000)
      assert.equal("", (message.blocks[i].text.text:gsub("&amp;", ""):gsub("한", "")))
    end
    assert.truthy(message.blocks[50].elements[1].text:find("+32", 1, true), message.blocks[50].elements[1].text)
    local _, letters = message.text:gsub("[^\128-\191]", "")
    assert.is_true(letters <= 4000)
  end)
end)

describe("a delivery", function()
  it("is tried again when the database did not answer", function()
    local function away()
      return nil, "the database is away", "io"
    end
    local app = { store = { one = away, all = away } }
    assert.has_error(function()
      deliver.run(app, { args = { delivery = 1 }, attempt = 1, max_attempts = 9 })
    end, "the database is away")
  end)
end)
