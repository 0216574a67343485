--- The real program in a folder and on ports of its own.
---
---   local server = require("spec.support.server")
---   local maru = server.start({ plugins = { guestbook = { ["plugin.lua"] = "…" } }, set = { "log.level=debug" } })
---   local answer = maru:get("/api/v1/lines")      -- { status, headers, body, json }
---   maru:stop()
---
--- Everything it writes is under maru.dir, which stop() removes; what is left running is killed by
--- pid. The binary is build/<SPEC_PRESET or release>/maru.
local cjson = require("cjson")
local http = require("socket.http")
local ltn12 = require("ltn12")
local servers = require("spec.support.servers")
local socket = require("socket")

local M = {}
local Server = {}
Server.__index = Server

http.TIMEOUT = 60

function M.binary()
  return "build/" .. (os.getenv("SPEC_PRESET") or "release") .. "/maru"
end

--- Runs a shell command; returns its output and exit status.
function M.shell(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1; echo \" $?\"", "r"))
  local text = pipe:read("*a")
  pipe:close()
  local output, status = text:match("^(.-) (%d+)\n$")
  return output, tonumber(status)
end

--- One of maru's commands, with arguments as in a shell. @return string output, integer status
function M.maru(arguments)
  return M.shell(M.binary() .. " " .. arguments)
end

