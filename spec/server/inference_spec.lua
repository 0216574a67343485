--- The inference system in the real program: submissions over HTTP, results, callbacks, the dashboard's socket, and a
--- server that is killed in the middle. INFERENCE_JOBS (300) is how many are submitted before that,
--- INFERENCE_BODIES (400) how many mutated bodies are sent.
local cjson = require("cjson")
local server = require("spec.support.server")
local websocket = require("spec.support.websocket")

local JOBS = tonumber(os.getenv("INFERENCE_JOBS") or 300)
local BODIES = tonumber(os.getenv("INFERENCE_BODIES") or 400)
local BASE = "/api/v1/inference/"
local SECRET = "whsec_" .. "c2VjcmV0LW9mLXRoZS1zcGVj" -- base64

local RECEIVER = { ["plugin.lua"] = [==[
local M = { name = "receiver", version = "1.0.0" }
M.routes = {
  ["POST /hook/{kind}"] = function(app, req)
    local n = app.cache:incr("n:" .. req.params.kind, 1)
    if req.params.kind == "late" and n < 3 then
      return 503, {}, { ["retry-after"] = "0" }
    end
    app.cache:set("got:" .. req.params.kind, { headers = req.headers, body = req.raw_body, n = n })
    return 204
  end,
  ["GET /hook/{kind}"] = function(app, req) return 200, { got = app.cache:get("got:" .. req.params.kind) } end,
}
return M
]==] }

