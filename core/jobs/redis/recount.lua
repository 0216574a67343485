-- P -> 1 when the counts of queues were made, which a keyspace of an older maru lacks.
local function of(set, place)
  for _, id in ipairs(call('ZRANGE', P .. set, 0, 199999)) do
    count(call('HGET', P .. 'job:' .. id, 'queue'), place, 1)
  end
end
if not call('SET', P .. 'counted', 1, 'NX') then
  return 0
end
of('eta', 'delayed')
of('dead', 'dead')
return 1
