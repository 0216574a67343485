--- Traces: one request that pushes a job that asks the store and calls another server gives one tree, whatever keeps
--- the jobs; a collector that is away, slow or refuses costs spans and nothing else.
local otlp = require("spec.support.otlp")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")

local TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
local PARENT = "00-" .. TRACE .. "-00f067aa0ba902b7-01"

local PLUGIN = {
  ["plugin.lua"] = [==[
local M = { name = "t", version = "1.0.0" }
M.allow = { net = { "config:peer" } }
M.config = { peer = { type = "string", default = "http://127.0.0.1:1", help = "who is asked" },
  hooks = { type = "array", items = "string", default = {}, secret = true, help = "addresses nobody is to know" } }
M.routes = {
  ["POST /go"] = function(app, req)
    app.trace:set("order", 7)
    local id = app.trace:span("choose", function()
      return app.jobs:push("work", { url = req:json().url })
    end)
    return 202, { id = id, trace = app.trace:id() }
  end,
  ["GET /echo"] = function(app, req)
    return 200, { parent = req.headers.traceparent, state = req.headers.tracestate, trace = req.trace_id }
  end,
  ["GET /out"] = function(app, req)
    local answer = app.http:get(req.query.url)
    return 200, { sent = app.json.decode(answer.body) }
  end,
  ["GET /hook"] = function(app)
    return 200, { status = app.http:get(app.config.hooks[1]).status }
  end,
  ["GET /tx"] = function(app)
    local ok, message = app.store:tx(function(tx)
      return tx.jobs:push("light", {})
    end)
    return ok and 200 or 500, { message = message }
  end,
  ["GET /fails"] = function() error("no good") end,
  ["GET /refused"] = function(app) error(app.fail(404, "not_found", "nothing here")) end,
  ["GET /inner"] = function(app)
    pcall(function() app.trace:span("broken", function() error("inside") end) end)
    local done = app.trace:span("whole", function() app.sleep(0.001) return "kept" end)
    app.spawn(function() app.sleep(0.001) end)
    return 200, { done = done }
  end,
  ["GET /plain"] = function() return 200, { ok = true } end,
}
M.jobs = {
  work = function(app, job)
    app.log:info("works", { on = job.id })
    app.store:one("select 1 as one")
    app.cache:set("x", 1)
    local answer = app.http:get(job.args.url)
    return answer.status
  end,
  light = function() return true end,
}
return M
]==],
}

