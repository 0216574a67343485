-- P lease_s (id, fence)* -> ids whose lease is gone.
local lease, lost = tonumber(ARGV[2]), {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local h = call('HMGET', P .. 'job:' .. id, 'fence', 'tag')
  if h[1] == ARGV[i + 1] and h[2] and call('ZSCORE', P .. 'lease', id) then
    call('ZADD', P .. 'lease', now + lease, id)
    call('ZADD', 'unacked_index', 'XX', now, h[2])
  else
    lost[#lost + 1] = id
  end
end
return lost
