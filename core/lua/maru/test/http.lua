--- HTTP/1.1 as a client, over a stream to the server of the same process.
local M = {}

local STATUS_WITHOUT_BODY = { [204] = true, [304] = true }

local function escape(text)
  return (tostring(text):gsub("[^%w%-._~]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function sorted(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return keys
end

function M.with_query(path, query)
  local parts = {}
  for i, key in ipairs(sorted(query or {})) do
    parts[i] = escape(key) .. "=" .. escape(query[key])
  end
  if #parts == 0 then
    return path
  end
  return path .. (path:find("?", 1, true) and "&" or "?") .. table.concat(parts, "&")
end

--- The request's bytes.
function M.format(method, path, headers, body)
  local lines = { ("%s %s HTTP/1.1"):format(method, path) }
  local given = { host = "test", connection = "close" }
  for name, value in pairs(headers or {}) do
    given[name:lower()] = tostring(value)
  end
  if body then
    given["content-length"] = tostring(#body)
  end
  for _, name in ipairs(sorted(given)) do
    lines[#lines + 1] = name .. ": " .. given[name]
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- A reader over stream: more() reads once; timeouts are the stream's.
--- @return table { buffer, more } more() → true | nil, reason
function M.reader(stream, timeout)
  local reader = { buffer = "" }
  function reader.more(limit)
    local bytes, reason = stream:receive(limit or timeout)
    if not bytes then
      return nil, reason
    end
    reader.buffer = reader.buffer .. bytes
    return true
  end
  --- Everything before `mark`, taken off the buffer with it.
  function reader.upto(mark)
    local from, to = reader.buffer:find(mark, 1, true)
    while not from do
      local ok, reason = reader.more()
      if not ok then
        return nil, reason
      end
      from, to = reader.buffer:find(mark, 1, true)
    end
    local text = reader.buffer:sub(1, from - 1)
    reader.buffer = reader.buffer:sub(to + 1)
    return text
  end
  function reader.take(n)
    while #reader.buffer < n do
      local ok, reason = reader.more()
      if not ok then
        return nil, reason
      end
    end
    local text = reader.buffer:sub(1, n)
    reader.buffer = reader.buffer:sub(n + 1)
    return text
  end
  return reader
end

--- Status line and headers. @return { status, headers }|nil, string? reason
function M.read_head(reader)
  local head, reason = reader.upto("\r\n\r\n")
  if not head then
    return nil, reason
  end
  local answer = { status = tonumber(head:match("^HTTP/%d%.%d (%d%d%d)")), headers = {} }
  for line in head:gmatch("\r\n([^\r\n]+)") do
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    name = name:lower()
    answer.headers[name] = answer.headers[name] and answer.headers[name] .. ", " .. value or value
  end
  return answer
end

--- The next chunk of a chunked body; "" at the end. @return string|nil, string? reason
function M.read_chunk(reader)
  local size, reason = reader.upto("\r\n")
  if not size then
    return nil, reason
  end
  local n = tonumber(size:match("^%x+"), 16)
  local bytes
  bytes, reason = reader.take(n + 2)
  return bytes and bytes:sub(1, n), reason
end

local function read_chunks(reader)
  local pieces = {}
  repeat
    local piece, reason = M.read_chunk(reader)
    if not piece then
      return nil, reason
    end
    pieces[#pieces + 1] = piece
  until piece == ""
  return table.concat(pieces)
end

local function read_to_end(reader)
  local ok, reason
  repeat
    ok, reason = reader.more()
  until not ok
  if reason == "closed" then
    return reader.buffer
  end
  return nil, reason
end

--- The whole body. @return string|nil, string? reason
function M.read_body(reader, method, answer)
  if method == "HEAD" or STATUS_WITHOUT_BODY[answer.status] then
    return ""
  end
  local length = tonumber(answer.headers["content-length"])
  if length then
    return reader.take(length)
  elseif (answer.headers["transfer-encoding"] or ""):find("chunked", 1, true) then
    return read_chunks(reader)
  end
  return read_to_end(reader)
end

return M
