-- P ttl_s -> how many dead jobs were old enough to be forgotten.
local ids = call('ZRANGEBYSCORE', P .. 'dead', '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, 500)
for _, id in ipairs(ids) do
  local job = P .. 'job:' .. id
  local h = call('HMGET', job, 'queue', 'uuid')
  call('ZREM', P .. 'dead', id)
  count(h[1], 'dead', -1)
  call('DEL', job, P .. 'id:' .. (h[2] or ''))
end
return #ids
