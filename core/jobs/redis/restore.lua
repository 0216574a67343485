-- P visibility_s token, (id or "", tag, list, message)* -> how many were put back.
local visible, token, restored = tonumber(ARGV[2]), ARGV[3], 0

local function came_back(id)
  local job = P .. 'job:' .. id
  local h = call('HMGET', job, 'spare', 'held', 'kind', 'queue', 'key', 'scope', 'unique', 'node', 'lost', 'asked')
  call('ZREM', P .. 'lease', id)
  release(id, h[2], h[3], h[4], h[5])
  call('HSET', job, 'state', h[10] and 'cancelled' or 'ready') -- whoever claims it ends it
  call('HDEL', job, 'tag', 'held', 'spare', 'asked')
  if h[6] and h[7] then
    call('SET', P .. 'unique:' .. h[7], id, 'NX')
  end
  if not h[1] then -- its node had it in hand
    call('HINCRBY', job, 'crashes', 1)
    call('HSET', job, 'lost', (h[9] or '') .. string.format('%.0f %s\n', now, h[8] or ''))
  end
end

for i = 4, #ARGV, 4 do
  local id, tag, list, message = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local lease = id ~= '' and call('ZSCORE', P .. 'lease', id)
  local index = call('ZSCORE', 'unacked_index', tag)
  local late = lease and tonumber(lease) <= now
  local old = id == '' and index and tonumber(index) <= now - visible
  local there = (late or old) and call('HEXISTS', 'unacked', tag) == 1
  local r = there and redis.pcall('RPUSH', list, message)
  if type(r) == 'table' and r.err then -- it stays; something else has the list's name
    call('ZADD', 'unacked_index', now, tag)
    if lease then
      call('ZADD', P .. 'lease', now + 60, id)
    end
  elseif there then
    call('HDEL', 'unacked', tag)
    call('ZREM', 'unacked_index', tag)
    restored = restored + 1
    if id ~= '' then
      came_back(id)
    end
  end
end
if call('GET', 'unacked_mutex') == token then
  call('DEL', 'unacked_mutex')
end
return restored
