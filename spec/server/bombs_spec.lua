--- A plugin that takes all it can get, on the same lanes as another one: what its caller gets, that the other
--- plugin answers every request meanwhile and its jobs run, and that what was taken comes back.
local cjson = require("cjson")
local bombs = require("spec.support.bombs")
local server = require("spec.support.server")
local socket = require("socket")

local SANITIZED = os.getenv("SPEC_PRESET") == "asan"

describe("a plugin that takes all it can", function()
  local maru, pid

  setup(function()
    maru = server.start({ plugins = { good = bombs.good, bad = bombs.bad },
      set = { "lanes.web=1", "lanes.job=1", "plugins.quarantine_kills=1000", "log.level=error" } })
    pid = maru:server_pid()
  end)

  teardown(function()
    maru:stop()
  end)

  --- Asks the good plugin again and again while fn runs. @return table answers per status
  local function during(fn)
    local stop, out = maru.dir .. "/stop", maru.dir .. "/statuses"
    os.remove(stop)
    os.remove(out)
    os.execute(("{ while [ ! -e %s ]; do curl -s -m 30 -o /dev/null -w '%%{http_code}\\n' %s/good; done; "
      .. "echo end; } >%s 2>/dev/null &"):format(stop, maru.url, out))
    server.wait_for(function()
      return (server.read_file(out) or ""):find("\n")
    end)
    fn()
    server.shell("touch " .. stop)
    assert.truthy(server.wait_for(function()
      return server.read_file(out):find("end\n")
    end, 60), "the good plugin does not answer")
    local statuses = {}
    for status in server.read_file(out):gmatch("%d+") do
      statuses[status] = (statuses[status] or 0) + 1
    end
    return statuses
  end

  local function row(name)
    for _, plugin in ipairs(maru:admin("/plugins")) do
      if plugin.name == name then
        return plugin
      end
    end
  end

  local function rss()
    return maru:admin("/status").memory.rss_bytes
  end

  local pushed = 0
  local function push()
    local answer = maru:request("/good/jobs", { method = "POST", body = "" })
    assert.equal(202, answer.status, answer.body)
    pushed = pushed + answer.json.count
  end

  local function recovered()
    return server.wait_for(function()
      return maru:get("/bad/ok").status == 200
    end)
  end

  local function has_one_of(words, text)
    for word in words:gmatch("[^|]+") do
      if text:find(word, 1, true) then
        return true
      end
    end
    return words == ""
  end

  for i, bomb in ipairs(bombs.bombs) do
    local name, status, code, words = bomb[1], bomb[2], bomb[3], bomb[4]
    it("is stopped: " .. name, function()
      local answer
      push()
      local statuses = during(function()
        answer = maru:get("/bad/" .. i)
      end)
      assert.equal(status, answer.status, answer.body:sub(1, 500))
      assert.equal(code, code and answer.json.code)
      assert.is_true(has_one_of(words, answer.body), answer.body:sub(1, 500))
      assert.same({ "200" }, { next(statuses), next(statuses, (next(statuses))) }, cjson.encode(statuses))
      assert.is_true(recovered(), "the bad plugin does not come back")
    end)
  end

  it("is told which limit it reached: tasks that sleep", function()
    push()
    local statuses = during(function()
      local answer = maru:get("/bad/spawn")
      assert.equal(200, answer.status)
      assert.equal(999, answer.json[1])
    end)
    assert.same({ "200" }, { next(statuses), next(statuses, (next(statuses))) })
    assert.is_true(recovered())
    assert.is_true(row("bad").limited.tasks >= 1, row("bad").limited.tasks)
    assert.equal(0, row("good").limited.tasks)
  end)

  it("has left the other plugin's jobs alone", function()
    assert.is_true(pushed >= 3 * #bombs.bombs, pushed)
    local last
    assert.is_truthy(server.wait_for(function()
      last = maru:get("/good/jobs").json.count
      return last == pushed
    end), ("%d of %d ran"):format(last or -1, pushed))
  end)

  it("has given back what it took, and the process is the same", function()
    assert.equal(pid, maru:server_pid())
    assert.equal(0, maru:admin("/status").crashes)
    assert.truthy(server.wait_for(function()
      return row("bad").memory_bytes < 12 * 2 ^ 20
    end), cjson.encode(row("bad")))
    assert.equal(0, row("good").kills)
    assert.equal(0, row("good").faults)
    assert.is_true(row("bad").kills >= 5, row("bad").kills)
    if not SANITIZED then
      assert.truthy(server.wait_for(function()
        return rss() < 400 * 2 ^ 20
      end), tostring(rss()))
    end
  end)
end)

describe("limits", function()
  local maru
  local port = server.free_port()

  setup(function()
    maru = server.start({ plugins = { few = { ["plugin.lua"] = ([[
local M = { name = "few", version = "1.0.0" }
M.limits = { tasks = 2, sockets = 2, connections = 1, timers = 2, task = "5s" }
M.allow = { net = { "private:127.0.0.1:PORT" } }
M.sockets = { ["/ws"] = { message = function(_, s, text) s:send(text) end } }
M.routes = {
  ["GET /sleep"] = function(app) return 200, { app.sleep(1) or "limit" } end,
  ["GET /ok"] = function() return 200, {} end,
  ["GET /fetch"] = function(app, req)
    local done = {}
    local function fetch(i) done[i] = { app.http:get(req.query.url) } end
    app.spawn(function() fetch(1) end)
    fetch(2)
    while not (done[1] and done[2]) do app.sleep(0.01) end
    return 200, { done[1][3] or "fine", done[2][3] or "fine" }
  end,
}
return M
]]):gsub("PORT", port) } }, set = { "lanes.web=1", "lanes.job=1", "http.listen=127.0.0.1:" .. port } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function connect(bytes)
    local client = assert(socket.connect("127.0.0.1", tonumber(maru.url:match(":(%d+)$"))))
    client:settimeout(10)
    client:send(bytes)
    return client
  end

  local UPGRADE = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    .. "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

  it("answers one task too many with 503, naming the limit", function()
    local first = connect("GET /sleep HTTP/1.1\r\nhost: x\r\n\r\n")
    local second = connect("GET /sleep HTTP/1.1\r\nhost: x\r\n\r\n")
    local answer = server.wait_for(function()
      local one = maru:get("/ok")
      return one.status ~= 200 and one
    end)
    assert.equal(503, answer.status)
    assert.equal("limit", answer.json.code)
    assert.equal("tasks", answer.json.limit)
    assert.equal("few has 2 tasks at once on this lane (limits.tasks)", answer.json.detail)
    assert.equal("1", answer.headers["retry-after"])
    assert.truthy(first:receive("*l"):find("200"))
    assert.truthy(second:receive("*l"):find("200"))
    first:close()
    second:close()
    assert.equal(200, maru:get("/ok").status)
  end)

  it("answers one socket too many with 503, and lets one in when another has gone", function()
    local one, two = connect(UPGRADE), connect(UPGRADE)
    assert.truthy(one:receive("*l"):find(" 101 "))
    assert.truthy(two:receive("*l"):find(" 101 "))
    local three = connect((UPGRADE:gsub("host: x", "host: x\r\nx-last: 1")))
    assert.truthy(three:receive("*l"):find(" 503 "))
    local length
    repeat
      local line = three:receive("*l")
      length = length or line:match("^[Cc]ontent%-[Ll]ength: (%d+)")
    until line == ""
    local problem = cjson.decode((three:receive(tonumber(length))))
    assert.equal("limit", problem.code)
    assert.equal("sockets", problem.limit)
    one:close()
    local let_in = server.wait_for(function()
      local again = connect(UPGRADE)
      local line = again:receive("*l")
      if line:find(" 101 ") then
        return again
      end
      again:close()
    end)
    assert.truthy(let_in)
    let_in:close()
    two:close()
    three:close()
  end)

  it("tells an outgoing request too many, and counts what it refused", function()
    local answer = maru:get("/fetch?url=" .. maru.url .. "/healthz")
    assert.equal(200, answer.status, answer.body)
    table.sort(answer.json)
    assert.same({ "fine", "limit" }, answer.json)
    local row = maru:admin("/plugins")[1]
    assert.equal(1, row.limited.connections)
    assert.is_true(row.limited.sockets >= 1, row.limited.sockets)
    assert.is_true(row.limited.tasks >= 1, row.limited.tasks)
  end)
end)
