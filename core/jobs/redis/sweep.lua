-- P visibility_s token -> {id or "", tag, [message, exchange, routing key]}* that are overdue, with
-- the mutex taken; nothing when another has it.
local out, seen = {}, {}
local late = call('ZRANGEBYSCORE', P .. 'lease', '-inf', now, 'LIMIT', 0, 100)
local old = call('ZRANGEBYSCORE', 'unacked_index', '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, 100)
if #late + #old == 0 or not call('SET', 'unacked_mutex', ARGV[3], 'NX', 'PX', 10000) then
  return out
end
for _, id in ipairs(late) do
  local h = call('HMGET', P .. 'job:' .. id, 'tag', 'held', 'kind', 'queue', 'key')
  local value = h[1] and call('HGET', 'unacked', h[1])
  if value then
    seen[h[1]] = true
    out[#out + 1] = { id, h[1], value }
  else
    call('ZREM', P .. 'lease', id)
    release(id, h[2], h[3], h[4], h[5])
  end
end
for _, tag in ipairs(old) do
  local value = call('HGET', 'unacked', tag)
  if not value then
    call('ZREM', 'unacked_index', tag)
  elseif not seen[tag] then
    out[#out + 1] = { '', tag, value }
  end
end
if #out == 0 then
  call('DEL', 'unacked_mutex')
end
return out