--- A port nobody listens on now.
function M.free_port()
  local listener = assert(socket.bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return tonumber(port)
end

function M.read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

--- Writes as an editor does: a new file beside it, then a rename.
function M.write_file(path, text)
  local file = assert(io.open(path .. ".new", "wb"))
  assert(file:write(text))
  file:close()
  assert(os.rename(path .. ".new", path))
end

function M.make_dir()
  return (M.shell("mktemp -d /tmp/maru-spec.XXXXXX"):gsub("%s+$", ""))
end

--- Files of plugins: { name = { ["plugin.lua"] = text, ["migrations/0001_a.sql"] = text } }.
function M.write_plugins(dir, plugins)
  for name, files in pairs(plugins) do
    for file, text in pairs(files) do
      local path = dir .. "/" .. name .. "/" .. file
      M.shell("mkdir -p '" .. path:match("^(.*)/") .. "'")
      M.write_file(path, text)
    end
  end
end

local function alive(pid)
  local stat = M.read_file("/proc/" .. pid .. "/stat")
  return stat ~= nil and stat:match("^.*%) (%a)") ~= "Z"
end
M.alive = alive

--- Waits until check() is true, at most `seconds` (60): a slow machine is no fault, and no test is about time.
--- @return any what check returned, or nil
function M.wait_for(check, seconds)
  local deadline = socket.gettime() + (seconds or 60)
  repeat
    local value = check()
    if value then
      return value
    end
    socket.sleep(0.02)
  until socket.gettime() > deadline
  return nil
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function command_line(self, options)
  local words = { "exec" }
  if options.env then
    words[#words + 1] = "env"
    for name, value in pairs(options.env) do
      words[#words + 1] = name .. "=" .. quote((tostring(value):gsub("%%DIR%%", self.dir)))
    end
  end
  words[#words + 1] = M.binary()
  words[#words + 1] = "serve"
  local function set(text)
    words[#words + 1] = "--set"
    words[#words + 1] = quote(text)
  end
  if options.config then
    M.write_file(self.dir .. "/maru.lua", options.config)
    words[#words + 1] = "-c " .. self.dir .. "/maru.lua"
  end
  if options.demo then
    words[#words + 1] = "--demo"
  end
  set("state.dir=" .. self.dir .. "/state")
  set("http.listen=127.0.0.1:0")
  set("https.listen=" .. (options.https and "127.0.0.1:0" or ""))
  set("log.file=" .. self.dir .. "/log")
  set("plugins.path=" .. self.plugins_path)
  for _, text in ipairs(servers.settings(self.dir, options.set or {})) do
    set(text)
  end
  for _, text in ipairs(options.set or {}) do
    set(text)
  end
  return table.concat(words, " ")
end

--- Starts without waiting for readiness; for tests of failing starts use try_start.
function Server:launch()
  local command = self.command .. " >" .. self.dir .. "/out 2>" .. self.dir .. "/err"
  os.remove(self.dir .. "/out")
  self.pid = tonumber((M.shell("sh -c " .. quote(command) .. " & echo $!"):match("%d+")))
end

local function ready_line(self)
  return M.wait_for(function()
    local text = M.read_file(self.dir .. "/out") or ""
    local line = text:match("(%b{})")
    return line and cjson.decode(line) or (not alive(self.pid) and { ready = false })
  end)
end

function Server:logs()
  return (M.read_file(self.dir .. "/err") or "") .. (M.read_file(self.dir .. "/log") or "")
end

--- Options: plugins (files), plugins_path, config (text of maru.lua), set (list), demo, https,
--- env (name to value; %DIR% in it is the server's folder).
--- Returns the server, or nil and its log when it did not get ready.
function M.try_start(options)
  local self = setmetatable({ dir = M.make_dir() }, Server)
  M.shell("mkdir -p " .. self.dir .. "/plugins")
  M.write_plugins(self.dir .. "/plugins", options.plugins or {})
  self.plugins_path = self.dir .. "/plugins" .. (options.plugins_path and ":" .. options.plugins_path or "")
  self.command = command_line(self, options)
  self:launch()
  self.ready = ready_line(self)
  if not self.ready or not self.ready.ready then
    local log = self:logs()
    self:stop()
    return nil, log
  end
  self.url, self.https = self.ready.http, self.ready.https
  return self
end

function M.start(options)
  local self, log = M.try_start(options or {})
  return self or error("maru did not get ready:\n" .. tostring(log), 2)
end

--- The server process of now (it changes when one is killed).
function Server:server_pid()
  local children = M.read_file("/proc/" .. self.pid .. "/task/" .. self.pid .. "/children") or ""
  return tonumber(children:match("%d+"))
end

function Server:signal(name, pid)
  M.shell("kill -" .. name .. " " .. (pid or self.pid))
end

--- Supervisor and server die at once; self.killed is the server's process.
function Server:kill()
  self.killed = self:server_pid()
  self:signal("KILL")
  self:signal("KILL", self.killed)
  M.wait_for(function()
    return not M.alive(self.pid) and not M.alive(self.killed)
  end)
end

--- Options: method, headers, body, json (table). @return { status, headers, body, json }
function Server:request(path, options)
  options = options or {}
  local headers, body, chunks = {}, options.body, {}
  for name, value in pairs(options.headers or {}) do
    headers[name] = value
  end
  if options.json then
    body = cjson.encode(options.json)
    headers["content-type"] = headers["content-type"] or "application/json"
  end
  if body then
    headers["content-length"] = tostring(#body)
  end
  local ok, status, answered = http.request({
    url = path:match("^http") and path or self.url .. path,
    method = options.method or (body and "POST" or "GET"),
    headers = headers,
    source = body and ltn12.source.string(body) or nil,
    sink = ltn12.sink.table(chunks),
    redirect = false,
  })
  if not ok then
    return { status = 0, error = status, headers = {}, body = "" }
  end
  local text = table.concat(chunks)
  local decoded, json = pcall(cjson.decode, text)
  return { status = status, headers = answered, body = text, json = decoded and json or nil }
end

function Server:get(path, options)
  return self:request(path, options)
end

function Server:post(path, json)
  return self:request(path, { method = "POST", json = json })
end

--- Sends bytes as they are and returns all that comes back.
function Server:raw(bytes, timeout)
  local client = assert(socket.connect("127.0.0.1", tonumber(self.url:match(":(%d+)$"))))
  client:settimeout(timeout or 5)
  client:send(bytes)
  local whole, _, part = client:receive("*a")
  client:close()
  return whole or part
end

--- One of the admin commands against this server. @return string output, integer status
function Server:command_output(arguments)
  local command, rest = arguments:match("^(%S+)%s*(.*)$")
  return M.maru(command .. " --set state.dir=" .. self.dir .. "/state " .. rest)
end

function Server:plugin_path(name, file)
  return self.dir .. "/plugins/" .. name .. "/" .. (file or "plugin.lua")
end

--- @return table an answer of the admin API, by its unix socket; body is sent as JSON
function Server:admin(path, method, body)
  local text = M.shell(("curl -sS -X %s%s --unix-socket %s/state/admin.sock http://maru/admin/v1%s"):format(
    method or "GET", body and " -H 'content-type: application/json' -d " .. quote(cjson.encode(body)) or "", self.dir,
    quote(path)))
  local ok, json = pcall(cjson.decode, text)
  return ok and json or error("admin answered " .. text, 2)
end

--- Stops it, kills what is left and removes its folder (not with `keep`: then restart begins again on it).
function Server:stop(keep)
  if self.pid and alive(self.pid) then
    local children = M.read_file("/proc/" .. self.pid .. "/task/" .. self.pid .. "/children") or ""
    self:signal("TERM")
    if not M.wait_for(function()
      return not alive(self.pid)
    end) then
      self:signal("KILL")
      for pid in children:gmatch("%d+") do
        self:signal("KILL", pid)
      end
      self.forced = true
    end
  end
  if not keep then
    self.stopped = true
    servers.drop(self.dir)
    M.shell("rm -rf " .. self.dir)
  end
end

--- Stops it and starts it again on the same folder. @return boolean whether it got ready
function Server:restart()
  self:stop(true)
  self:launch()
  self.ready = ready_line(self)
  self.url, self.https = self.ready and self.ready.http, self.ready and self.ready.https
  return self.ready ~= nil and self.ready.ready
end

return M
