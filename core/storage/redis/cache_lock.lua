-- KEYS: the lock, the counter of fences. ARGV: token, ms. The fence, or nothing when it is held.
-- A fence is larger than all before it even when the counter was lost with everything else: it is
-- at least the server's microseconds.
if not redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then
  return false
end
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local fence = tonumber(redis.call("GET", KEYS[2]) or "0") + 1
if fence < now then
  fence = now
end
local text = string.format("%.0f", fence)
redis.call("SET", KEYS[2], text)
return text