local function start(options)
  local set = { "plugins.disable=simulator,chzzk,soop,streampulse,notify", "development=true" }
  for _, text in ipairs(options.set or {}) do
    set[#set + 1] = text
  end
  return server.start({ plugins_path = "plugins", plugins = options.plugins, set = set, env = options.env })
end

local function submit(maru, body, headers)
  return maru:request(BASE .. "submit", { method = "POST", json = body, headers = headers })
end

--- The view of a submission once it has ended.
local function ended(maru, id)
  return server.wait_for(function()
    local view = maru:get(BASE .. id).json
    return view and view.status ~= "queued" and view.status ~= "running" and view
  end)
end

describe("the inference system", function()
  local maru

  local function try()
    local port = server.free_port()
    return start({ plugins = { receiver = RECEIVER }, env = { INFERENCE_CALLBACK_SECRET = SECRET },
      set = { "http.listen=127.0.0.1:" .. port,
        ('plugins.inference.callbacks=["http://127.0.0.1:%d"]'):format(port) } })
  end

  setup(function()
    local ok
    for _ = 1, 5 do -- a port that is free may be another spec's a moment later
      ok, maru = pcall(try)
      if ok or not tostring(maru):find("is in use") then
        break
      end
    end
    assert(ok, maru)
  end)

  teardown(function()
    maru:stop()
  end)

  it("carries a series from the client to its result", function()
    local data = {}
    for i = 1, 100 do
      data[i] = math.floor(1000 * math.sin(i / 5)) / 10
    end
    local answer = submit(maru, { model_name = "moving_average", data = data, metadata = { pattern = "seasonal" } })
    assert.equal(202, answer.status, answer.body)
    assert.equal(answer.json.status_url, answer.headers.location)
    local view = ended(maru, answer.json.id)
    assert.equal("completed", view.status)
    assert.equal(100, view.points)
    assert.equal(100, #view.result.values)
    assert.equal(48, #view.result.history)
    assert.equal("seasonal", view.metadata.pattern)
    assert.truthy(view.submitted_at <= view.started_at and view.started_at <= view.finished_at)
    assert.equal(answer.json.id, maru:get(BASE .. "results?limit=1").json.results[1].id)
    local cached = server.wait_for(function()
      return maru:admin("/cache/entry?key=inference:result:" .. answer.json.id).value
    end)
    assert.truthy(cached and cached:find(answer.json.id, 1, true), "the result is in the cache")
  end)

  it("answers repeated requests with one key alike, also at the same time", function()
    local body = cjson.encode({ model_name = "moving_average", data = { 1, 2, 3 } })
    local out = server.shell(("for i in 1 2 3 4 5 6; do curl -s -H 'content-type: application/json'"
      .. " -H 'idempotency-key: k-1' -d '%s' %s%ssubmit & done; wait"):format(body, maru.url, BASE))
    local ids, n = {}, 0
    for id in out:gmatch('"id":"([^"]+)"') do
      ids[id], n = true, n + 1
    end
    assert.equal(6, n, out)
    assert.truthy(next(ids) and not next(ids, next(ids)), out)
    local key = { ["idempotency-key"] = "k-2" }
    assert.equal(202, submit(maru, { model_name = "moving_average", data = { 1 } }, key).status)
    assert.equal(422, submit(maru, { model_name = "moving_average", data = { 2 } }, key).status)
  end)

  it("calls back with a signature, and again until it is heard", function()
    for _, kind in ipairs({ "soon", "late" }) do
      local id = submit(maru, { model_name = "moving_average", data = { 1, 2, 3 },
        callback_url = maru.url .. "/hook/" .. kind }).json.id
      local got = server.wait_for(function()
        local value = maru:get("/hook/" .. kind).json.got
        return value and value.body and value
      end)
      assert.truthy(got, maru:logs():sub(-2000))
      assert.equal(kind == "late" and 3 or 1, got.n)
      assert.equal(id, got.headers["webhook-id"])
      assert.equal("completed", cjson.decode(got.body).status)
      server.write_file(maru.dir .. "/signed", ("%s.%s.%s"):format(id, got.headers["webhook-timestamp"], got.body))
      local mac = server.shell(("openssl dgst -sha256 -mac HMAC -macopt hexkey:%s -binary <%s/signed | base64"):format(
        "7365637265742d6f662d7468652d73706563", maru.dir)):gsub("%s+$", "")
      assert.equal("v1," .. mac, got.headers["webhook-signature"])
      assert.equal(maru.url, maru:get(BASE .. id).json.callback) -- without its path, which may be a secret
      local told = server.wait_for(function()
        local state = maru:get(BASE .. id .. "/callback").json
        return state.state == "delivered" and state
      end)
      assert.same({ kind == "late" and 3 or 1, cjson.null }, { told.attempts, told.error })
    end
    local plain = submit(maru, { model_name = "moving_average", data = { 1 } }).json.id
    assert.is_nil(ended(maru, plain).callback)
    local function missing(id)
      local answer = maru:get(BASE .. id .. "/callback")
      return { answer.status, answer.json.code, answer.json.detail }
    end
    assert.same({ 404, "no_callback", "nobody is called back about it: it came without callback_url" }, missing(plain))
    assert.same({ 404, "not_found", "there is no such submission" }, missing(plain:gsub("%x$", "x")))
    assert.same({ 404, "not_found", "there is no such submission" }, missing("1-0000000000000000"))
    local elsewhere = submit(maru, { model_name = "moving_average", data = { 1 }, callback_url = "http://127.0.0.2/x" })
    assert.equal("forbidden", elsewhere.json.code)
  end)

  it("counts what expired and was cancelled, once each, and tells those who wait", function()
    local function ends()
      local s, by = maru:get(BASE .. "statistics?minutes=120").json, {}
      for _, one in ipairs(s.failed_by) do
        by[one.code] = one.count
      end
      return { completed = s.completed, failed = s.failed, cancelled = s.cancelled, by = by, rate = s.success_rate }
    end
    local before = ends()
    local function pause(on)
      return maru:admin("/queues/inference/" .. (on and "pause" or "resume"), "POST", {})
    end
    pause(true)
    local kept = submit(maru, { model_name = "moving_average", data = { 1, 2 } }).json.id
    local late = submit(maru, { model_name = "moving_average", data = { 1, 2 }, deadline = "1ms",
      callback_url = maru.url .. "/hook/expired" }).json.id
    local unseen = submit(maru, { model_name = "moving_average", data = { 1 }, deadline = "1ms" }).json.id
    local away = submit(maru, { model_name = "moving_average", data = { 1 } }).json.id
    local waiting = submit(maru, { model_name = "moving_average", data = { 1 },
      callback_url = maru.url .. "/hook/waiting" }).json.id
    local yet = maru:get(BASE .. waiting .. "/callback")
    assert.same({ 404, "no_callback", "nobody has been called back about it yet: it has not ended" },
      { yet.status, yet.json.code, yet.json.detail })
    assert.equal(200, maru:get(BASE .. late .. "/callback").status) -- asking is what ends it
    assert.equal("expired", ended(maru, late).status)
    assert.equal(200, maru:request(BASE .. away, { method = "DELETE" }).status)
    assert.equal("queued", maru:get(BASE .. kept).json.status)
    pause(false)
    assert.equal("completed", ended(maru, kept).status)
    assert.equal("completed", ended(maru, waiting).status)
    assert.equal("expired", ended(maru, unseen).status)
    local after = ends()
    assert.same({ before.completed + 2, before.failed + 2, before.cancelled + 1 },
      { after.completed, after.failed, after.cancelled })
    assert.equal((before.by.expired or 0) + 2, after.by.expired)
    assert.equal(math.floor(after.completed / (after.completed + after.failed) * 10000 + 0.5) / 100, after.rate)
    local got = server.wait_for(function()
      local value = maru:get("/hook/expired").json.got
      return value and value.body and value
    end)
    assert.same({ late, "expired" }, { got.headers["webhook-id"], cjson.decode(got.body).status })
    local ws = assert(websocket.connect(maru.url, "/api/v1/dashboard/ws"))
    local seen = server.wait_for(function()
      local _, text = ws:receive()
      local statistics = cjson.decode(text).statistics
      return statistics.failed >= after.failed and statistics
    end)
    ws:close()
    assert.equal(seen.total_jobs, seen.completed + seen.failed)
    assert.equal(math.floor(seen.completed / seen.total_jobs * 10000 + 0.5) / 100, seen.success_rate)
  end)

  it("feeds every watcher the same", function()
    local one, two = assert(websocket.connect(maru.url, "/api/v1/dashboard/ws")),
      assert(websocket.connect(maru.url, "/api/v1/dashboard/ws"))
    local function messages(ws, n)
      local list = {}
      for i = 1, n do
        local kind, text = ws:receive()
        assert.equal("text", kind)
        list[i] = text
      end
      return list
    end
    local seen, same = {}, 0
    for _, text in ipairs(messages(one, 3)) do
      seen[text] = true
    end
    for _, text in ipairs(messages(two, 3)) do
      same = same + (seen[text] and 1 or 0)
    end
    assert.is_true(same >= 2)
    local message = cjson.decode((next(seen)))
    assert.same({ "recent_results", "statistics", "timestamp", "type" }, (function()
      local keys = {}
      for key in pairs(message) do
        keys[#keys + 1] = key
      end
      table.sort(keys)
      return keys
    end)())
    assert.equal(message.statistics.total_jobs, message.statistics.completed + message.statistics.failed)
    one:close()
    two:close()
  end)

  it("survives bodies that were changed at random", function()
    math.randomseed(20261122)
    local good = '{"model_name":"moving_average","data":[1,2.5,-3e2,4],"metadata":{"a":[1,{"b":null}]},"horizon":3,'
      .. '"options":{"window":2},"priority":"high","deadline":"30s"}'
    local pieces = { "NaN", "null", "[", "]", "{", "}", ",", "1e999", '"', "\\u0000", "\255", "-", "data", ":", "0x1" }
    local function mutate(text)
      for _ = 1, math.random(1, 4) do
        local at, choice = math.random(#text), math.random(4)
        if choice == 1 then
          text = text:sub(1, at - 1) .. text:sub(at + math.random(8))
        elseif choice == 2 then
          text = text:sub(1, at) .. pieces[math.random(#pieces)] .. text:sub(at + 1)
        elseif choice == 3 then
          text = text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + 1)
        else
          local from = math.random(#text)
          text = text:sub(1, at) .. text:sub(from, from + 20) .. text:sub(at + 1)
        end
      end
      return text
    end
    local types = { "application/json", "application/json", "application/json", "application/octet-stream",
      "application/x-ndjson" }
    local counts = {}
    for _ = 1, BODIES do
      local body, content = mutate(good), types[math.random(#types)]
      local answer = maru:request(BASE .. "submit?model_name=moving_average", { method = "POST", body = body,
        headers = { ["content-type"] = content } })
      counts[answer.status] = (counts[answer.status] or 0) + 1
      local known = answer.status == 202 or answer.status == 422 and answer.json.code
      assert.truthy(known, ("%s %s\n%s"):format(answer.status, answer.body, body))
    end
    assert.truthy((counts[422] or 0) > BODIES / 10)
    assert.equal(200, maru:get(BASE .. "statistics").status)
  end)
end)

describe("a server that is killed", function()
  it("has a result for everything that it accepted", function()
    local maru = start({})
    local ids = {}
    for i = 1, JOBS, 50 do
      local items = {}
      for k = 1, 50 do
        items[k] = { model_name = "moving_average", data = { i, k, 3, 4, 5 } }
      end
      for _, item in ipairs(maru:request(BASE .. "batch", { json = { items = items } }).json.items) do
        ids[#ids + 1] = assert(item.id)
      end
    end
    maru:kill()
    assert.is_true(maru:restart(), maru:logs():sub(-2000))
    for _, id in ipairs(ids) do
      local view = ended(maru, id)
      assert.truthy(view and view.status == "completed", id .. "\n" .. maru:logs():sub(-2000))
    end
    local totals = maru:get(BASE .. "statistics").json
    maru:stop()
    assert.equal(#ids, totals.completed)
  end)
end)
