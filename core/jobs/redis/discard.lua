-- P id -> "ok" when a dead job was forgotten, else "none".
local id = ARGV[2]
local job = P .. 'job:' .. id
local h = call('HMGET', job, 'state', 'queue', 'uuid')
if h[1] ~= 'dead' then
  return 'none'
end
call('ZREM', P .. 'dead', id)
count(h[2], 'dead', -1)
call('DEL', job, P .. 'id:' .. (h[3] or ''))
return 'ok'
