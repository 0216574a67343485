--- app.http in the real program: where requests and their redirects may lead.
local server = require("spec.support.server")

--- A peer on 127.0.0.1 and ::1 of one port: /to?URL redirects there, anything else says which of the two it
--- is. It notes in a file what reached it.
local PEER = [[
import http.server, socket, sys, threading, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[2], "a") as log:
            log.write(self.path + "\n")
        there = self.path.partition("?")[2] if self.path.startswith("/to?") else None
        body = self.server.who.encode()
        self.send_response(302 if there else 200)
        if there:
            self.send_header("location", urllib.parse.unquote(there))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Six(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
four = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
six = Six(("::1", int(sys.argv[1])), Handler)
four.who, six.who = "v4", "v6"
threading.Thread(target=six.serve_forever, daemon=True).start()
print("ready", flush=True)
four.serve_forever()
]]

local PLUGIN = [[
local M = { name = "reach", version = "1.0.0" }
M.allow = { net = { "localhost:PORT", "[::1]:PORT", "169.254.169.254:80", "api.example.invalid:443" } }
M.routes = { ["GET /fetch"] = function(app, req)
  local answer, message, code = app.http:get(req.query.url, { redirects = 5, timeout = "5s" })
  return 200, { status = answer and answer.status, body = answer and answer.body, message = message, code = code }
end }
return M
]]

describe("a plugin's requests", function()
  local maru, peer, port, dir

  setup(function()
    dir, port = server.make_dir(), server.free_port()
    server.write_file(dir .. "/peer.py", PEER)
    local command = ("python3 %s/peer.py %d %s/seen >%s/out 2>&1 & echo $!"):format(dir, port, dir, dir)
    peer = server.shell(command):match("%d+")
    assert(server.wait_for(function()
      return (server.read_file(dir .. "/out") or ""):find("ready", 1, true)
    end), server.read_file(dir .. "/out"))
    maru = server.start({ plugins = { reach = { ["plugin.lua"] = PLUGIN:gsub("PORT", port) } } })
  end)

  teardown(function()
    maru:stop()
    server.shell("kill " .. peer .. "; rm -rf " .. dir)
  end)

  local function escape(text)
    return (text:gsub("[^%w]", function(c)
      return ("%%%02X"):format(c:byte())
    end))
  end

  local function fetch(url)
    return maru:get("/fetch?url=" .. escape((url:gsub("PORT", port)))).json
  end

  local function seen()
    local _, count = (server.read_file(dir .. "/seen") or ""):gsub("\n", "")
    return count
  end

  it("reach what is named", function()
    assert.equal(200, fetch("http://localhost:PORT/").status)
    assert.equal("v6", fetch("http://[::1]:PORT/").body)
    assert.equal(200, fetch("http://LocalHost:PORT/to?/there").status)
    assert.equal("v6", fetch("http://localhost:PORT/to?" .. escape("http://[::1]:" .. port .. "/")).body)
  end)

  it("reach nothing else, however it is spelt", function()
    local before = seen()
    for _, url in ipairs({ "http://127.0.0.1:PORT/", "http://2130706433:PORT/", "http://0x7f.1:PORT/",
      "http://0177.0.0.1:PORT/", "http://127.1:PORT/", "http://localhost:PORT@127.0.0.1:PORT/",
      "http://127.0.0.1.:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::1%25lo]:PORT/",
      "http://localhost.example:PORT/",
      "http://169.254.169.254/latest/meta-data/", "http://\239\188\145\239\188\146\239\188\151.0.0.1:PORT/",
      "file:///etc/passwd", "gopher://localhost:PORT/", "ftp://localhost:PORT/" }) do
      local answer = fetch(url)
      assert.equal("forbidden", answer.code, url .. ": " .. tostring(answer.message))
    end
    assert.equal(before, seen())
  end)

  it("are judged again at every hop", function()
    for _, url in ipairs({ "http://127.0.0.1:PORT/", "//127.0.0.1:PORT/", "http://2130706433:PORT/",
      "http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]:PORT/", "http://localhost:1/",
      "file:///etc/passwd", "dict://localhost:PORT/",
      "http://localhost:PORT/to?http%3A%2F%2F127.0.0.1%3APORT%2F" }) do
      local before = seen()
      local hop = escape((url:gsub("PORT", port)))
      local answer = fetch("http://localhost:PORT/to?" .. hop)
      assert.equal("forbidden", answer.code, url .. ": " .. tostring(answer.message))
      assert.equal(before + (url:find("/to?", 1, true) and 2 or 1), seen())
    end
  end)

  it("ask no proxy", function()
    maru.command = "export http_proxy=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9; " .. maru.command
    assert.is_true(maru:restart(), maru:logs())
    assert.equal(200, fetch("http://localhost:PORT/").status)
  end)
end)
