--- Kafka for specs: librdkafka's mock cluster in a process of its own (spec/support/kafka_mock.c).
---
---   local kafka = require("spec.support.kafka")
---   local cluster = kafka.start(1)             -- brokers
---   cluster.url                                -- "127.0.0.1:PORT,…"
---   cluster:order("down 1")                    -- the broker's connections end, new ones are refused; "up 1"
---   cluster:order("rtt 1 300")                 -- every answer of that broker takes 300 ms
---   cluster:order("topic orders 4")            -- with so many partitions; each gets a leader by chance
---   cluster:order("leader orders 0 2")         -- partition 0 is broker 2's
---   cluster:order("error 0 7 2")               -- its next two Produce requests (0) fail with code 7
---   cluster:kcat("-C -t orders -e -o beginning")    -- output of kcat
---   cluster:pause() cluster:resume()           -- SIGSTOP and SIGCONT
---   cluster:stop()
---
--- The cluster keeps everything as long as it lives. It has no CreateTopics, no TLS and no SASL.
local server = require("spec.support.server")

local M = {}
local Cluster = {}
Cluster.__index = Cluster

local function output(self)
  return server.read_file(self.dir .. "/out") or ""
end

--- One line of its commands; returns when it has been obeyed.
function Cluster:order(text)
  local _, before = output(self):gsub("\n", "")
  self.input:write(text .. "\n")
  self.input:flush()
  assert(server.wait_for(function()
    return select(2, output(self):gsub("\n", "")) > before
  end), "kafka_mock did not obey " .. text)
end

--- kcat against the cluster. @return string output, integer status
function Cluster:kcat(arguments, input)
  return server.shell(("%s timeout 20 kcat -b %s %s"):format(input and "printf '" .. input .. "' |" or "", self.url,
    arguments))
end

function Cluster:pause()
  server.shell("kill -STOP " .. self.pid)
end

function Cluster:resume()
  server.shell("kill -CONT " .. self.pid)
end

function Cluster:stop()
  self:resume()
  self.input:write("quit\n")
  self.input:close()
  if not server.wait_for(function() return not server.alive(self.pid) end, 5) then
    server.shell("kill -9 " .. self.pid)
  end
  server.shell("rm -rf '" .. self.dir .. "'")
end

function M.start(brokers)
  local self = setmetatable({ dir = server.make_dir() }, Cluster)
  local binary = server.binary():gsub("maru$", "support/kafka_mock")
  self.input = assert(io.open(self.dir .. "/in", "w"))
  local out = server.shell(("%s %d %s/in >%s/out 2>%s/err </dev/null & echo $!"):format(binary, brokers or 1, self.dir,
    self.dir, self.dir))
  self.pid = tonumber(out:match("%d+"))
  self.url = server.wait_for(function()
    return output(self):match("BOOTSTRAP (%S+)")
  end)
  assert(self.url, "kafka_mock did not start")
  return self
end

return M
