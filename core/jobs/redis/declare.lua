-- P count and tasks that run here, (who, bounds)*: 'k:' and task or 'q:' and queue; "" = none any more.
-- To be repeated within a minute.
local kinds, at = { 'ZADD', P .. 'kinds' }, 3 + tonumber(ARGV[2])
for i = 3, at - 1 do
  kinds[#kinds + 1] = string.format('%.0f', now + 60)
  kinds[#kinds + 1] = ARGV[i]
end
if at > 3 then
  call(unpack(kinds))
  call('ZREMRANGEBYSCORE', P .. 'kinds', '-inf', now - 86400)
end
for i = at, #ARGV, 2 do
  local who, text = ARGV[i], ARGV[i + 1]
  local before = call('HGET', P .. 'limit', who)
  local same = before and string.match(before, '^(.*) %S+$') == text and bounds_of(before)
  if text == '' then
    call('HDEL', P .. 'limit', who)
  else
    call('HSET', P .. 'limit', who, string.format('%s %.0f', text, now))
  end
  if not same and (before or text ~= '') then
    changed(string.sub(who, 1, 1), string.sub(who, 3))
  end
end
return 1
