--- kill -9 in the middle of submissions: every one that was answered 202 has a result or a reason, and none has two.
--- INFERENCE_KILL_JOBS (400) of them are acknowledged over INFERENCE_KILLS (2) deaths, at moments from
--- INFERENCE_KILL_SEED, while eight clients wait for answers and the jobs run.
local cjson = require("cjson")
local keepalive = require("spec.support.keepalive")
local server = require("spec.support.server")
local socket = require("socket")

local JOBS = tonumber(os.getenv("INFERENCE_KILL_JOBS") or 400)
local KILLS = tonumber(os.getenv("INFERENCE_KILLS") or 2)
local SEED = tonumber(os.getenv("INFERENCE_KILL_SEED") or os.time() % 100000)
local BASE = "/api/v1/inference/"
local CLIENTS, POINTS, GROUP, PAGE = 8, 100, 20, 100
-- A job that ran at two deaths is not run a third time.
local REASONS = { expired = "^it had not started at its deadline$", failed = "took the process down %d times" }
local JSON = "content-type: application/json\r\n"

local function points(n)
  local data = {}
  for i = 1, POINTS do
    data[i] = math.floor(1000 * math.sin((n + i) / 7)) / 10
  end
  return data
end

--- What was submitted, by number: { id = when it was acknowledged, key, path, body }.
local function new_book()
  return { n = 0, of = {}, acknowledged = 0 }
end

--- A submission of the next number, which its metadata carries to the result.
local function item(book, model, more)
  book.n = book.n + 1
  local body = { model_name = model, data = points(book.n), metadata = { n = book.n } }
  for key, value in pairs(more or {}) do
    body[key] = value
  end
  book.of[book.n] = {}
  return body, book.n
end

local SORTS = {
  function(book)
    local body, n = item(book, "moving_average")
    return { path = "submit", body = body, numbers = { n } }
  end,
  function(book)
    local body, n = item(book, "lstm_timeseries")
    local key = ("Idempotency-Key: %d-%d\r\n"):format(SEED, n)
    book.of[n] = { key = key, body = cjson.encode(body) }
    return { path = "submit", body = book.of[n].body, headers = JSON .. key, numbers = { n } }
  end,
  function(book)
    local body, n = item(book, "nlinear_timeseries", { deadline = "1ms" }) -- most of them are too late
    return { path = "submit", body = body, numbers = { n } }
  end,
  function(book)
    local items, numbers = {}, {}
    for i = 1, GROUP do
      items[i], numbers[i] = item(book, i % 4 == 0 and "lstm_timeseries" or "moving_average")
    end
    return { path = "batch", body = { items = items }, numbers = numbers }
  end,
}

local function acknowledge(book, n, id)
  assert.is_string(id)
  book.of[n].id = id
  book.acknowledged = book.acknowledged + 1
end

local function answered(book, sent, status, json)
  if status ~= 202 then
    return
  elseif sent.path == "submit" then
    acknowledge(book, sent.numbers[1], json.id)
    return
  end
  for i, answer in ipairs(json.items) do
    if answer.id then
      acknowledge(book, sent.numbers[i], answer.id)
    end
  end
end

