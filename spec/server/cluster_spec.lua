--- Three nodes on one PostgreSQL and one Redis: StreamPulse's demo runs, one collects and all show it, a message
--- published on one reaches the sockets of all; each node in turn is killed by kill -9 under load, and nothing that was
--- acknowledged is lost, and the schedules keep their beat.
--- CLUSTER_ROUNDS: how often each is killed (default 1); CLUSTER_SECONDS: how long each is away (default 2). Times and
--- rates are printed, not judged.
local cjson = require("cjson")
local postgres = require("spec.support.postgres")
local redis = require("spec.support.redis")
local server = require("spec.support.server")
local socket = require("socket")
local websocket = require("spec.support.websocket")

local ROUNDS = tonumber(os.getenv("CLUSTER_ROUNDS") or 1)
local AWAY = tonumber(os.getenv("CLUSTER_SECONDS") or 2)

--- What is acknowledged stands in the ledger: a row by the request, a row by its job, a row for each beat.
local LEDGER = {
  ["migrations/0001_ledger.sql"] = [[
create table written(id text primary key, node text not null);
create table worked(id text primary key, times bigint not null);
create table beat(instant bigint not null, job bigint not null, primary key(instant, job));
]],
  ["plugin.lua"] = [==[
local M = { name = "ledger", version = "1.0.0" }
M.config = { node = { type = "string", default = "", help = "who writes" } }
M.routes = {
  ["POST /ledger/{id}"] = function(app, req)
    local id = req.params.id
    local ok, message = app.store:tx(function(tx)
      local changed, why = tx:exec("insert into written(id, node) values ($1, $2)", id, app.config.node)
      if not changed then return nil, why end
      return tx.jobs:push("work", { id = id })
    end)
    if not ok then return 503, { error = message } end
    return 201, {}
  end,
  ["GET /ledger"] = function(app)
    return 200, {
      written = app.json.array(app.store:all("select id from written order by id")),
      worked = app.json.array(app.store:all("select id, times from worked order by id")),
      beats = app.json.array(app.store:all("select instant, job from beat order by instant, job")),
    }
  end,
  ["GET /cached"] = function(app) return 200, { value = app.cache:get("shared") } end,
  ["POST /cached"] = function(app, req) return 200, { ok = app.cache:set("shared", req:json().value) } end,
  ["POST /say"] = function(app, req)
    app.channels:publish("room", { text = req:json().text })
    return 202, {}
  end,
}
M.jobs = {
  work = { retries = 20, timeout = "20s", function(app, job)
    return app.store:exec([[insert into worked(id, times) values ($1, 1)
      on conflict (id) do update set times = worked.times + 1]], job.args.id)
  end },
  beat = { retries = 20, timeout = "20s", function(app, job)
    return app.store:exec("insert into beat(instant, job) values ($1, $2) on conflict do nothing",
      job.scheduled_at, job.id)
  end },
}
M.cron = { ["* * * * * *"] = { job = "beat", id = "beat", missed = "all", overlap = "allow" } }
M.sockets = { ["/ws/room"] = {
  open = function(app, socket)
    app.spawn(function()
      local sub = assert(app.channels:subscribe("room"))
      socket:send("ready")
      while socket:is_open() do
        local message = sub:receive("1s")
        if message then socket:send(message) end
      end
    end)
  end,
} }
return M
]==],
}

--- The platforms are one process of their own: what the nodes ask is the same for all.
local function platforms()
  return server.start({ plugins_path = "plugins", set = { "plugins.disable=chzzk,soop,streampulse", "lanes.web=1",
    "lanes.job=1", "plugins.simulator.speed=30", "plugins.simulator.surge_every=45" } })
end

