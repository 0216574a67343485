-- ARGV: SCAN's cursor, pattern and count. The next cursor, then of each key: itself, its type, ms that it lives
-- (-1: for ever), bytes, memory (-1: not told), the first byte of its value.
local found = redis.call("SCAN", ARGV[1], "MATCH", ARGV[2], "COUNT", ARGV[3])
local out = { found[1] }
for _, key in ipairs(found[2]) do
  local kind = redis.call("TYPE", key).ok
  if kind ~= "none" then
    local is_text = kind == "string"
    local memory = redis.pcall("MEMORY", "USAGE", key)
    out[#out + 1] = key
    out[#out + 1] = kind
    out[#out + 1] = redis.call("PTTL", key)
    out[#out + 1] = is_text and redis.call("STRLEN", key) or 0
    out[#out + 1] = type(memory) == "number" and memory or -1
    out[#out + 1] = is_text and redis.call("GETRANGE", key, 0, 0) or ""
  end
end
return out