--- One request on each connection; meanwhile() comes before anybody hears an answer.
local function burst(book, clients, meanwhile)
  local sent = {}
  for i, client in ipairs(clients) do
    local one = SORTS[math.random(#SORTS)](book)
    sent[i] = client:send("POST", BASE .. one.path, one.body, one.headers) and one or false
  end
  if meanwhile then
    meanwhile()
  end
  for i, client in ipairs(clients) do
    if sent[i] then
      answered(book, sent[i], client:receive())
    end
  end
end

local function connect(maru)
  local clients = {}
  for i = 1, CLIENTS do
    clients[i] = keepalive.new(tonumber(maru.url:match(":(%d+)$")))
  end
  return clients
end

local function submit_all(book, maru)
  local clients, kills = connect(maru), 0
  while book.acknowledged < JOBS or kills < KILLS do
    if kills < KILLS and book.acknowledged >= JOBS * (kills + 1) / (KILLS + 1) then
      kills = kills + 1
      burst(book, clients, function()
        socket.sleep(math.random() * 0.03)
        maru:kill()
      end)
      for _, client in ipairs(clients) do
        client:close()
      end
      assert(maru:restart(), maru:logs():sub(-3000))
      clients = connect(maru)
    else
      burst(book, clients)
    end
  end
  return clients
end

--- Those with a key are sent again: what was taken is known again, what was lost on the way is taken now.
local function submit_again(book, client)
  for _, one in ipairs(book.of) do
    if one.key then
      client:send("POST", BASE .. "submit", one.body, JSON .. one.key)
      local status, json = client:receive()
      assert.equal(202, status)
      assert.equal(one.id or json.id, json.id)
      one.id = json.id
    end
  end
end

--- The ends of all that were acknowledged, by number.
local function ends_of(book, maru)
  local ends, numbers = {}, {}
  for n, one in ipairs(book.of) do
    numbers[#numbers + 1] = one.id and n or nil
  end
  for first = 1, #numbers, PAGE do
    local ids = {}
    for i = first, math.min(first + PAGE - 1, #numbers) do
      ids[#ids + 1] = book.of[numbers[i]].id
    end
    local list
    assert(server.wait_for(function()
      list = maru:get(BASE .. "batch?ids=" .. table.concat(ids, ",")).json.results
      for i, view in ipairs(list) do
        assert(view ~= cjson.null, ids[i] .. " was acknowledged and is unknown")
        if view.status == "queued" or view.status == "running" then
          return false
        end
      end
      return true
    end), "not all of them come to an end")
    for i, view in ipairs(list) do
      ends[numbers[first + i - 1]] = view
    end
  end
  return ends, #numbers
end

--- How many results there are under each number, and how many of them are whole.
local function kept(maru)
  local times, completed, at = {}, 0, nil
  repeat
    local page = maru:get(BASE .. ("results?limit=%d%s"):format(PAGE, at and "&cursor=" .. at or "")).json
    for _, view in ipairs(page.results) do
      times[view.metadata.n] = (times[view.metadata.n] or 0) + 1
      completed = completed + (view.status == "completed" and 1 or 0)
    end
    at = page.next ~= cjson.null and page.next
  until not at
  return times, completed
end

describe("submissions to a server that is killed", function()
  it("have a result or a reason once they were acknowledged, and one only", function()
    math.randomseed(SEED)
    local maru = server.start({ plugins_path = "plugins",
      set = { "plugins.disable=simulator,chzzk,soop,streampulse,notify" } })
    local note, book, count = "INFERENCE_KILL_SEED=" .. SEED, new_book(), {}
    local clients = submit_all(book, maru)
    submit_again(book, clients[1])
    local ends, acknowledged = ends_of(book, maru)
    for n, view in pairs(ends) do
      count[view.status] = (count[view.status] or 0) + 1
      if view.status == "completed" then
        assert.is_true(#view.result.forecast > 0 and view.error == cjson.null, note)
      else
        assert.matches(REASONS[view.status] or "no such end", view.error.message, nil, nil, note .. cjson.encode(view))
      end
      assert.equal(n, view.metadata.n)
    end
    local times, completed = kept(maru)
    for n in ipairs(book.of) do
      assert.is_true((times[n] or 0) == 1 or not ends[n] and not times[n], ("%s: %d has %d results"):format(note, n,
        times[n] or 0))
    end
    local totals = maru:get(BASE .. "statistics?minutes=120").json
    maru:stop()
    assert.equal(completed, totals.completed, note)
    print(("# %d submissions, %d acknowledged over %d kills: %s"):format(book.n, acknowledged, KILLS,
      cjson.encode(count)))
  end)
end)
