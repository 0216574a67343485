-- KEYS: the lock. ARGV: token. Whether it was held by that token.
if redis.call("GET", KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call("DEL", KEYS[1])