local function settings(name, database, cache, sim)
  return { "node.name=" .. name, "lanes.web=1", "lanes.job=1", "jobs.lease=2s", "plugins.ledger.node=" .. name,
    "store.driver=postgres", "store.url=" .. database.url, "series.driver=postgres", "series.url=" .. database.url,
    "jobs.driver=postgres", "jobs.url=" .. database.url, "cache.driver=redis", "cache.url=" .. cache.url,
    "channels.driver=redis", "plugins.chzzk.web_base=" .. sim .. "/sim/chzzk",
    "plugins.chzzk.open_base=" .. sim .. "/sim/chzzk", "plugins.chzzk.page_pause=0",
    "plugins.soop.web_base=" .. sim .. "/sim/soop", "plugins.soop.open_base=" .. sim .. "/sim/soop",
    "plugins.soop.page_pause=0", "plugins.streampulse.simulated=true",
    "plugins.streampulse.collect_every=@every 3s", "plugins.streampulse.detect_every=@every 3s",
    "plugins.streampulse.fresh_for=2", "plugins.streampulse.retry_delay=1s" }
end

describe("three nodes on one PostgreSQL and one Redis", function()
  local database, cache, sim
  local nodes = {}

  setup(function()
    database, cache, sim = postgres.start(), redis.start(), platforms()
    for i = 1, 3 do
      nodes[i] = server.start({ plugins = { ledger = LEDGER }, plugins_path = "plugins",
        set = settings("node" .. i, database, cache, sim.url) })
    end
  end)

  teardown(function()
    for _, node in ipairs(nodes) do
      node:stop()
    end
    if sim then sim:stop() end
    if cache then cache:stop() end
    if database then database:drop() end
  end)

  local function leaders()
    local found = {}
    for i, node in ipairs(nodes) do
      if node:admin("/status").leads then
        found[#found + 1] = i
      end
    end
    return found
  end

  --- What each shows of a platform, once all show something.
  local function boards(platform)
    local shown = {}
    for i, node in ipairs(nodes) do
      local answer = node:get("/api/live?platform=" .. platform).json
      if not answer or not answer.total_lives or answer.total_lives == 0 then
        return nil
      end
      shown[i] = answer
    end
    return shown
  end

  local function same(all)
    return type(all[1].as_of) == "string" and all[1].as_of == all[2].as_of and all[2].as_of == all[3].as_of
  end

  it("run StreamPulse: one leads and collects, all show the same", function()
    for _, platform in ipairs({ "chzzk", "soop" }) do
      local shown = server.wait_for(function()
        local all = boards(platform)
        return all and same(all) and all
      end)
      assert.truthy(shown, nodes[1]:logs())
      assert.truthy(shown[1].total_lives > 50)
      assert.equal(shown[1].total_lives, shown[2].total_lives)
      assert.equal(shown[2].total_lives, shown[3].total_lives)
    end
    assert.equal(1, #leaders())
    -- Each instant of each schedule fired once, whichever node led then.
    local fires, jobs
    assert.truthy(server.wait_for(function()
      fires, jobs = database:sql("select count(*), count(distinct job) from maru.fire"
        .. " where schedule = 'streampulse/collect'"):match("(%d+)|(%d+)")
      return tonumber(fires) >= 2
    end))
    assert.equal(fires, jobs)
  end)

  it("share a cache, and a message published on one reaches the sockets of all", function()
    nodes[1]:post("/cached", { value = "seen" })
    for _, node in ipairs(nodes) do
      assert.equal("seen", node:get("/cached").json.value)
    end
    local clients = {}
    for i, node in ipairs(nodes) do
      clients[i] = websocket.connect(node.url, "/ws/room")
      assert.same({ "text", "ready" }, { clients[i]:receive() })
    end
    assert.truthy(server.wait_for(function()
      return cache:call("PUBSUB", "NUMSUB", "maru:channel:room"):match("%d+$") == "3"
    end))
    for i, node in ipairs(nodes) do
      node:post("/say", { text = "from " .. i })
      for _, client in ipairs(clients) do
        local kind, text = client:receive()
        assert.equal("text", kind)
        assert.same({ text = "from " .. i }, cjson.decode(text))
      end
    end
  end)

  it("know each other", function()
    assert.truthy(server.wait_for(function()
      local list = nodes[2]:admin("/nodes")
      local leads, missing = 0, 0
      for _, node in ipairs(list) do
        leads = leads + (node.leads and 1 or 0)
        missing = missing + (node.missing and 1 or 0)
      end
      return #list == 3 and leads == 1 and missing == 0
    end))
  end)

  --- Writes to those that live, for so long; acknowledged ids go into `acked`.
  local function load(acked, alive, seconds, counts)
    local until_at = socket.gettime() + seconds
    repeat
      for _, i in ipairs(alive) do
        local id = ("%s-%d"):format(i, counts.asked)
        counts.asked = counts.asked + 1
        local answer = nodes[i]:request("/ledger/" .. id, { method = "POST" })
        if answer.status == 201 then
          acked[id] = true
          counts.acked = counts.acked + 1
        else
          counts.said = answer.body
        end
      end
    until socket.gettime() > until_at
  end

  local function ledger()
    for _, node in ipairs(nodes) do
      local answer = node:get("/ledger")
      if answer.status == 200 then
        return answer.json
      end
    end
    error("no node answers")
  end

  it("lose nothing acknowledged and no beat when each is killed in turn", function()
    local acked, counts = {}, { asked = 0, acked = 0 }
    for round = 1, ROUNDS do
      for victim = 1, 3 do
        local alive, led = {}, leaders()[1]
        for i = 1, 3 do
          if i ~= victim then
            alive[#alive + 1] = i
          end
        end
        load(acked, { 1, 2, 3 }, 0.5, counts)
        nodes[victim]:kill()
        local killed = socket.gettime()
        load(acked, alive, AWAY, counts)
        local heir = server.wait_for(function()
          for _, i in ipairs(alive) do
            if nodes[i]:admin("/status").leads then
              return i
            end
          end
        end)
        assert.truthy(heir, "nobody leads")
        print(("# round %d: node%d%s killed; node%d leads %.1f s later"):format(round, victim,
          led == victim and ", which led," or "", heir, socket.gettime() - killed))
        assert.truthy(nodes[victim]:restart(), nodes[victim]:logs())
      end
    end
    assert.truthy(counts.acked > counts.asked / 2, counts.said)
    local last = math.floor(socket.gettime())
    local function missing(book)
      local written, worked, lost = {}, {}, {}
      for _, row in ipairs(book.written) do written[row.id] = true end
      for _, row in ipairs(book.worked) do worked[row.id] = row.times end
      for id in pairs(acked) do
        if not written[id] or not worked[id] then
          lost[#lost + 1] = id
        end
      end
      return lost
    end
    local book
    assert.truthy(server.wait_for(function()
      book = ledger()
      return #missing(book) == 0 and #book.beats > 0 and book.beats[#book.beats].instant >= last
    end), function()
      return #missing(book) .. " of " .. counts.acked .. " are missing"
    end)
    -- Each second from the first on has one beat, and each beat one job.
    local instants, jobs = {}, {}
    for _, row in ipairs(book.beats) do
      assert.is_nil(instants[row.instant], "two jobs for one instant")
      assert.is_nil(jobs[row.job])
      instants[row.instant], jobs[row.job] = true, true
    end
    local first = book.beats[1].instant
    for instant = first, last do
      assert.truthy(instants[instant], ("no beat at %d of %d to %d"):format(instant, first, last))
    end
    local again = 0
    for _, row in ipairs(book.worked) do
      again = again + row.times - 1
    end
    assert.truthy(server.wait_for(function()
      local all = boards("chzzk")
      return all and same(all) and all[1].as_of > os.date("!%Y-%m-%dT%H:%M:%S", last)
    end), "they do not show the same any more")
    print(("# %d writes asked for, %d acknowledged, none lost; %d jobs ran again; %d beats"):format(counts.asked,
      counts.acked, again, #book.beats))
  end)
end)
