--- A page of docs/ as a script: every fenced block is written, checked or run, in the page's order and in a
--- folder of the page's own.
---
---   ```lua file=plugins/hello/plugin.lua    the file is written (any language with file=)
---   ```lua                                  declarations of a plugin: M is made before and returned after them, and
---                                           `maru check` must find nothing wrong
---   ```sh                                   run by bash, stopping at the first failure; exit=N expects that status
---   ```sh serve                             left running (`maru serve`) until the page ends
---   ```sh … postgres                        from here on there is a PostgreSQL at $MARU_JOBS_URL
---   ```output                               lines that the block before printed, in this order; … stands for anything
---   ```text                                 a drawing: not run
---
--- `maru` is the built program; localhost:8080 in a command means the page's own server.
local postgres = require("spec.support.postgres")
local server = require("spec.support.server")

local M = {}
local Page = {}
Page.__index = Page

local NOT_RUN = { text = true }

local function read_info(info)
  local block = { language = info:match("^%S+") }
  for word in info:gmatch("%S+", #block.language + 1) do
    local key, value = word:match("^(%w+)=(.+)$")
    block[key or word] = value or true
  end
  return block
end

--- Blocks of a page: { language, text, line, file?, exit?, serve? }.
function M.blocks(path)
  local blocks, block, number = {}, nil, 0
  for line in (server.read_file(path) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local info = line:match("^%s*```(.*)$")
    if info and block then
      block.text = table.concat(block.lines, "\n") .. "\n"
      blocks[#blocks + 1], block = block, nil
    elseif info then
      assert(info:find("%S"), ("%s:%d: a block without a language"):format(path, number))
      block = read_info(info)
      block.line, block.lines = number, {}
    elseif block then
      block.lines[#block.lines + 1] = line
    end
  end
  assert(not block, path .. ": a block is not closed")
  return blocks
end

function M.open(path)
  local self = setmetatable({ path = path, dir = server.make_dir(), port = server.free_port(), output = "" }, Page)
  server.shell(("mkdir -p %s/bin %s/plugins && ln -s $PWD/%s %s/bin/maru"):format(self.dir, self.dir,
    server.binary(), self.dir))
  return self
end

function Page:shell(text)
  local file = self.dir .. "/bin/step"
  server.write_file(file, text)
  return server.shell(("cd %s && PATH=%s/bin:$PATH %s bash -euo pipefail bin/step"):format(self.dir, self.dir,
    ("MARU_HTTP_LISTEN=127.0.0.1:%d MARU_HTTPS_LISTEN= MARU_LOG_FILE=%s/log%s"):format(self.port, self.dir,
      self.database and " MARU_JOBS_URL=" .. self.database.url or "")))
end

--- How often the log speaks of a reload: it grows when a change was taken or refused.
local function reloads(self)
  local _, count = (server.read_file(self.dir .. "/log") or ""):gsub('"area":"reload"', "")
  return count
end

function Page:write(block)
  local path, seen = self.dir .. "/" .. block.file, reloads(self)
  local before = server.read_file(path)
  server.shell("mkdir -p '" .. path:match("^(.*)/") .. "'")
  server.write_file(path, block.text)
  if self.served and before ~= block.text and block.file:find("^plugins/") then
    assert(server.wait_for(function()
      return reloads(self) > seen
    end), "the server did not notice that " .. block.file .. " changed")
  end
end

function Page:serve(block)
  self:shell(("exec env %s >out 2>err </dev/null & echo $! >pid"):format((block.text:gsub("%s+$", ""))))
  self.served = server.wait_for(function()
    return (server.read_file(self.dir .. "/out") or ""):find('"ready":true', 1, true)
  end)
  assert(self.served, "the server did not get ready: " .. (server.read_file(self.dir .. "/err") or ""))
  self.output = server.read_file(self.dir .. "/out")
end

function Page:run(block)
  local text = block.text:gsub("localhost:8080", "localhost:" .. self.port)
  local status
  self.output, status = self:shell(text)
  self.output = self.output:gsub("localhost:" .. self.port, "localhost:8080")
    :gsub(self.dir:gsub("%p", "%%%0") .. "/", "")
  assert(status == tonumber(block.exit or 0), ("exit status %d\n%s"):format(status, self.output))
end

local function pattern_of(line)
  return (line:gsub("%s+$", ""):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".-"))
end

function Page:compare(block)
  local at = 1
  for _, line in ipairs(block.lines) do
    local _, last = self.output:find(pattern_of(line), at)
    assert(last, ("the output has no line %q (after those before it):\n%s"):format(line, self.output))
    at = last + 1
  end
end

local function check(block)
  local dir = server.make_dir()
  server.write_plugins(dir, { snippet = {
    ["plugin.lua"] = 'local M = { name = "snippet", version = "1.0.0" }\n' .. block.text .. "return M\n",
  } })
  local output, status = server.maru(("check --set plugins.path=%s --set state.dir=%s/state"):format(dir, dir))
  server.shell("rm -rf " .. dir)
  assert(status == 0, output)
end

--- Does what the block says, or raises with what went wrong.
function Page:step(block)
  if block.postgres and not self.database then
    self.database = postgres.start()
  end
  if NOT_RUN[block.language] then
    return
  elseif block.file then
    self:write(block)
  elseif block.language == "lua" then
    check(block)
  elseif block.serve then
    self:serve(block)
  elseif block.language == "sh" then
    self:run(block)
  elseif block.language == "output" then
    self:compare(block)
  else
    error(("a block of '%s' is neither written nor run"):format(block.language))
  end
end

function Page:close()
  local pid = tonumber(server.read_file(self.dir .. "/pid") or "")
  if pid then
    server.shell("kill " .. pid)
    assert(server.wait_for(function()
      return not server.alive(pid)
    end), "the page's server did not stop")
  end
  server.shell("rm -rf " .. self.dir)
  if self.database then
    self.database:drop()
  end
end

return M
