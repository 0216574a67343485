-- KEYS: a token bucket, which is the time at which it is full again. ARGV: us that one token takes,
-- us of the whole bucket. 0: a token was taken; else how many us until there is one.
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call("GET", KEYS[1]) or "0")
if full < now then
  full = now
end
full = full + tonumber(ARGV[1])
local over = full - now - tonumber(ARGV[2])
if over > 0 then
  return math.ceil(over)
end
redis.call("SET", KEYS[1], string.format("%.0f", full), "PX", math.ceil((full - now) / 1000) + 1)
return 0
