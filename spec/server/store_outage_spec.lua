--- PostgreSQL under a store in use: killed and started again, standing still, refusing, slow, with a
--- replica. What users saw and how long it took is printed; what was acknowledged must be there.
local cjson = require("cjson")
local fault = require("spec.support.fault")
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")
local socket = require("socket")

local PLUGINS = {
  load = {
    ["migrations/0001_notes.sql"] = "create table notes(id bigint primary key, twin bigint not null);",
    ["plugin.lua"] = [[
local M = { name = "load", version = "1.0.0", limits = { task = "60s" } }
local state = { on = false, done = {}, codes = {}, slowest = 0, reads = 0, read_codes = {} }
local function one(app, id)
  local began = app.now()
  local ok, message, code
  if id % 2 == 0 then
    ok, message, code = app.store:exec("insert into notes(id, twin) values ($1, $1)", id)
  else
    ok, message, code = app.store:tx(function(tx)
      local done, m, c = tx:exec("insert into notes(id, twin) values ($1, 0)", id)
      if not done then return nil, m, c end
      return tx:exec("update notes set twin = id where id = $1", id)
    end)
  end
  if ok then
    state.done[#state.done + 1] = id
  else
    state.codes[code or message] = (state.codes[code or message] or 0) + 1
  end
  state.slowest = math.max(state.slowest, app.now() - began)
end
M.routes = {
  ["POST /load/start"] = { body = { from = "integer" }, function(app, req)
    state = { on = true, done = {}, codes = {}, slowest = 0, reads = 0, read_codes = {} }
    local mine, from = state, req.body.from
    for worker = 1, 4 do
      app.spawn(function()
        local id = from + worker
        while mine.on do
          one(app, id)
          id = id + 4
          app.sleep(0.005)
        end
      end)
    end
    app.spawn(function()
      while mine.on do
        local rows, _, code = app.store:all("select id from notes order by id desc limit 1")
        if rows then mine.reads = mine.reads + 1 else mine.read_codes[code] = (mine.read_codes[code] or 0) + 1 end
        app.sleep(0.01)
      end
    end)
    return 200, { on = true }
  end },
  ["GET /load"] = function() return 200, { n = #state.done, codes = state.codes, slowest = state.slowest,
    reads = state.reads, read_codes = state.read_codes, last = state.done[#state.done] } end,
  ["POST /load/stop"] = function()
    state.on = false
    return 200, { done = state.done, codes = state.codes, slowest = state.slowest, reads = state.reads,
      read_codes = state.read_codes }
  end,
  ["GET /load/read"] = function(app)
    local rows, message, code = app.store:read("select count(*) as n from notes")
    return 200, { n = rows and rows[1].n, message = message, code = code }
  end,
  ["GET /load/one"] = function(app)
    local row, message, code = app.store:one("select count(*) as n from notes")
    return 200, { n = row and row.n, message = message, code = code }
  end,
  ["POST /load/one"] = { body = { id = "integer" }, function(app, req)
    local n, message, code = app.store:exec("insert into notes(id, twin) values ($1, $1)", req.body.id)
    return 200, { n = n, message = message, code = code }
  end },
}
return M
]],
  },
}

local function say(what, ...)
  print(("# %s: "):format(what) .. (...):format(select(2, ...)))
end

local function start(url, more)
  local set = { "store.driver=postgres", "store.url=" .. url, "lanes.web=1", "lanes.job=1" }
  for _, line in ipairs(more or {}) do
    set[#set + 1] = line
  end
  return server.start({ plugins = PLUGINS, set = set })
end

local function is_ready(maru)
  return maru:get("/readyz").status == 200
end

--- Every acknowledged row is there, and whole; none that no one sent.
local function check_rows(database, done)
  local there = {}
  for id, twin in database:sql("select id, twin from maru_load.notes"):gmatch("(%d+)|(%d+)") do
    assert.equal(id, twin, "half of a transaction")
    there[tonumber(id)] = true
  end
  for _, id in ipairs(done) do
    assert.is_true(there[id], "acknowledged and lost: " .. id)
  end
end

describe("a store whose PostgreSQL", function()
  local database, proxy, maru
  local from = 0

  lazy_setup(function()
    database = postgres.start()
    proxy = fault.proxy(database.port)
    maru = start((database.url:gsub(":" .. database.port, ":" .. proxy.port)))
  end)
  lazy_teardown(function()
    if maru then
      maru:stop()
    end
    if proxy then
      proxy:stop()
    end
    if database then
      database:drop()
    end
  end)

  --- Load, then `break_it`; `heal`; the load goes on until rows are acknowledged again.
  local function under_load(name, break_it, heal)
    from = from + 10000000
    local begun = maru:post("/load/start", { from = from })
    assert.equal(200, begun.status, begun.body)
    assert.is_truthy(server.wait_for(function() return maru:get("/load").json.n > 20 end))
    break_it()
    local healed = socket.gettime()
    heal()
    local n = maru:get("/load").json.n
    assert.is_truthy(server.wait_for(function() return maru:get("/load").json.n > n + 20 end),
      maru:get("/load").body)
    local time = socket.gettime() - healed
    local result = maru:post("/load/stop").json
    assert.is_truthy(server.wait_for(function() return is_ready(maru) end))
    say(name, "%d rows acknowledged, writes that failed %s, reads %d, that failed %s, slowest %.1f s, at work again"
      .. " %.2f s after it was back", #result.done, cjson.encode(result.codes), result.reads,
      cjson.encode(result.read_codes), result.slowest, time)
    check_rows(database, result.done)
    return result
  end

  local function not_ready()
    assert.is_truthy(server.wait_for(function() return maru:get("/readyz").status == 503 end))
    assert.matches("store", maru:get("/readyz").body)
    assert.matches('maru_driver_up{kind="store",driver="postgres"} 0', maru:get("/metrics").body, 1, true)
  end

  it("is killed and comes back", function()
    local result = under_load("killed", function()
      database:stop("immediate")
      not_ready()
    end, function() database:launch() end)
    for code in pairs(result.codes) do
      assert.equal("io", code)
    end
  end)

  it("is restarted", function()
    under_load("restarted", function() database:stop("fast") end, function() database:launch() end)
  end)

  it("refuses connections", function()
    under_load("refusing", function()
      proxy:refuse()
      not_ready()
      local answer = maru:post("/load/one", { id = 1 }).json
      assert.equal("io", answer.code)
      assert.is_truthy(answer.message)
    end, function() proxy:heal() end)
  end)

  it("cuts connections", function()
    under_load("cut", function() proxy:cut() end, function() proxy:heal() end)
  end)

  it("stands still", function()
    local result = under_load("standing still", function()
      proxy:freeze()
      not_ready()
    end, function() proxy:heal() end)
    assert.is_true(result.slowest < 60, result.slowest)
  end)

  it("is slow", function()
    under_load("slow, 30 ms a piece", function()
      proxy:slow(30)
      local n = maru:get("/load").json.n
      assert.is_truthy(server.wait_for(function() return maru:get("/load").json.n > n + 10 end))
    end, function() proxy:heal() end)
  end)
end)

describe("a store with a replica", function()
  local database, replica, proxy, maru

  lazy_setup(function()
    database = postgres.start()
    replica = database:replica()
    proxy = fault.proxy(database.port)
    maru = start((database.url:gsub(":" .. database.port, ":" .. proxy.port)), { "store.read_url=" .. replica.url })
  end)
  lazy_teardown(function()
    if maru then
      maru:stop()
    end
    if proxy then
      proxy:stop()
    end
    if replica then
      replica:drop()
    end
    if database then
      database:drop()
    end
  end)

  it("is in read-only mode while the first server is away, and whole again when it is back", function()
    assert.equal(1, maru:post("/load/one", { id = 1 }).json.n)
    assert.is_truthy(server.wait_for(function() return maru:get("/load/read").json.n == 1 end))
    proxy:refuse()
    assert.equal(1, maru:get("/load/one").json.n, "a read goes to the replica")
    local write = maru:post("/load/one", { id = 2 }).json
    assert.equal("io", write.code)
    local ready = server.wait_for(function()
      local answer = maru:get("/readyz")
      return answer.body:find("read-only mode", 1, true) and answer
    end)
    assert.equal(200, ready.status)
    assert.equal("degraded", ready.json.degraded[1].state)
    assert.matches("read%-only mode", maru:logs())
    proxy:heal()
    assert.is_truthy(server.wait_for(function() return not maru:get("/readyz").body:find("degraded", 1, true) end))
    local id, again = 2, nil
    local written = server.wait_for(function() -- each lane finds out for itself
      id = id + 1
      again = maru:post("/load/one", { id = id })
      return again.json.n == 1
    end)
    assert.is_truthy(written, again.body)
  end)

  it("reads from the first server while the replica is away, and says that it is", function()
    local count = tonumber(database:sql("select count(*) from maru_load.notes"))
    replica:stop("fast")
    local read = maru:get("/load/read")
    assert.equal(count, read.json.n, read.body)
    assert.is_truthy(server.wait_for(function()
      return maru:get("/readyz").body:find("the replica does not answer", 1, true)
    end))
    assert.equal(200, maru:get("/readyz").status)
  end)
end)