--- It may ask itself.
local function with_peer(set)
  local port = server.free_port()
  set[#set + 1] = "http.listen=127.0.0.1:" .. port
  set[#set + 1] = "plugins.t.peer=http://127.0.0.1:" .. port
  return { plugins = { t = PLUGIN }, set = set }
end

local function start(collector, more)
  -- A wait is a span: where memory answers the cache there is none.
  local set = { "trace.url=" .. collector.url, "trace.ratio=1", "node.name=here", "cache.driver=memory" }
  for _, text in ipairs(more or {}) do
    set[#set + 1] = text
  end
  return server.start(with_peer(set))
end

local function named(spans, name, trace)
  for _, span in ipairs(spans) do
    if span.name == name and (not trace or span.traceId == trace) then
      return span
    end
  end
  error("there is no span " .. name, 2)
end

local function of(trace)
  return function(span) return span.traceId == trace end
end

--- The tree as text: each span with the names of those above it.
local function paths(spans)
  local by_id, out = {}, {}
  for _, span in ipairs(spans) do
    by_id[span.spanId] = span
  end
  for _, span in ipairs(spans) do
    local path, above = span.name, by_id[span.parentSpanId]
    while above do
      path, above = above.name .. " > " .. path, by_id[above.parentSpanId]
    end
    out[#out + 1] = path
  end
  table.sort(out)
  return out
end

--- Where the cache is in Redis it is asked as well.
local IN_REDIS = "POST /go > handler > choose > app.jobs:push > t.work > app.cache:set"

local ONE_TREE = {
  "POST /go",
  "POST /go > handler",
  "POST /go > handler > choose",
  "POST /go > handler > choose > app.jobs:push",
  "POST /go > handler > choose > app.jobs:push > t.work",
  "POST /go > handler > choose > app.jobs:push > t.work > app.http:request",
  "POST /go > handler > choose > app.jobs:push > t.work > app.http:request > GET /echo",
  "POST /go > handler > choose > app.jobs:push > t.work > app.http:request > GET /echo > handler",
  "POST /go > handler > choose > app.jobs:push > t.work > app.store:one",
}

local function gives_one_tree(collector, maru, more)
  local expected = { more }
  for _, path in ipairs(ONE_TREE) do
    expected[#expected + 1] = path
  end
  table.sort(expected)
  local answer = maru:request("/go", { json = { url = maru.url .. "/echo" },
    headers = { traceparent = PARENT, tracestate = "vendor=x" } })
  assert.equal(202, answer.status, answer.body)
  assert.equal(TRACE, answer.json.trace)
  local spans = collector:wait(#expected, of(TRACE))
  assert.truthy(spans, maru:logs())
  assert.same(expected, paths(spans))
  local root, push, job = named(spans, "POST /go"), named(spans, "app.jobs:push"), named(spans, "t.work")
  assert.equal("00f067aa0ba902b7", root.parentSpanId)
  assert.same({ 2, 4, 5 }, { root.kind, push.kind, job.kind })
  assert.equal("202", root.attributes["http.response.status_code"])
  assert.equal("/go", root.attributes["http.route"])
  assert.equal("select 1 as one", named(spans, "app.store:one").attributes["db.query.text"])
  assert.equal("t.work", push.attributes["messaging.destination.name"])
  assert.truthy(job.attributes["maru.plugin"]:find("^t@%x+$"))
  local line = maru:logs():match('[^\n]*"message":"works"[^\n]*')
  assert.truthy(line:find('"trace":"' .. TRACE .. '"', 1, true), line)
  assert.same({ "maru", "here" }, { job.resource["service.name"], job.resource["service.instance.id"] })
end

describe("a trace", function()
  local collector, maru
  setup(function()
    collector = otlp.start()
    maru = start(collector)
  end)
  teardown(function()
    maru:stop()
    collector:stop()
  end)

  it("is one tree from the request through its job to what that asks", function()
    gives_one_tree(collector, maru)
  end)

  it("goes out by traceparent, and what the caller's tracestate said goes with it", function()
    local trace = ("a"):rep(32)
    local answer = maru:request("/out?url=" .. maru.url .. "/echo",
      { headers = { traceparent = "00-" .. trace .. "-00f067aa0ba902b7-01", tracestate = "vendor=x,other=y" } })
    local sent = answer.json.sent
    assert.equal("vendor=x,other=y", sent.state)
    assert.equal(trace, sent.trace)
    local spans = collector:wait(5, of(trace))
    assert.equal(sent.parent, "00-" .. trace .. "-" .. named(spans, "app.http:request").spanId .. "-01")
    assert.equal("200", named(spans, "app.http:request").attributes["http.response.status_code"])
    assert.falsy(named(spans, "app.http:request").attributes["url.full"]:find("?", 1, true))
  end)

  it("has no address that the plugin's configuration calls a secret", function()
    local port = server.free_port()
    local hook = "http://127.0.0.1:" .. port .. "/plain/T0/B0/hush-hush"
    local other = server.start({ plugins = { t = PLUGIN }, set = { "trace.url=" .. collector.url, "trace.ratio=1",
      "http.listen=127.0.0.1:" .. port, "plugins.t.peer=http://127.0.0.1:" .. port,
      'plugins.t.hooks=["' .. hook .. '"]' } })
    local trace = ("d"):rep(32)
    assert.equal(404, other:request("/hook", { headers = { traceparent = "00-" .. trace .. "-00f067aa0ba902b7-01" } })
      .json.status)
    -- The peer's own spans are of the request that it got.
    local spans = collector:wait(3, of(trace))
    other:stop()
    assert.equal("***", named(spans, "app.http:request").attributes["url.full"])
  end)

  it("is not kept where the caller said so, and the caller's id goes on", function()
    local trace = ("b"):rep(32)
    local answer = maru:request("/out?url=" .. maru.url .. "/echo",
      { headers = { traceparent = "00-" .. trace .. "-00f067aa0ba902b7-00" } })
    assert.truthy(answer.json.sent.parent:find("^00%-" .. trace .. "%-%x+%-00$"))
    assert.equal(200, maru:request("/plain", { headers = { traceparent = "00-" .. ("c"):rep(32) .. "-" .. ("1"):rep(16)
      .. "-01" } }).status)
    assert.truthy(collector:wait(2, of(("c"):rep(32))))
    for _, span in ipairs(collector:spans()) do
      assert.not_equal(trace, span.traceId)
    end
  end)

  it("begins anew where a traceparent is not one", function()
    for _, text in ipairs({ "00-" .. ("0"):rep(32) .. "-00f067aa0ba902b7-01", "ff-" .. TRACE .. "-00f067aa0ba902b7-01",
      "00-" .. TRACE:upper() .. "-00f067aa0ba902b7-01", "00-" .. TRACE .. "-00f067aa0ba902b7-01-more", "nonsense" }) do
      local answer = maru:request("/go", { json = { url = maru.url .. "/echo" }, headers = { traceparent = text } })
      assert.truthy(answer.json.trace:find("^%x+$"), text)
      local spans = collector:wait(1, function(span)
        return span.traceId == answer.json.trace and span.name == "POST /go"
      end)
      assert.equal("", spans[1].parentSpanId, text)
    end
  end)

  it("carries on through a push in a transaction", function()
    local trace = ("d"):rep(32)
    local headers = { traceparent = "00-" .. trace .. "-00f067aa0ba902b7-01" }
    assert.equal(200, maru:request("/tx", { headers = headers }).status)
    local spans = collector:wait(6, of(trace))
    assert.equal(named(spans, "tx.jobs:push").spanId, named(spans, "t.light").parentSpanId)
  end)

  it("says what failed, and a 4xx of a handler's own is no failure", function()
    local trace = ("e"):rep(32)
    local headers = { traceparent = "00-" .. trace .. "-00f067aa0ba902b7-01" }
    assert.equal(500, maru:request("/fails", { headers = headers }).status)
    local spans = collector:wait(2, of(trace))
    assert.equal(2, named(spans, "GET /fails").status.code)
    assert.truthy(named(spans, "handler").status.message:find("no good", 1, true))
    headers.traceparent = headers.traceparent:gsub("e", "9")
    assert.equal(404, maru:request("/refused", { headers = headers }).status)
    for _, span in ipairs(collector:wait(2, of(("9"):rep(32)))) do
      assert.is_nil(span.status.code)
    end
  end)

  it("has the parts that a plugin names, also when one of them raises", function()
    local trace = ("f"):rep(32)
    local answer = maru:request("/inner", { headers = { traceparent = "00-" .. trace .. "-00f067aa0ba902b7-01" } })
    assert.equal("kept", answer.json.done)
    local spans = collector:wait(7, of(trace))
    assert.same({ "GET /inner", "GET /inner > handler", "GET /inner > handler > app.spawn",
      "GET /inner > handler > app.spawn > app.sleep", "GET /inner > handler > broken", "GET /inner > handler > whole",
      "GET /inner > handler > whole > app.sleep" }, paths(spans))
    assert.equal(2, named(spans, "broken").status.code)
  end)
end)

for driver, support in pairs({ postgres = postgres, redis = redis }) do
  it("is one tree with jobs in " .. driver, function()
    local database, collector = support.start(), otlp.start()
    local maru = start(collector, { "jobs.driver=" .. driver, "jobs.url=" .. database.url,
      unpack(driver == "postgres" and { "store.driver=postgres", "store.url=" .. database.url }
        or { "cache.driver=redis", "cache.url=" .. database.url }) })
    finally(function()
      maru:stop()
      collector:stop()
      ;(database.drop or database.stop)(database)
    end)
    gives_one_tree(collector, maru, driver == "redis" and IN_REDIS or nil)
  end)
end

local function metric(maru, name)
  return tonumber(maru:get("/metrics").body:match("\n" .. name:gsub("[%p]", "%%%0") .. " ([%d.e+]+)") or 0)
end

describe("a collector", function()
  local collector
  before_each(function() collector = otlp.start() end)
  after_each(function() collector:stop() end)

  it("that is away costs spans beyond the bound, which are counted, and no request", function()
    local port = server.free_port()
    local maru = start({ url = "http://127.0.0.1:" .. port }, { "trace.spans=100" })
    finally(function() maru:stop() end)
    for _ = 1, 300 do
      assert.equal(200, maru:get("/plain").status)
    end
    assert.truthy(server.wait_for(function()
      return maru:get("/readyz").body:find("traces", 1, true)
    end))
    assert.equal(200, maru:get("/readyz").status)
    assert.truthy(metric(maru, 'maru_trace_spans_total{outcome="dropped"}') >= 200)
    assert.equal(0, metric(maru, 'maru_trace_spans_total{outcome="sent"}'))
    assert.truthy(metric(maru, "maru_trace_spans_waiting") <= 100)
  end)

  it("that refuses for now gets the same spans later", function()
    collector:mode({ status = 503, retry_after = 1 })
    local maru = start(collector, { "trace.headers=authorization=Bearer x, x-scope = one" })
    finally(function() maru:stop() end)
    maru:request("/plain", { headers = { traceparent = PARENT } })
    assert.truthy(server.wait_for(function() return collector:asked().count > 0 end))
    assert.same({}, collector:spans())
    collector:mode({})
    assert.truthy(collector:wait(2, of(TRACE)))
    local headers = collector:asked().headers
    assert.same({ "Bearer x", "one" }, { headers.authorization, headers["x-scope"] })
  end)

  it("that refuses for good, or takes a part, is not asked again for the same", function()
    collector:mode({ status = 400 })
    local maru = start(collector)
    finally(function() maru:stop() end)
    maru:get("/plain")
    local refused = 'maru_trace_spans_total{outcome="refused"}'
    assert.truthy(server.wait_for(function() return metric(maru, refused) >= 2 end))
    local before = metric(maru, refused)
    collector:mode({ reject = 1 })
    maru:get("/plain")
    assert.truthy(server.wait_for(function() return metric(maru, refused) > before end))
  end)

  it("that is slow holds up neither requests nor the end", function()
    collector:mode({ delay = 60000 })
    local maru = start(collector)
    finally(function() maru:stop() end)
    maru:get("/plain")
    assert.truthy(server.wait_for(function() return collector:asked().count > 0 end))
    for _ = 1, 50 do
      assert.equal(200, maru:get("/plain").status)
    end
    maru:stop()
    assert.is_nil(maru.forced)
  end)

  it("gets what waits when maru stops", function()
    local maru = start(collector)
    maru:request("/plain", { headers = { traceparent = PARENT } })
    maru:stop()
    assert.truthy(collector:wait(2, of(TRACE)))
  end)
end)

describe("tracing", function()
  it("is off unless it is asked for: no header goes out, app.trace does nothing", function()
    local maru = server.start(with_peer({}))
    finally(function() maru:stop() end)
    local answer = maru:request("/out?url=" .. maru.url .. "/echo", { headers = { traceparent = PARENT } })
    assert.is_nil(answer.json.sent.parent)
    assert.equal("kept", maru:get("/inner").json.done)
    assert.is_nil(maru:get("/metrics").body:find("maru_trace", 1, true))
  end)

  it("keeps the share it is told to, and no stranger's where it is told to", function()
    local collector = otlp.start()
    local maru = start(collector, { "trace.ratio=0.25", "trace.parent=false" })
    finally(function()
      maru:stop()
      collector:stop()
    end)
    for _ = 1, 400 do
      maru:get("/plain")
    end
    maru:request("/plain", { headers = { traceparent = "00-" .. ("f"):rep(32) .. "-00f067aa0ba902b7-01" } })
    maru:stop()
    local kept = 0
    for _, span in ipairs(collector:spans()) do
      assert.not_equal(("f"):rep(32), span.traceId)
      kept = kept + (span.name == "GET /plain" and 1 or 0)
    end
    assert.truthy(kept > 60 and kept < 140, kept)
  end)

  it("refuses to start with an address that is none", function()
    local maru, log = server.try_start({ set = { "trace.url=localhost:4318" } })
    assert.is_nil(maru)
    assert.truthy(log:find("trace: url: write http://host:4318", 1, true), log)
  end)
end)
