-- P -> how many became due.
local ids = call('ZRANGEBYSCORE', P .. 'eta', '-inf', now, 'LIMIT', 0, 500)
for _, id in ipairs(ids) do
  local job = P .. 'job:' .. id
  local h = call('HMGET', job, 'm', 'list', 'queue', 'state')
  local r = h[1] and h[2] and redis.pcall('LPUSH', h[2], h[1])
  if type(r) == 'table' and r.err then
    call('ZADD', P .. 'eta', now + 60, id) -- something else has the list's name
  else
    if r then
      call('HDEL', job, 'm', 'list')
      if h[4] ~= 'cancelled' then -- by end.lua; whoever claims it ends it
        call('HSET', job, 'state', 'ready')
      end
    end
    call('ZREM', P .. 'eta', id)
    count(h[3], 'delayed', -1)
  end
end
return #ids
