-- P id message list now_ns message_now message_before -> "ok", "none", "taken" (its unique key).
local id = ARGV[2]
local job = P .. 'job:' .. id
local h = call('HMGET', job, 'state', 'unique', 'm', 'list', 'queue')
-- Before anything is changed: a push to what is no list raises.
local list = h[1] == 'delayed' and h[4] or ARGV[4]
local kind = call('TYPE', list).ok
if kind ~= 'none' and kind ~= 'list' then
  return redis.error_reply('WRONGTYPE ' .. list .. ' is no list but a ' .. kind)
end
if h[1] == 'delayed' and h[3] then
  if h[3] ~= ARGV[7] then
    return 'none'
  end
  call('ZREM', P .. 'eta', id)
  count(h[5], 'delayed', -1)
  call('LPUSH', list, ARGV[6])
elseif h[1] == 'dead' then
  if h[2] and not call('SET', P .. 'unique:' .. h[2], id, 'NX') then
    return 'taken'
  end
  call('ZREM', P .. 'dead', id)
  count(h[5], 'dead', -1)
  call('ZADD', P .. 'open', id, id)
  call('LPUSH', list, ARGV[3])
  call('HDEL', job, 'crashes', 'error', 'lost')
  call('HSET', job, 'attempt', 0)
else
  return 'none'
end
call('HDEL', job, 'm', 'list')
call('HSET', job, 'state', 'ready', 'run_at', ARGV[5])
call('PERSIST', job)
return 'ok'
