--- What preload/disk.c does to the real program: options for server.start, and its two files.
local server = require("spec.support.server")

local M = {}

--- For server.start{ env = … }: calls on files of the state folder can fail, or be the last.
--- @return table
function M.env()
  local build = "build/" .. (os.getenv("SPEC_PRESET") or "release")
  local asan = os.getenv("ASAN_OPTIONS")
  return {
    LD_PRELOAD = build .. "/support/disk.so",
    DISK_STATE = "%DIR%/state",
    DISK_PLAN = "%DIR%/plan",
    DISK_FAULT = "%DIR%/fault",
    ASAN_OPTIONS = (asan and asan .. ":" or "") .. "verify_asan_link_order=0",
  }
end

--- The process that opens the database next dies at this call: "sync wal 3 after", or with bytes that are written
--- at that point for the first time, "write wal 1 before TEXT".
function M.plan(maru, text)
  server.write_file(maru.dir .. "/plan", text .. "\n")
end

--- From now on calls fail: "write any ENOSPC"; nil mends it.
function M.fault(maru, text)
  if text then
    server.write_file(maru.dir .. "/fault", text .. "\n")
  else
    os.remove(maru.dir .. "/fault")
  end
end

return M
