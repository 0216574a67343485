--- What every driver of app.search has to do, through the real program.
---
--- A driver is a line of DRIVERS (spec/support/contract.lua). What `differs` names is no case: no two drivers need to
--- agree in it, and the run shows it.
local cjson = require("cjson")
local contract = require("spec.support.contract")
local elastic = require("spec.support.elastic")
local server = require("spec.support.server")

local PLUGIN = [==[
local M = { name = "shop", version = "1.0.0" }
M.search = { reviews = { text = { "title", "body" }, keyword = { "store", "platform" }, number = { "stars" },
  time = { "at" }, boolean = { "reply" } } }
local function answer(app, value, message, code)
  return 200, { value = value == nil and app.json.null or value, message = message, code = code }
end
local METHODS = { index = true, find = true, delete = true, count = true }
M.routes = {
  ["POST /call/{method}"] = function(app, req)
    local method, args = req.params.method, req:json().args
    if not METHODS[method] then return 404, "no" end
    for i = 1, 3 do if args[i] == app.json.null then args[i] = nil end end
    local ok, value, message, code = pcall(app.search[method], app.search, args[1], args[2], args[3])
    if not ok then return 200, { raised = tostring(value) } end
    return answer(app, value, message, code)
  end,
}
return M
]==]

-- Another plugin with an index of the same name.
local OTHER = (PLUGIN:gsub('"shop"', '"other"'):gsub("POST /call", "POST /other"))

local DOCS = {
  { id = "r1", title = "서울 맛집", body = "강남역 근처에서 먹은 김치찌개가 정말 맛있었다. 또 가고 싶은 맛집이에요.",
    store = "gangnam", platform = "naver", stars = 5, at = 1000.25, reply = true },
  { id = "r2", title = "별로였어요", body = "음식이 식어서 나왔고 사장님이 불친절했습니다.", store = "gangnam",
    platform = "kakao", stars = 1, at = 2000, reply = false },
  { id = "r3", title = "Great coffee", body = "The Americano was great; great service, 카페에서 공부하기 좋아요!",
    store = "hongdae", platform = "google", stars = 4, at = 3000 },
  { id = "r4", title = "LG전자 옆 카페", body = "Wi-Fi 빠르고 콘센트 많음. ＷＩＦＩ 최고. café au lait", store = "hongdae",
    platform = "naver", stars = 4, at = 4000, reply = false },
  { id = "r5", title = "맛있는 집", body = "집밥 같은 밥맛. 김치가 시원하다 <b>굵게</b> & 꺾쇠", store = "sinchon",
    platform = "naver", stars = 3 },
}

local DRIVERS = {
  {
    name = "fts",
    settings = { "search.driver=fts" },
    differs = {},
  },
  {
    name = "elasticsearch",
    open = function()
      local standin = elastic.start()
      return { settings = { "search.driver=elasticsearch", "search.url=" .. standin.url }, close = function()
        assert.equal("", standin:errors())
        standin:stop()
      end }
    end,
    differs = {
      visible = "without visible = true find sees a document up to a second later: Elasticsearch refreshes so often",
      scores = "both rank by BM25, but over other statistics: what fits equally well may change places",
      delete = "by an id while it is away answers how many were asked for, by a filter is refused until it is back",
      documents = "one that Elasticsearch refuses does not hold back the others of its call",
      ["a character in a phrase"] = "is found alone, but not as a part of a pair",
      ["a beginning behind other words"] = "stands for the first 200 words that begin so",
    },
  },
}

