-- KEYS: the lock. ARGV: token, ms. Whether it is still held by that token.
if redis.call("GET", KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])
