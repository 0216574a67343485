-- P home card missing_us -> {seen_us, missing, card} of each other node; card "": this one ends.
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local key, home, card = P .. 'cards', ARGV[2], ARGV[3]
if card == '' then
  call('HDEL', key, home)
else
  call('HSET', key, home, string.format('%.0f %s', now, card))
end
local out, all = {}, call('HGETALL', key)
for i = 1, #all, 2 do
  local seen, text = string.match(all[i + 1], '^(%d+) (.*)$')
  if not seen or now - seen > 86400 * 1000000 then
    call('HDEL', key, all[i])
  elseif all[i] ~= home then
    out[#out + 1] = { tonumber(seen), now - seen > tonumber(ARGV[4]) and 1 or 0, text }
  end
end
return out
