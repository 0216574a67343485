-- P writer seq count, then the jobs (put.lua) -> for each what became of it; an empty array: "0"
-- of each; nil: it was answered before.
--
-- A call that comes again, because its answer did not arrive, changes nothing: P writer:<writer> has
-- the number of the last one and its answer.
local ledger, seq, n, out, plain = P .. 'writer:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), {}, true
local done = call('HMGET', ledger, 'seq', 'out')
if done[1] and tonumber(done[1]) >= seq then
  return tonumber(done[1]) == seq and cjson.decode(done[2])
end
for k = 1, n do
  out[k] = push(5 + (k - 1) * PUSH_FIELDS)
  plain = plain and out[k] == '0'
end
call('HSET', ledger, 'seq', ARGV[3], 'out', plain and '[]' or cjson.encode(out))
call('EXPIRE', ledger, 86400)
return plain and {} or out
