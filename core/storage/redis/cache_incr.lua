-- KEYS: the entry. ARGV: by, ttl in ms (0: none, and only a first one counts). The sum, or nothing
-- when what is there is no number.
local kept = redis.call("GET", KEYS[1])
if not kept then
  local value = "n" .. ARGV[1]
  if ARGV[2] == "0" then
    redis.call("SET", KEYS[1], value)
  else
    redis.call("SET", KEYS[1], value, "PX", ARGV[2])
  end
  return ARGV[1]
end
if string.sub(kept, 1, 1) ~= "n" then
  return false
end
local sum = string.format("%.17g", tonumber(string.sub(kept, 2)) + tonumber(ARGV[1]))
redis.call("SET", KEYS[1], "n" .. sum, "KEEPTTL")
return sum
