--- /dev/events: what open pages are told in development when a plugin breaks, and when it is whole again.
local cjson = require("cjson")
local server = require("spec.support.server")
local socket = require("socket")

local GOOD = 'local M = { name = "sample", version = "1.0.0" }\nM.routes = {}\nreturn M\n'
local BROKEN = 'local M = { name = "sample", version = "1.0.0" }\nM.routes = {\nreturn M\n'

--- An open page: next_state() waits for the next event.
local function listen(maru)
  local page = assert(socket.connect("127.0.0.1", tonumber(maru.url:match(":(%d+)$"))))
  page:settimeout(15)
  page:send("GET /dev/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
  local self = {}
  function self.next_state()
    repeat
      local line, message = page:receive("*l")
      assert(line, message)
      local json = line:match("^data: (.*)\r?$")
      if json then
        return cjson.decode(json)
      end
    until false
  end
  function self.wait_for(check)
    for _ = 1, 20 do
      local state = self.next_state()
      if check(state) then
        return state
      end
    end
    error("20 events, and none was it")
  end
  function self.close()
    page:close()
  end
  return self
end

local function broken(state)
  return #state.failures == 1
end

local function whole(state)
  return #state.failures == 0
end

describe("/dev/events in development", function()
  local maru, page

  before_each(function()
    maru = server.start({ plugins = { sample = { ["plugin.lua"] = GOOD } } })
    page = listen(maru)
  end)

  after_each(function()
    page.close()
    maru:stop()
  end)

  it("tells the state at once, then the failing lines and what serves on, then that it is over", function()
    assert.same({}, page.next_state().failures)
    server.write_file(maru:plugin_path("sample"), BROKEN)
    local failure = page.wait_for(broken).failures[1]
    assert.equal("sample", failure.plugin)
    assert.equal("plugins/sample/plugin.lua:3", failure.at)
    assert.truthy(failure.message:find("unexpected symbol", 1, true), failure.message)
    assert.equal(3, failure.line)
    assert.same({ line = 2, text = "M.routes = {" }, failure.lines[2])
    assert.equal(3, #failure.lines)
    assert.truthy(failure.kept:find("^sample@%x+$"), failure.kept)
    server.write_file(maru:plugin_path("sample"), GOOD .. "-- fixed\n")
    page.wait_for(whole)
  end)

  it("is over when the fix lands, when the old text comes back, and when the folder goes", function()
    local path = maru:plugin_path("sample")
    page.next_state()
    server.write_file(path, BROKEN)
    local set = page.wait_for(broken).set
    server.write_file(path, GOOD .. "-- fixed\n")
    assert.is_true(page.wait_for(whole).set >= set)
    server.write_file(path, BROKEN)
    page.wait_for(broken)
    server.write_file(path, GOOD .. "-- fixed\n")
    page.wait_for(whole)
    assert.equal(cjson.null, maru:admin("/plugins")[1].last_error)
    server.write_plugins(maru.dir .. "/plugins", { other = { ["plugin.lua"] = "return\n" } })
    page.wait_for(broken)
    server.shell("rm -rf " .. maru.dir .. "/plugins/other")
    page.wait_for(whole)
  end)

  it("shows the line of a migration", function()
    page.next_state()
    server.write_plugins(maru.dir .. "/plugins", { sample = {
      ["migrations/0001_a.sql"] = "create table sample_a (id integer);\ncreat table b (id integer);\n" } })
    local failure = page.wait_for(broken).failures[1]
    assert.equal("migrations/0001_a.sql", failure.file)
    assert.equal(2, failure.line)
    assert.equal("creat table b (id integer);", failure.lines[2].text)
  end)

  it("closes with the server", function()
    page.next_state()
    local pages = { listen(maru), listen(maru), listen(maru) }
    for _, one in ipairs(pages) do
      one.next_state()
    end
    pages[1].close()
    maru:signal("TERM")
    assert.truthy(server.wait_for(function() return not server.alive(maru.pid) end))
    assert.is_false((pcall(pages[2].next_state)))
  end)
end)

describe("a handler that raises in development", function()
  local maru
  local SOURCE = 'local M = { name = "sample", version = "1.0.0" }\n'
    .. 'M.routes = { ["GET /raise"] = function()\n  error("<script>&\\"")\nend,\n'
    .. '["GET /value"] = function() error({}) end, ["GET /answer"] = function() return "text" end }\nreturn M\n'

  setup(function()
    maru = server.start({ plugins = { sample = { ["plugin.lua"] = SOURCE } } })
  end)

  teardown(function()
    maru:stop()
  end)

  local function get(path, language)
    return maru:get(path, { headers = { accept = "text/html,*/*", ["accept-language"] = language } })
  end

  it("answers a browser with a page that shows the line, and nothing in it is markup", function()
    local answer = get("/raise", "ko-KR,ko;q=0.9,en;q=0.8")
    assert.equal(500, answer.status)
    assert.equal("text/html; charset=utf-8", answer.headers["content-type"])
    assert.truthy(answer.headers["content-security-policy"]:find("default-src 'self'", 1, true))
    assert.truthy(answer.body:find('<html lang="ko"', 1, true))
    assert.truthy(answer.body:find("plugins/sample/plugin.lua:3</p>", 1, true), answer.body)
    assert.truthy(answer.body:find('failing"><i>3</i>  error(&quot;&lt;script&gt;&amp;\\&quot;&quot;)', 1, true),
      answer.body)
    assert.falsy(answer.body:find("<script>&", 1, true))
    assert.truthy(get("/raise", "de,en").body:find('<html lang="en"', 1, true))
  end)

  it("does so for values that are no text, and for answers that are none", function()
    local answer = get("/value", "en")
    assert.truthy(answer.body:find("raised a table value", 1, true), answer.body)
    assert.truthy(answer.body:find('failing"><i>5</i>', 1, true), answer.body)
    assert.truthy(get("/answer", "en").body:find("a handler returns status, body, headers", 1, true))
  end)

  it("answers programs with a problem document as before", function()
    local answer = maru:get("/raise", { headers = { accept = "application/json" } })
    assert.equal("application/problem+json", answer.headers["content-type"])
    assert.equal(500, answer.json.status)
  end)
end)
