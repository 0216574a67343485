--- The simulated platforms, asked as the collectors ask them.
local CHZZK = "/sim/chzzk/service/v1/lives"
local SOOP = "/sim/soop/api/main_broad_list_api.php"

--- Every live of CHZZK's web list, page by page.
local function walk_chzzk()
  local lives, cursor, pages = {}, {}, 0
  repeat
    local answer = test:get(CHZZK, { query = { size = 50, sortType = "POPULAR", concurrentUserCount = cursor.viewers,
      liveId = cursor.id } })
    assert.equal(200, answer.status)
    for _, live in ipairs(answer.json.content.data) do
      lives[#lives + 1] = live
    end
    local page = answer.json.content.page
    local following = type(page) == "table" and type(page.next) == "table" and page.next or nil
    cursor = { viewers = following and following.concurrentUserCount, id = following and following.liveId }
    pages = pages + 1
  until not cursor.id or pages == 100
  return lives, pages
end

describe("the simulated CHZZK", function()
  it("gives every live once, the most watched first", function()
    local lives, pages = walk_chzzk()
    assert.is_true(#lives > 50 and pages > 1)
    local seen = {}
    for i, live in ipairs(lives) do
      assert.is_nil(seen[live.liveId])
      seen[live.liveId] = true
      assert.is_true(i == 1 or lives[i - 1].concurrentUserCount >= live.concurrentUserCount)
    end
  end)

  it("shows the same at the same time, and something else later", function()
    local before = test:get(CHZZK).json
    assert.same(before, test:get(CHZZK).json)
    test.clock:advance("10m")
    assert.are_not.same(before, test:get(CHZZK).json)
  end)

  it("asks for credentials where the Open API does", function()
    assert.equal(401, test:get("/sim/chzzk/open/v1/lives").status)
    local answer = test:get("/sim/chzzk/open/v1/lives", { headers = { ["client-id"] = "a", ["client-secret"] = "b" } })
    assert.equal(200, answer.status)
    assert.is_true(#answer.json.content.data > 0)
  end)
end)

describe("the simulated SOOP", function()
  it("gives sixty broadcasts a page, with numbers as text", function()
    local answer = test:get(SOOP, { query = { selectType = "action", orderType = "view_cnt", pageNo = 1 } })
    assert.is_nil(answer.json) -- its content type says HTML
    local page = test:app().json.decode(answer.body)
    assert.equal(60, #page.broad)
    assert.is_string(page.broad[1].total_view_cnt)
  end)

  it("names a missing client id as the Open API does", function()
    assert.equal(-1100, test:get("/sim/soop/broad/list").json.result)
  end)
end)

describe("faults", function()
  after_each(function()
    test:config({ fault_429 = 0, fault_html = 0, fault_truncated = 0 })
  end)

  it("are too many requests", function()
    test:config({ fault_429 = 1 })
    assert.equal(429, test:get(CHZZK).status)
  end)

  it("are pages for people", function()
    test:config({ fault_html = 1 })
    local answer = test:get(SOOP)
    assert.equal(200, answer.status)
    assert.truthy(answer.headers["content-type"]:find("text/html", 1, true))
    assert.truthy(answer.body:find("<title>", 1, true))
  end)

  it("are bodies that end in the middle", function()
    local whole = #test:get(CHZZK).body
    test:config({ fault_truncated = 1 })
    local answer = test:get(CHZZK)
    assert.equal(math.floor(whole * 0.6), #answer.body)
    assert.is_nil(answer.json)
  end)
end)
