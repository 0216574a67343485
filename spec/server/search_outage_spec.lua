--- Elasticsearch away, frozen, over its load, refusing parts: what callers see, and that nothing that was answered
--- for is lost. It is the stand-in (spec/support/elastic.mjs); a proxy stands between where the network is what fails.
local cjson = require("cjson")
local elastic = require("spec.support.elastic")
local fault = require("spec.support.fault")
local server = require("spec.support.server")
local socket = require("socket")

local PLUGIN = [==[
local M = { name = "notes", version = "1.0.0" }
M.search = { notes = { text = { "text" }, keyword = { "batch" } }, more = { text = { "text" } } }
M.routes = {
  --- Many callers at once; ids of what was answered for, and the first error.
  ["POST /put"] = function(app, req)
    local body, left, done, first, code = req:json(), req:json().n, {}, nil, nil
    for i = 1, body.n do
      app.spawn(function()
        local id = body.batch .. i
        local doc = { id = id, text = body.text or ("메모 " .. i), batch = body.batch }
        local n, message, why = app.search:index("notes", doc)
        if n then done[#done + 1] = id elseif not first then first, code = message, why end
        left = left - 1
      end)
    end
    while left > 0 do assert(app.sleep(0.002)) end
    return 200, { done = app.json.array(done), message = first, code = code }
  end,
  ["POST /list"] = function(app, req)
    local n, message, code = app.search:index("notes", req:json().docs)
    return 200, { n = n or nil, message = message, code = code }
  end,
  ["GET /count/{batch}"] = function(app, req)
    local n, message, code = app.search:count("notes", "메모*", { filter = { batch = req.params.batch } })
    return 200, { n = n or nil, message = message, code = code }
  end,
  ["POST /more"] = function(app, req)
    local n, message, code = app.search:index("more", req:json().docs)
    return 200, { n = n or nil, message = message, code = code }
  end,
  ["GET /more"] = function(app)
    local n, message, code = app.search:count("more", "메모")
    return 200, { n = n or nil, message = message, code = code }
  end,
  ["POST /delete"] = function(app, req)
    local n, message, code = app.search:delete("notes", req:json().what)
    return 200, { n = n or nil, message = message, code = code }
  end,
}
M.limits = { task = "60s" }
return M
]==]

describe("app.search without its Elasticsearch", function()
  local standin, proxy, maru

  local function start(settings)
    local set = { "search.driver=elasticsearch", "search.url=http://127.0.0.1:" .. proxy.port, "search.timeout=700ms" }
    for _, text in ipairs(settings or {}) do
      set[#set + 1] = text
    end
    maru = server.start({ plugins = { notes = { ["plugin.lua"] = PLUGIN } }, set = set })
  end

  before_each(function()
    standin = elastic.start()
    proxy = fault.proxy(standin.port)
  end)
  after_each(function()
    if maru then
      maru:stop()
      maru = nil
    end
    proxy:stop()
    assert.equal("", standin:errors())
    standin:stop()
  end)

  local function put(batch, n, text)
    local got = maru:post("/put", { batch = batch, n = n, text = text })
    assert.equal(200, got.status, got.body)
    return got.json
  end

  local function count(batch)
    return maru:get("/count/" .. batch).json
  end

  --- Until all are found; says how long it took.
  local function arrive(batch, n, what)
    local since = socket.gettime()
    assert.truthy(server.wait_for(function()
      return count(batch).n == n
    end), ("%s: %s of %d are there"):format(what, tostring(count(batch).n), n))
    print(("# %s: all found after %.1f s"):format(what, socket.gettime() - since))
  end

  local function health()
    for _, driver in ipairs(maru:admin("/drivers").drivers or maru:admin("/drivers")) do
      if driver.kind == "search" then
        return driver
      end
    end
  end

  it("answers for documents from disk while connections are refused, and finds say so", function()
    start()
    assert.equal(20, #put("before", 20).done)
    arrive("before", 20, "before")
    proxy:refuse()
    assert.equal(50, #put("away", 50).done)
    local found = count("away")
    assert.equal("io", found.code)
    assert.truthy(found.message:find("elasticsearch: ", 1, true), found.message)
    local removed = maru:post("/delete", { what = { batch = "before" } }).json
    assert.equal("io", removed.code)
    assert.equal(1, maru:post("/delete", { what = "away1" }).json.n)
    assert.equal(200, maru:get("/readyz").status)
    assert.equal("down", health().state)
    assert.truthy(maru:get("/metrics").body:find("\nmaru_search_spooled 51\n", 1, true))
    proxy:heal()
    arrive("away", 49, "refused")
    assert.equal("up", health().state)
    assert.equal(20, maru:post("/delete", { what = { batch = "before" } }).json.n)
  end)

  it("starts while it is away", function()
    proxy:refuse()
    start()
    assert.equal(10, #put("early", 10).done)
    proxy:heal()
    arrive("early", 10, "away at the start")
  end)

  it("loses nothing in a storm of 429, nor of single documents that are put off", function()
    start()
    standin:mode("storm")
    assert.equal(100, #put("storm", 100).done)
    standin:mode("partial")
    assert.equal(100, #put("partial", 100).done)
    standin:mode("ok")
    arrive("storm", 100, "429 for all")
    arrive("partial", 100, "429 for some")
  end)

  it("loses nothing to a proxy that has nobody behind it, nor to one that bounds requests", function()
    start()
    assert.equal(5, #put("warm", 5).done)
    proxy:refuse()
    assert.equal(100, #put("proxy", 100, ("메모 "):rep(200)).done)
    standin:mode("nobody")
    proxy:heal()
    assert.truthy(server.wait_for(function()
      return (count("proxy").message or ""):find("404 at search.url is no Elasticsearch", 1, true)
    end))
    socket.sleep(1.5) -- what waits on disk is tried, too
    assert.equal("io", count("proxy").code)
    assert.equal(20, #put("nobody", 20).done)
    standin:mode("small")
    arrive("proxy", 100, "a proxy")
    arrive("nobody", 20, "nobody behind a proxy")
    assert.equal(60, #put("small", 60, ("메모 "):rep(200)).done)
    arrive("small", 60, "requests over a proxy's bound")
  end)

  it("waits no longer than its time for one that is frozen", function()
    start()
    assert.equal(5, #put("warm", 5).done)
    fault.pause(standin.pid)
    local since = socket.gettime()
    local found = count("warm")
    assert.equal("timeout", found.code)
    assert.equal(40, #put("frozen", 40).done)
    print(("# frozen: the find failed and 40 were answered for after %.1f s"):format(socket.gettime() - since))
    fault.resume(standin.pid)
    arrive("frozen", 40, "frozen")
  end)

  it("loses nothing over a kill while documents wait on disk, and over another", function()
    start()
    assert.equal(5, #put("k", 5).done)
    proxy:refuse()
    assert.equal(200, #put("kill", 200).done)
    maru:kill()
    assert.truthy(maru:restart())
    assert.equal(100, #put("again", 100).done)
    maru:kill()
    proxy:heal()
    assert.truthy(maru:restart())
    arrive("kill", 200, "killed")
    arrive("again", 100, "killed twice")
    assert.truthy(server.wait_for(function()
      return server.shell("ls " .. maru.dir .. "/state/spool/*.seg 2>/dev/null | wc -l"):match("%d+") == "0"
    end))
  end)

  it("lets nothing late replace what is newer", function()
    start()
    assert.equal(1, #put("v", 1, "메모 처음").done)
    proxy:refuse()
    assert.equal(1, #put("v", 1, "메모 둘째").done)
    assert.equal(1, #put("v", 1, "메모 셋째").done)
    proxy:heal()
    arrive("v", 1, "versions")
    assert.truthy(server.wait_for(function()
      return maru:get("/metrics").body:find("\nmaru_search_spooled 0\n", 1, true)
    end))
    assert.equal(1, standin:state().docs["maru-notes-notes-000001"])
    local index = standin.url .. "/maru-notes-notes"
    local body = cjson.encode({ size = 1, query = { match_all = { boost = 1 } }, _source = { "text" },
      sort = { { ["@id"] = { order = "asc" } } } })
    local text = server.shell(("curl -s -X POST %s/_refresh >/dev/null; curl -s -X POST %s/_search -d '%s'"):format(
      index, index, body))
    assert.truthy(text:find("셋째", 1, true), text)
  end)

  it("names the document that it refuses, and puts in the others", function()
    start()
    local got = maru:post("/list", { docs = { { id = "a", text = "메모", batch = "r" },
      { id = "bad", text = "REFUSE_ME" }, { id = "c", text = "메모", batch = "r" } } }).json
    assert.equal("invalid", got.code)
    assert.equal('document "bad": document_parsing_exception: failed to parse field [text]', got.message)
    arrive("r", 2, "refused one")
  end)

  it("refuses when the spool is full, and keeps what is in it", function()
    start({ "search.spool=1M" })
    proxy:refuse()
    local big = ("메모 "):rep(20000)
    local got = put("full", 20, big)
    assert.equal("full", got.code)
    assert.truthy(got.message:find("search.spool", 1, true), got.message)
    proxy:heal()
    arrive("full", #got.done, "a full spool")
    assert.equal(5, #put("after", 5).done)
  end)

  it("makes an index again that somebody removed", function()
    start()
    assert.equal(5, #put("one", 5).done)
    standin:control({ drop = "maru-notes-notes" })
    assert.equal(5, #put("two", 5).done)
    arrive("two", 5, "a removed index")
  end)

  it("holds up no documents for those of an index that cannot be made", function()
    standin:control({ refuse = "maru-notes-more" })
    proxy:refuse()
    start()
    assert.equal(3, maru:post("/more", { docs = { { id = "a", text = "메모" }, { id = "b", text = "메모" },
      { id = "c", text = "메모" } } }).json.n)
    proxy:heal()
    assert.truthy(server.wait_for(function() return maru:logs():find("maximum normal shards", 1, true) end, 30),
      maru:logs())
    assert.equal(5, #put("behind", 5).done)
    arrive("behind", 5, "documents behind those of an index that is refused")
    standin:control({ refuse = "" })
    assert.truthy(server.wait_for(function() return maru:get("/more").json.n == 3 end, 60), maru:logs())
  end)

  it("says that it is refused for its credentials, and keeps documents until that is mended", function()
    local locked = elastic.start({ key = "secret" })
    start({ "search.url=" .. locked.url, "search.api_key=wrong" })
    assert.equal(5, #put("auth", 5).done)
    local found = count("auth")
    assert.equal("forbidden", found.code)
    assert.truthy(found.message:find("401 search.api_key", 1, true), found.message)
    assert.falsy((maru:logs() .. found.message):find("ApiKey", 1, true))
    maru:stop(true)
    maru.command = maru.command:gsub("search.api_key=wrong", "search.api_key=secret")
    assert.truthy(maru:restart())
    arrive("auth", 5, "credentials")
    locked:stop()
  end)

  it("says that something else answers", function()
    start()
    standin:mode("other")
    assert.truthy(count("x").message:find("X-Elastic-Product is missing", 1, true))
    standin:mode("ok")
    assert.equal(0, count("x").n)
  end)

  it("checks its certificate against the given authority", function()
    local dir = server.make_dir()
    server.shell(("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
      .. "-subj /CN=x -addext subjectAltName=IP:127.0.0.1 -keyout key -out cert"):format(dir))
    local tls = elastic.start({ cert = dir .. "/cert", keyfile = dir .. "/key" })
    start({ "search.url=" .. tls.url })
    assert.truthy(count("x").message:find("not trusted", 1, true))
    maru:stop()
    start({ "search.url=" .. tls.url, "search.ca_file=" .. dir .. "/cert" })
    assert.equal(3, #put("tls", 3).done)
    arrive("tls", 3, "TLS")
    tls:stop()
    server.shell("rm -rf " .. dir)
  end)
end)
