--- app.http:stream in the real program: bodies that are read as they come, and server-sent events.
package.path = "core/lua/?.lua;" .. package.path

local client_stream = require("maru.client_stream")
local event_stream = require("maru.event_stream")
local server = require("spec.support.server")

--- All events of the bytes, fed in pieces of `size`.
local function parse(bytes, size)
  local parser, events = event_stream(), {}
  for i = 1, #bytes, size or #bytes do
    parser:feed(bytes:sub(i, i + (size or #bytes) - 1))
    local event = parser:next()
    while event do
      events[#events + 1] = event
      event = parser:next()
    end
  end
  return events
end

describe("a body", function()
  --- What app.http:stream gives where these pieces come.
  local function body(pieces)
    local raw = { read = function() return table.remove(pieces, 1) end }
    return client_stream(raw, 200, {}, "http://x/")
  end

  local function cut(text, size)
    local pieces = {}
    for i = 1, #text, size do
      pieces[#pieces + 1] = text:sub(i, i + size - 1)
    end
    return pieces
  end

  it("has the same lines in pieces of any size, and its rest may be read as it is", function()
    local text = "one\r\n\ntwo\n\r\n three\r\nlast\r"
    for size = 1, #text do
      local lines, stream = {}, body(cut(text, size))
      for line in stream:lines() do
        lines[#lines + 1] = line
      end
      assert.same({ "one", "", "two", "", " three", "last\r" }, lines, "in pieces of " .. size)
      assert.is_nil(stream:line())
      stream = body(cut(text, size))
      assert.equal("one", stream:line())
      local rest, piece = {}, stream:read()
      while piece do
        rest[#rest + 1], piece = piece, stream:read()
      end
      assert.equal("\ntwo\n\r\n three\r\nlast\r", table.concat(rest))
    end
    local stream = body({ "head\ndata: a\n\n", "data: b\n\n" })
    assert.equal("head", stream:line())
    assert.equal("a", stream:event().data)
    assert.equal("b", stream:event().data)
  end)

  it("does not move what is left for each of its lines", function() -- that would not end within the hour
    local count = 0
    for line in body({ ("a\n"):rep(2000000) }):lines() do
      count = count + #line
    end
    assert.equal(2000000, count)
  end)
end)

describe("an event stream", function()
  local cases = {
    ["ends an event with an empty line, whatever ends a line"] = {
      "data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\n\r\ndata: e\r\n\n", { "a", "b", "c", "d", "e" } },
    ["joins the lines of data"] = { "data: one\ndata: two\ndata:\ndata:  three\n\n", { "one\ntwo\n\n three" } },
    ["takes no notice of comments and unknown fields"] = { ": ping\n\n:\nwhat: x\ndata: a\n: b\n\n", { "a" } },
    ["drops a byte order mark, once"] = { "\239\187\191data: a\n\n\239\187\191data: b\n\n", { "a" } },
    ["gives no event without data"] = { "event: x\n\nid: 4\n\ndata\n\n", { "" } },
    ["drops what no empty line ended"] = { "data: a\n\ndata: b\n", { "a" } },
    ["keeps characters whole"] = { "data: 한국어 \240\159\140\138\n\n", { "한국어 \240\159\140\138" } },
    ["takes one space only"] = { "data:a\n\ndata: b\n\ndata:  c\n\n", { "a", "b", " c" } },
  }
  for what, case in pairs(cases) do
    it(what, function()
      for size = 1, #case[1] do
        local texts = {}
        for i, event in ipairs(parse(case[1], size)) do
          texts[i] = event.data
        end
        assert.same(case[2], texts, "in pieces of " .. size)
      end
    end)
  end

  it("has names, ids and times to come back", function()
    local events = parse("event: add\nid: 7\nretry: 1500\ndata: a\n\ndata: b\n\nid\nretry: 1x\nevent:\ndata: c\n\n"
      .. "id: 1\0002\ndata: d\n\n", 1)
    assert.same({ event = "add", data = "a", id = "7", retry = 1.5 }, events[1])
    assert.same({ event = "message", data = "b", id = "7", retry = 1.5 }, events[2])
    assert.same({ event = "message", data = "c", id = "", retry = 1.5 }, events[3])
    assert.equal("", events[4].id)
  end)

  it("has a largest event", function()
    local parser = event_stream()
    for _ = 1, 9 do
      parser:feed("data: " .. ("x"):rep(1024 * 1024) .. "\n")
    end
    local event, message = parser:next()
    assert.is_nil(event)
    assert.truthy(message:find("over", 1, true))
  end)
end)

--- Answers by path: pieces with pauses, a body without end, a cut one, one that stops for good, busy at first, gzip.
local PEER = [[
import gzip, http.server, sys, threading, time
tries, left = [0], []
class Handler(http.server.BaseHTTPRequestHandler):
    def head(self, status=200, **more):
        self.send_response(status)
        self.send_header("content-type", "text/event-stream")
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("connection", "close")
        self.end_headers()
    def say(self, *pieces):
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.03)
    def do_GET(self):
        try:
            self.answer()
        except OSError:
            left.append(self.path)
    def answer(self):
        if self.path == "/events":
            self.head()
            self.say(b": hello\n\nda", b"ta: \xed", b"\x95\x9c\xea\xb5\xad\r", b"\n\r\nevent: e",
                     b"nd\ndata: 2\n\n", b"data: cut")
        elif self.path == "/endless":
            self.head()
            while True:
                self.wfile.write(b"x" * 65536)
        elif self.path == "/cut":
            self.head(content_length="100")
            self.say(b"data: 1\n\n")
        elif self.path == "/frozen":
            self.head()
            self.say(b"data: 1\n\n")
            time.sleep(30)
        elif self.path == "/busy":
            tries[0] += 1
            self.head(503 if tries[0] == 1 else 200, retry_after="0")
            self.say(b"busy" if tries[0] == 1 else b"free")
        elif self.path == "/gzip":
            self.head(content_encoding="gzip")
            body = gzip.compress(b"line\r\n" * 1000 + b"last")
            self.say(body[:20], body[20:])
        elif self.path == "/away":
            self.head(302, location="http://127.0.0.2:9/")
        elif self.path == "/left":
            self.head()
            self.say(",".join(left).encode())
    def log_message(self, *args):
        pass
peer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
peer.daemon_threads = True
print("ready", peer.server_address[1], flush=True)
peer.serve_forever()
]]

local PLUGIN = [[
local M = { name = "reader", version = "1.0.0" }
M.allow = { net = { "127.0.0.1:PORT" } }
M.limits = { connections = 2 }

local function open(app, path, options)
  return assert(app.http:stream("http://127.0.0.1:PORT" .. path, options))
end

M.routes = {
  ["GET /read"] = function(app, req)
    local stream, pieces = open(app, req.query.path, { retries = 2, backoff = 0 }), {}
    local piece, message, code = stream:read()
    while piece do
      pieces[#pieces + 1] = piece
      piece, message, code = stream:read()
    end
    return 200, { status = stream.status, type = stream.headers["content-type"], pieces = #pieces,
      body = table.concat(pieces), message = message, code = code }
  end,
  ["GET /events"] = function(app, req)
    local stream, events = open(app, req.query.path, { silence = req.query.silence }), {}
    for event in stream:events() do
      events[#events + 1] = event
    end
    local message, code = stream:failure()
    return 200, { events = events, message = message, code = code }
  end,
  ["GET /lines"] = function(app, req)
    local stream, count, last = open(app, req.query.path), 0
    for line in stream:lines() do
      count, last = count + 1, line
    end
    return 200, { count = count, last = last }
  end,
  ["GET /refused"] = function(app)
    local stream, message, code = app.http:stream("http://127.0.0.1:PORT/away")
    return 200, { opened = stream ~= nil, message = message, code = code }
  end,
  ["GET /some"] = function(app, req)
    local stream, bytes = open(app, "/endless", { max_bytes = req.query.most }), 0
    local message, code
    while bytes < 300000 do
      local piece
      piece, message, code = stream:read()
      if not piece then
        break
      end
      bytes = bytes + #piece
      app.sleep(0.01)
    end
    if req.query.close then
      stream:close()
    end
    return 200, { bytes = bytes, message = message, code = code, closed = not pcall(stream.read, stream) }
  end,
  ["GET /many"] = function(app)
    local codes, held = {}, {} -- the collector closes a stream that nobody can read any more
    for i = 1, 3 do
      local stream, _, code = app.http:stream("http://127.0.0.1:PORT/endless")
      codes[i], held[i] = stream and "open" or code, stream
    end
    return 200, codes
  end,
  ["GET /other"] = function(app)
    local stream = open(app, "/events")
    local said
    app.spawn(function()
      local _, message = pcall(stream.read, stream)
      said = message
    end)
    app.sleep(0.05)
    return 200, { said = said }
  end,
  ["GET /closed"] = function(app, req)
    local stream, closed = open(app, "/frozen")
    assert(stream:read())
    app.spawn(function()
      stream:close()
      stream:close()
      closed = true
    end)
    while req.query.late and not closed do
      app.sleep(0.001)
    end
    local events = 0
    for _ in stream:events() do
      events = events + 1
    end
    local message, code = stream:failure()
    local again = open(app, "/gzip") -- limits.connections has its place again
    again:close()
    return 200, { events = events, message = message, code = code, again = select(3, stream:read()) }
  end,
  ["GET /wrong"] = function(app)
    local _, unknown = pcall(app.http.stream, app.http, "http://x/", { what = 1 })
    local _, dot = pcall(app.http.stream, "http://x/")
    return 200, { unknown = unknown, dot = dot }
  end,
}
return M
]]

describe("app.http:stream", function()
  local maru, peer, dir

  setup(function()
    dir = server.make_dir()
    server.write_file(dir .. "/peer.py", PEER)
    peer = server.shell(("python3 %s/peer.py >%s/out 2>&1 & echo $!"):format(dir, dir)):match("%d+")
    local port = server.wait_for(function()
      return (server.read_file(dir .. "/out") or ""):match("ready (%d+)")
    end)
    assert(port, server.read_file(dir .. "/out"))
    maru = server.start({ plugins = { reader = { ["plugin.lua"] = PLUGIN:gsub("PORT", port) } } })
  end)

  teardown(function()
    maru:stop()
    server.shell("kill " .. peer .. "; rm -rf " .. dir)
  end)

  local function get(path)
    local answer = maru:get(path)
    assert.equal(200, answer.status, tostring(answer.body) .. maru:logs())
    return answer.json
  end

  it("reads a body in the pieces that came, with its status and headers", function()
    local answer = get("/read?path=/events")
    assert.equal(200, answer.status)
    assert.equal("text/event-stream", answer.type)
    assert.is_true(answer.pieces > 1, answer.pieces .. " pieces")
    assert.is_nil(answer.code)
    assert.truthy(answer.body:find("한국\r\n\r\nevent: end", 1, true))
  end)

  it("parses server-sent events cut anywhere", function()
    local answer = get("/events?path=/events")
    assert.same({ { event = "message", data = "한국", id = "" }, { event = "end", data = "2", id = "" } }, answer.events)
    assert.is_nil(answer.code)
  end)

  it("reads lines of a compressed body", function()
    assert.same({ count = 1001, last = "last" }, get("/lines?path=/gzip"))
  end)

  it("says when the peer cut it, after what came", function()
    local answer = get("/events?path=/cut")
    assert.equal("1", answer.events[1].data)
    assert.equal("protocol", answer.code)
  end)

  it("says when the peer falls silent", function()
    local answer = get("/events?path=/frozen&silence=0.2")
    assert.equal("1", answer.events[1].data)
    assert.equal("timeout", answer.code)
    assert.equal("nothing was heard for 200 ms", answer.message)
  end)

  it("tries again before it shows anything", function()
    local answer = get("/read?path=/busy")
    assert.equal(200, answer.status)
    assert.equal("free", answer.body)
  end)

  it("follows a redirect to allowed hosts only", function()
    local answer = get("/refused")
    assert.is_false(answer.opened)
    assert.equal("forbidden", answer.code)
  end)

  it("leaves a body without end when it is closed, or its task ends", function()
    local answer = get("/some?close=1")
    assert.is_true(answer.bytes >= 300000)
    assert.is_true(answer.closed)
    assert.is_false(get("/some").closed)
    assert(server.wait_for(function()
      local _, count = get("/read?path=/left").body:gsub("/endless", "")
      return count == 2
    end), "the peer still sends")
  end)

  it("has a largest body", function()
    local answer = get("/some?most=100K")
    assert.equal("too_large", answer.code)
    assert.is_true(answer.bytes <= 100 * 1024)
  end)

  it("counts against limits.connections until the task ends", function()
    assert.same({ "open", "open", "limit" }, get("/many"))
    assert.same({ "open", "open", "limit" }, get("/many"))
  end)

  it("belongs to the task that opened it", function()
    assert.truthy(get("/other").said:find("belongs to another task", 1, true))
  end)

  for when, path in pairs({ ["wakes the task that reads it"] = "/closed", ["tells its task"] = "/closed?late=1" }) do
    it(when .. " when another task closes it", function()
      assert.same({ events = 0, message = "the stream was closed by another task", code = "closed", again = "closed" },
        get(path))
    end)
  end

  it("says how it is used", function()
    local answer = get("/wrong")
    assert.truthy(answer.unknown:find("app.http:stream(url, [options]): unknown option what", 1, true))
    assert.truthy(answer.dot:find("call it with a colon", 1, true))
  end)
end)
