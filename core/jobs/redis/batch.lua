-- Behind common.lua and before the scripts that end jobs: a member of a batch is counted, and the last
-- job is pushed.
local DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = string.byte(text, i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    local function digit(unit)
      local k = math.floor(n / unit) % 64 + 1
      return string.sub(DIGITS, k, k)
    end
    out[#out + 1] = digit(262144) .. digit(4096) .. (b and digit(64) or '=') .. (c and digit(1) or '=')
  end
  return table.concat(out)
end

local function push_last(batch, counts, now_ns)
  local l = call('HMGET', batch, 'last', 'uuid', 'kind', 'queue', 'list', 'priority', 'max', 'args', 'before', 'head',
    'tail', 'after', 'key', 'extra')
  local job = P .. 'job:' .. l[1]
  call('HSET', job, 'uuid', l[2], 'kind', l[3], 'queue', l[4], 'priority', l[6], 'created', now_ns, 'run_at', now_ns,
    'max', l[7], 'args', l[8] .. counts .. '}', 'state', 'ready')
  for i, name in ipairs({ 'key', 'extra' }) do
    if l[12 + i] and l[12 + i] ~= '' then -- a batch that an older maru opened has neither
      call('HSET', job, name, l[12 + i])
    end
  end
  call('ZADD', P .. 'open', l[1], l[1])
  call('SADD', P .. 'queues', l[4] .. '\n' .. l[3])
  local message = l[9] .. l[10] .. base64(counts .. l[11]) .. l[12]
  local r = redis.pcall('LPUSH', l[5], message)
  if type(r) == 'table' and r.err then
    call('LPUSH', P .. 'quarantine', cjson.encode({ reason = r.err, queue = l[4], at = now, message = message }))
  end
  call('HDEL', batch, 'uuid', 'kind', 'queue', 'list', 'priority', 'max', 'args', 'before', 'head', 'tail', 'after',
    'key', 'extra')
end

local function member_over(job, won, now_ns)
  local id = call('HGET', job, 'batch')
  local batch = P .. 'batch:' .. (id or '')
  if not id or call('HSETNX', job, 'counted', 1) == 0 or call('EXISTS', batch) == 0 then
    return
  end
  call('HINCRBY', batch, won and 'succeeded' or 'failed', 1)
  call('PERSIST', batch)
  local b = call('HMGET', batch, 'total', 'succeeded', 'failed', 'last', 'ttl')
  if tonumber(b[2]) + tonumber(b[3]) < tonumber(b[1]) then
    return
  end
  call('HSET', batch, 'finished_at', now_ns)
  call('EXPIRE', batch, b[5])
  if b[4] then
    push_last(batch, string.format('{"id":%s,"total":%s,"succeeded":%s,"failed":%s}', id, b[1], b[2], b[3]), now_ns)
  end
end
