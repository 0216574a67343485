--- The stand-in of openai.py as a process of its own.
---
---   local openai = require("spec.support.openai")
---   local peer = openai.start()           -- peer.url, peer.port, peer.pid
---   peer:provider("plain", { name = "a", price = { input = 2, output = 8 } })   -- Lua text for model.providers
---   peer:requests()                       -- { { at, path, key, body }, … } since the last call
---   peer:stop()
local cjson = require("cjson")
local server = require("spec.support.server")

local M = {}
local Peer = {}
Peer.__index = Peer

--- options: script (a list of { text } and { call, arguments } for the model "script"), port
function M.start(options)
  options = options or {}
  local self = setmetatable({ dir = server.make_dir(), seen = 0 }, Peer)
  self.log, self.script = self.dir .. "/requests", self.dir .. "/script.json"
  self:say(options.script or {})
  self:launch(options.port)
  return self
end

--- What the model "script" says from now on.
function Peer:say(steps)
  server.write_file(self.script, #steps == 0 and "[]" or cjson.encode(steps))
end

function Peer:launch(port)
  os.remove(self.dir .. "/out")
  local command = ("OPENAI_SCRIPT=%s OPENAI_PORT=%s python3 spec/support/openai.py %s >%s/out 2>&1 & echo $!"):format(
    self.script, port or 0, self.log, self.dir)
  self.pid = tonumber(server.shell(command):match("%d+"))
  self.port = tonumber(server.wait_for(function()
    return (server.read_file(self.dir .. "/out") or ""):match("ready (%d+)")
  end))
  assert(self.port, server.read_file(self.dir .. "/out"))
  self.url = "http://127.0.0.1:" .. self.port .. "/v1"
end

--- The process ends; launch(self.port) starts another in its place.
function Peer:kill()
  server.shell("kill -KILL " .. self.pid)
  server.wait_for(function()
    return not server.alive(self.pid)
  end)
end

--- JSON of one entry of model.providers.
function Peer:provider(model, more)
  local entry = { name = model, url = self.url, model = model }
  for key, value in pairs(more or {}) do
    entry[key] = value
  end
  return cjson.encode(entry)
end

function Peer:requests()
  local list, number = {}, 0
  for line in (server.read_file(self.log) or ""):gmatch("[^\n]+") do
    number = number + 1
    if number > self.seen then
      list[#list + 1] = cjson.decode(line)
    end
  end
  self.seen = number
  return list
end

function Peer:stop()
  self:kill()
  server.shell("rm -rf " .. self.dir)
end

return M
