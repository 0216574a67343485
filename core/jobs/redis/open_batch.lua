-- P id ttl_s (name, value)*: a batch, before its members; nothing when it is there.
local batch = P .. 'batch:' .. ARGV[2]
if call('EXISTS', batch) == 0 then
  call('HSET', batch, 'succeeded', 0, 'failed', 0, unpack(ARGV, 4))
  call('EXPIRE', batch, ARGV[3])
end
return 1
