-- KEYS: an entry. ARGV: bytes of its value that are wanted. Nothing when it is not there; else its type, ms that
-- it lives (-1: for ever), bytes, memory (-1: not told), the beginning of its value.
local kind = redis.call("TYPE", KEYS[1]).ok
if kind == "none" then
  return false
end
local is_text = kind == "string"
local memory = redis.pcall("MEMORY", "USAGE", KEYS[1])
return {
  kind, redis.call("PTTL", KEYS[1]), is_text and redis.call("STRLEN", KEYS[1]) or 0,
  type(memory) == "number" and memory or -1,
  is_text and redis.call("GETRANGE", KEYS[1], 0, ARGV[1] - 1) or "",
}
