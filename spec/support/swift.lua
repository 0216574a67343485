--- A real server of the S3 protocol: OpenStack Swift with s3api from Debian, which verifies signatures. One
--- process (swift_serve.py) and a memcached on loopback ports of their own, in a folder of its own.
---
---   local swift = require("spec.support.swift")
---   local s3 = swift.start()
---   s3.url, s3.bucket, s3.region, s3.id, s3.secret       -- the bucket is there
---   s3:kill() s3:again() s3:stop()
local server = require("spec.support.server")
local socket = require("socket")

local M = {}
local Swift = {}
Swift.__index = Swift

local BACK = [[
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %d
workers = 0
user = root
swift_dir = %s
devices = %s/srv
mount_check = false
disable_fallocate = true
log_level = ERROR
[pipeline:main]
pipeline = %s-server
[app:%s-server]
use = egg:swift#%s
]]

local PROXY = [[
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = %d
workers = 0
user = root
swift_dir = %s
log_level = ERROR
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink
  proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_interval = 0
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:%d
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
check_bucket_owner = false
storage_domain = localhost
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function configure(self)
  for i, name in ipairs({ "account", "container", "object" }) do
    write(("%s/%s.conf"):format(self.dir, name), BACK:format(self.ports[i], self.dir, self.dir, name, name, name))
  end
  write(self.dir .. "/proxy.conf", PROXY:format(self.ports[4], self.dir, self.ports[5]))
  server.shell("mkdir -p " .. self.dir .. "/srv/d1")
end

--- Starts its processes on the folder as it is.
function Swift:again()
  self.pids = {}
  local function launch(command)
    local out = server.shell(("%s >>%s/out 2>&1 & echo $!"):format(command, self.dir))
    self.pids[#self.pids + 1] = tonumber(out:match("%d+"))
  end
  launch(("memcached -u root -l 127.0.0.1 -p %d -U 0"):format(self.ports[5]))
  launch(("/usr/bin/python3 spec/support/swift_serve.py %s %s"):format(self.dir, table.concat(self.ports, " ", 1, 4)))
  for _, port in ipairs(self.ports) do
    assert(server.wait_for(function()
      local client = socket.connect("127.0.0.1", port)
      return client and client:close()
    end, 90), "Swift did not start: " .. (server.read_file(self.dir .. "/out") or ""))
  end
  assert(server.wait_for(function()
    return select(2, server.shell("curl -sf -o /dev/null -X OPTIONS " .. self.url)) == 0
      or server.shell("curl -s -o /dev/null -w '%{http_code}' " .. self.url):match("^[1-5]%d%d")
  end, 90), "Swift did not start: " .. (server.read_file(self.dir .. "/out") or ""))
end

function Swift:kill()
  for _, pid in ipairs(self.pids or {}) do
    server.shell("kill -9 " .. pid)
  end
  self.pids = {}
end

function Swift:stop()
  self:kill()
  server.shell("rm -rf '" .. self.dir .. "'")
end

--- Makes the bucket, by Swift's own protocol. False where the servers behind its proxy are not up yet.
local function make_bucket(self)
  local headers = server.shell(("curl -sD - -o /dev/null -H 'X-Storage-User: %s' -H 'X-Storage-Pass: %s' %s/auth/v1.0")
    :format(self.id, self.secret, self.url))
  local token = headers:match("X%-Auth%-Token: (%S+)")
  local storage = headers:match("X%-Storage%-Url: (%S+)")
  if not (token and storage) then
    return false, headers
  end
  local status = server.shell(("curl -s -o /dev/null -w '%%{http_code}' -X PUT -H 'X-Auth-Token: %s' %s/%s")
    :format(token, storage, self.bucket))
  return status == "201" or status == "202", status
end

function M.start()
  local self = setmetatable({ dir = server.make_dir(), ports = {}, region = "us-east-1", bucket = "maru",
    id = "test:tester", secret = "testing" }, Swift)
  for i = 1, 5 do
    self.ports[i] = server.free_port()
  end
  self.url = "http://127.0.0.1:" .. self.ports[4]
  local ok, why = pcall(function()
    configure(self)
    self:again()
    local made, why
    server.wait_for(function()
      made, why = make_bucket(self)
      return made
    end, 60)
    assert(made, ("Swift made no bucket: %s\n%s"):format(why, server.read_file(self.dir .. "/out")))
  end)
  if not ok then -- half of it would run on
    self:stop()
    error(why, 0)
  end
  return self
end

return M
