-- P writer seq -> how many jobs of that claim, whose answer did not arrive, go back: their leases are
-- over, and what is swept is no crash of theirs.  That claim takes nothing if it comes yet.
local ledger = P .. 'claim:' .. ARGV[2]
local h = call('HMGET', ledger, 'seq', 'jobs')
local jobs, n = h[1] == ARGV[3] and h[2] and cjson.decode(h[2]) or {}, 0
for i = 1, #jobs, 2 do
  local job = P .. 'job:' .. jobs[i]
  if call('HGET', job, 'fence') == jobs[i + 1] and call('ZSCORE', P .. 'lease', jobs[i]) then
    call('ZADD', P .. 'lease', 0, jobs[i])
    call('HSET', job, 'spare', 1)
    n = n + 1
  end
end
call('HDEL', ledger, 'jobs')
call('HSET', ledger, 'seq', ARGV[3])
call('EXPIRE', ledger, 86400)
return n
