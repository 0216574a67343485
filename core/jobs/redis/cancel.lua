-- P id now_ns meta ttl -> "cancelled" (was queued), "running" (its node is told), "none".
local id, now_ns = ARGV[2], ARGV[3]
local job = P .. 'job:' .. id
local h = call('HMGET', job, 'state', 'uuid', 'unique', 'queue')
if h[1] == 'running' then
  call('HSET', job, 'asked', 1) -- should its node not live to hear of it
  call('PUBLISH', P .. 'cancel', id)
  return 'running'
end
if h[1] ~= 'ready' and h[1] ~= 'delayed' then
  return 'none'
end
if call('ZREM', P .. 'eta', id) == 1 then
  count(h[4], 'delayed', -1)
end
call('HSET', job, 'state', 'cancelled', 'finished', now_ns)
call('HDEL', job, 'm', 'list', 'unique')
call('ZREM', P .. 'open', id)
if h[3] and call('GET', P .. 'unique:' .. h[3]) == id then
  call('DEL', P .. 'unique:' .. h[3])
end
call('ZADD', P .. 'done', tonumber(now_ns) / 1e9, id)
member_over(job, false, now_ns)
step_over(id)
if h[1] == 'delayed' then
  call('EXPIRE', job, ARGV[5])
end
local key = 'celery-task-meta-' .. h[2]
local json = string.gsub(ARGV[4], '%$uuid', function()
  return h[2]
end)
call('SETEX', key, ARGV[5], json)
call('PUBLISH', key, json)
return 'cancelled'
