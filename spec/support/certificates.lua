--- Certificates of an authority of one's own, for servers on 127.0.0.1.
---
---   local made = certificates.make()      -- made.ca, made.cert, made.key, made.stranger: files
---   made:drop()
local server = require("spec.support.server")

local M = {}
local Certificates = {}
Certificates.__index = Certificates

local function must(command)
  local output, status = server.shell(command)
  if status ~= 0 then
    error(command .. "\n" .. output, 2)
  end
end

local NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout %s -out %s"

--- An authority (ca), what it vouches for (cert, key), and an authority that does not (stranger).
function M.make()
  local dir = server.make_dir()
  local self = setmetatable({ dir = dir, ca = dir .. "/ca.pem", cert = dir .. "/cert.pem", key = dir .. "/key.pem",
    stranger = dir .. "/stranger.pem" }, Certificates)
  for _, name in ipairs({ "ca", "stranger" }) do
    must(("openssl req -x509 -subj '/CN=%s of a test' "):format(name)
      .. NEW_KEY:format(dir .. "/" .. name .. ".key", self[name]))
  end
  must("openssl req -subj /CN=maru -addext subjectAltName=IP:127.0.0.1 "
    .. NEW_KEY:format(self.key, dir .. "/asked.pem"))
  must(("openssl x509 -req -in %s/asked.pem -CA %s -CAkey %s/ca.key -CAcreateserial -copy_extensions copy -days 2 "
    .. "-out %s"):format(dir, self.ca, dir, self.cert))
  must("chmod 755 " .. dir .. " && chmod 644 " .. dir .. "/*.pem && chmod 600 " .. self.key)
  return self
end

function Certificates:drop()
  server.shell("rm -rf " .. self.dir)
end

return M