for _, driver in ipairs(DRIVERS) do
  describe("app.search on " .. driver.name, function()
    local stage = contract.stage(driver,
      { plugins = { shop = { ["plugin.lua"] = PLUGIN }, other = { ["plugin.lua"] = OTHER } } })
    local maru

    local function call(method, ...)
      local args = { ... }
      for i = 1, 3 do
        args[i] = args[i] == nil and cjson.null or args[i]
      end
      local got = maru:post("/call/" .. method, { args = args })
      assert.equal(200, got.status, got.body)
      return got.json
    end

    --- The answer's value, which there must be.
    local function ask(method, ...)
      local got = call(method, ...)
      assert.falsy(got.raised, got.raised)
      assert.falsy(got.message, got.message)
      return got.value
    end

    local function ids(found)
      local list = {}
      for i, hit in ipairs(found.hits) do
        list[i] = hit.id
      end
      return table.concat(list, " ")
    end

    --- Ids of what a query finds, in the order of the ids.
    local function found(query, options)
      options = options or {}
      local list = {}
      local answer = ask("find", "reviews", query, options)
      for i, hit in ipairs(answer.hits) do
        list[i] = hit.id
      end
      assert.equal(answer.total, #list)
      table.sort(list)
      return table.concat(list, " ")
    end

    setup(function()
      maru = stage:node()
      for key, why in pairs(driver.differs) do
        print(("# %s differs in %s: %s"):format(driver.name, key, why))
      end
      assert.equal(5, ask("index", "reviews", DOCS, { visible = true }))
    end)

    it("finds Korean words inside of words, whatever stands behind them", function()
      assert.equal("r1", found("강남역"))
      assert.equal("r1", found("맛집"))
      assert.equal("r1 r5", found("김치"))
      assert.equal("r3 r4", found("카페"))
      assert.equal("r4", found("전자"))
      assert.equal("", found("강북역"))
    end)

    it("finds a single character", function()
      assert.equal("r1 r5", found("집"))
      assert.equal("r5", found("밥"))
    end)

    it("finds Latin words whole, in any case, width and accent", function()
      assert.equal("r3", found("GREAT"))
      assert.equal("", found("gre"))
      assert.equal("r4", found("ｗｉｆｉ"))
      assert.equal("r4", found("cafe"))
      assert.equal("r4", found("LG전자"))
    end)

    it("knows words, phrases, beginnings, not, or, fields and groups", function()
      assert.equal("r1", found("맛집 김치찌개"))
      assert.equal("", found("맛집 카페"))
      assert.equal("r1 r3 r4", found("맛집 OR 카페"))
      assert.equal("r3", found('"great service"'))
      assert.equal("", found('"service great"'))
      assert.equal("r3", found("ameri*"))
      assert.equal("r3", found("카페 -title:카페"))
      assert.equal("r4", found("title:카페"))
      assert.equal("r5", found('title:"맛있는 집"'))
      assert.equal("r1 r4", found("(강남역 OR 콘센트) -불친절"))
      assert.equal("r1 r5", found("김치 -(카페 OR great)"))
      assert.equal("r1", found("맛집 !!! -"))
    end)

    it("finds everything for a blank query, in a stable order", function()
      assert.equal("r1 r2 r3 r4 r5", found(""))
      assert.equal("r1 r2 r3 r4 r5", found(nil))
      assert.equal("r1 r2 r3 r4 r5", ids(ask("find", "reviews", "  ", {})))
    end)

    it("takes text from users for words only", function()
      for _, text in ipairs({ '"*', "NEAR(a b)", "body : x", "^맛집", "{title} : 맛집", "맛집) OR (1", "a AND", "OR", "-a",
        "titel:맛집", "stars:5", "title:", "맛집 \"", "*", "((", ")" }) do
        local got = call("find", "reviews", text)
        if got.message then
          assert.equal("invalid", got.code, text)
          assert.truthy(got.message:find("column %d+: "), got.message)
        end
      end
      assert.equal("query: column 4: a quote is not closed", call("find", "reviews", '맛집 "서울').message)
      assert.equal("query: column 1: there is no field \"titel\"; put the text in quotes to look for the colon's sides",
        call("find", "reviews", "titel:맛집").message)
      assert.equal('query: column 4: "stars" is not searched by words; give it as a filter',
        call("find", "reviews", "맛집 stars:5").message)
    end)

    it("gives each field back as it was", function()
      local hit = ask("find", "reviews", "강남역").hits[1]
      for key, value in pairs(DOCS[1]) do
        assert.equal(value, hit[key], key)
      end
      assert.truthy(hit.score > 0)
      local one = ask("find", "reviews", "강남역", { fields = { "store" } }).hits[1]
      assert.same({ id = "r1", store = "gangnam", score = one.score }, one)
    end)

    it("filters by value, any of several, and range", function()
      assert.equal("r1 r2", found("", { filter = { store = "gangnam" } }))
      assert.equal("r1 r2 r5", found("", { filter = { store = { "gangnam", "sinchon" } } }))
      assert.equal("", found("", { filter = { store = cjson.decode("[]") } }))
      assert.equal("r1 r3 r4", found("", { filter = { stars = { from = 4 } } }))
      assert.equal("r3 r4", found("", { filter = { stars = { from = 4, to = 4 } } }))
      assert.equal("r2 r3", found("", { filter = { at = { from = 2000, to = 4000 } } }))
      assert.equal("r1", found("", { filter = { at = { to = 1000.251 } } }))
      assert.equal("r2 r4", found("", { filter = { reply = false } }))
      assert.equal("r1", found("김치", { filter = { store = "gangnam", platform = "naver" } }))
      assert.equal("r2", found("", { filter = { id = "r2" } }))
      assert.equal("filter: body is text, which a query searches",
        call("find", "reviews", "", { filter = { body = "x" } }).message)
      assert.equal("filter: stars must be a number", call("find", "reviews", "", { filter = { stars = "5" } }).message)
    end)

    it("sorts by fields, what has none last", function()
      assert.equal("r1 r2 r3 r4 r5", ids(ask("find", "reviews", "", { sort = "at" })))
      assert.equal("r4 r3 r2 r1 r5", ids(ask("find", "reviews", "", { sort = "-at" })))
      assert.equal("r1 r4 r3 r5 r2", ids(ask("find", "reviews", "", { sort = { "-stars", "-at" } })))
      assert.equal("r3 r4", ids(ask("find", "reviews", "카페", { sort = "at" })))
      assert.equal("sort: title is text; a keyword can be sorted by",
        call("find", "reviews", "", { sort = "title" }).message)
    end)

    it("pages through every order with next", function()
      for _, options in ipairs({ { sort = "at" }, { sort = "-at" }, { sort = { "-stars", "platform" } }, {},
        { sort = "reply" } }) do
        for _, query in ipairs({ "", "카페 OR 김치 OR 음식" }) do
          local all = ask("find", "reviews", query, options)
          local seen = {}
          options.limit, options.after = 2, nil
          repeat
            local page = ask("find", "reviews", query, options)
            assert.equal(all.total, page.total)
            for _, hit in ipairs(page.hits) do
              seen[#seen + 1] = hit.id
            end
            options.after = page.next
          until not page.next or #seen > 10
          assert.equal(ids(all), table.concat(seen, " "))
          options.limit = nil
        end
      end
      assert.equal("invalid", call("find", "reviews", "", { after = "bogus" }).code)
      assert.equal(0, #ask("find", "reviews", "", { limit = 0 }).hits)
    end)

    it("ranks by how well words fit, and by age when asked", function()
      assert.truthy(ids(ask("find", "reviews", "great OR 카페")):find("^r3"))
      local now = os.time()
      ask("index", "reviews", { { id = "old", title = "새벽배송 새벽배송", at = now - 30 * 86400 },
        { id = "new", title = "새벽배송 후기", at = now } }, { visible = true })
      assert.equal("old new", ids(ask("find", "reviews", "새벽배송")))
      assert.equal("new old", ids(ask("find", "reviews", "새벽배송", { recency = { at = "1d" } })))
      assert.equal(2, ask("delete", "reviews", { id = { "old", "new" } }))
      local scores = ask("find", "reviews", "great OR 카페").hits
      assert.truthy(scores[1].score >= scores[2].score)
    end)

    it("shows what it found as text in parts", function()
      local hits = ask("find", "reviews", "김치 굵게", { highlight = { "body", "title" } }).hits
      assert.equal("r5", hits[1].id)
      assert.same({ { text = "집밥 같은 밥맛. " }, { text = "김치", hit = true }, { text = "가 시원하다 <b>" },
        { text = "굵게", hit = true }, { text = "</b> & 꺾쇠" } }, hits[1].highlight.body)
      assert.same({ { text = "맛있는 집" } }, hits[1].highlight.title)
      local latin = ask("find", "reviews", "amer*", { highlight = "body", fields = { "store" } }).hits[1]
      assert.same({ text = "Americano", hit = true }, latin.highlight.body[2])
      assert.falsy(latin.body)
    end)

    it("counts facets over all that is found", function()
      local all = ask("find", "reviews", "", { facets = { "store", "platform" }, limit = 1 })
      assert.same({ { value = "gangnam", count = 2 }, { value = "hongdae", count = 2 },
        { value = "sinchon", count = 1 } }, all.facets.store)
      assert.same({ value = "naver", count = 3 }, all.facets.platform[1])
      local some = ask("find", "reviews", "카페", { facets = "store", filter = { stars = 4 } })
      assert.same({ { value = "hongdae", count = 2 } }, some.facets.store)
    end)

    it("counts", function()
      assert.equal(5, ask("count", "reviews"))
      assert.equal(2, ask("count", "reviews", "김치"))
      assert.equal(1, ask("count", "reviews", "김치", { filter = { store = "gangnam" } }))
    end)

    it("replaces a document that has the same id", function()
      assert.equal(1, ask("index", "reviews", { id = "u1", title = "처음 제목", body = "가나다라", store = "x" },
        { visible = true }))
      assert.equal("u1", found("가나다라"))
      assert.equal(1, ask("index", "reviews", { id = "u1", title = "나중 제목", body = "마바사아" }, { visible = true }))
      assert.equal("", found("가나다라"))
      local hit = ask("find", "reviews", "마바사아").hits[1]
      assert.equal("나중 제목", hit.title)
      assert.falsy(hit.store)
      assert.equal(1, ask("delete", "reviews", "u1"))
      assert.equal("", found("마바사아"))
      assert.equal(0, ask("delete", "reviews", "u1"))
    end)

    it("removes what a filter finds", function()
      local docs = {}
      for i = 1, 30 do
        docs[i] = { id = "d" .. i, title = "지울 문서", store = i % 2 == 0 and "even" or "odd", at = i }
      end
      assert.equal(30, ask("index", "reviews", docs, { visible = true }))
      assert.equal(15, ask("delete", "reviews", { store = "even" }))
      assert.equal(5, ask("delete", "reviews", { store = "odd", at = { to = 10 } }))
      assert.equal(10, ask("count", "reviews", "지울"))
      assert.equal(10, ask("delete", "reviews", { store = { "odd", "none" } }))
      assert.equal(0, ask("count", "reviews", "지울"))
      assert.equal("delete needs an id or a filter with at least one field", call("delete", "reviews", {}).message)
    end)

    it("refuses wrong documents, all of a call's, and says which", function()
      local got = call("index", "reviews", { { id = "w1", title = "괜찮은 문서" }, { id = "w2", stars = "five" } })
      assert.equal("invalid", got.code)
      assert.equal('document "w2": stars must be a number', got.message)
      assert.equal("", found("괜찮은"))
      assert.equal('document "w": index "reviews" has no field "titel"',
        call("index", "reviews", { id = "w", titel = "x" }).message)
      assert.equal("a document's id is text of 1 to 512 bytes", call("index", "reviews", { { title = "x" } }).message)
      assert.equal("limit", call("index", "reviews", { id = "w", store = ("x"):rep(2000) }).code)
    end)

    it("raises for a plugin author's mistakes", function()
      assert.truthy(call("find", "review").raised:find("app.search:find(index, [query], [options]): "
        .. "there is no index 'review' in M.search; did you mean 'reviews'?", 1, true))
      assert.truthy(call("find", "reviews", 5).raised:find("query must be a string, got number", 1, true))
      assert.truthy(call("find", "reviews", "", { limt = 3 }).raised:find(
        "unknown option limt; did you mean 'limit'?", 1, true))
      assert.truthy(call("index", "reviews", "x").raised:find("docs must be a document or a list", 1, true))
    end)

    it("keeps plugins apart", function()
      local got = maru:post("/other/count", { args = { "reviews" } })
      assert.equal(0, got.json.value)
    end)

    it("puts letters that were written apart together", function()
      -- 한글 as macOS writes it in file names
      local apart = "\225\132\146\225\133\161\225\134\171\225\132\128\225\133\179\225\134\175"
      assert.equal(1, ask("index", "reviews", { id = "nfd", title = apart }, { visible = true }))
      assert.equal("nfd", found("한글"))
      assert.equal("nfd", found(apart))
      assert.equal("한글", ask("find", "reviews", "한글").hits[1].title)
      assert.equal(1, ask("delete", "reviews", "nfd"))
    end)

    it("keeps what it answered for over a kill, and takes new fields in", function()
      assert.equal(1, ask("index", "reviews", { id = "k1", title = "죽어도 남는 문서" }))
      maru:kill()
      local changed = PLUGIN:gsub('keyword = { "store", "platform" }', 'keyword = { "store", "platform", "owner" }')
        :gsub('text = { "title", "body" }', 'text = { "title", "body", "note" }')
      server.write_file(maru:plugin_path("shop"), changed)
      assert.truthy(maru:restart())
      -- It may have been spooled only, and Elasticsearch refreshes once a second.
      assert.truthy(server.wait_for(function()
        return found("남는") == "k1"
      end), maru:logs():sub(-3000))
      assert.equal(1, ask("index", "reviews", { id = "k2", note = "새로운 칸", owner = "kim" }, { visible = true }))
      assert.equal("k2", found("note:새로운", { filter = { owner = "kim" } }))
      assert.equal("k1", found("title:남는"))
      assert.equal("r1", found("강남역"))
      ask("delete", "reviews", { id = { "k1", "k2" } })
      assert.equal(5, ask("count", "reviews"))
    end)

    it("refuses a field whose type changed", function()
      local changed = PLUGIN:gsub('number = { "stars" },', ""):gsub('"platform" }', '"platform", "stars" }')
      server.write_file(maru:plugin_path("shop"), changed)
      assert.truthy(maru:restart())
      local got = call("find", "reviews", "")
      assert.equal("conflict", got.code)
      assert.truthy(got.message:find("stars", 1, true))
      server.write_file(maru:plugin_path("shop"), PLUGIN)
      assert.truthy(maru:restart())
      assert.equal(5, ask("count", "reviews"))
    end)
  end)
end
