-- P id... -> for each {id, state, kind, queue, priority, attempt, max, crashes, args, error, result,
-- created, run_at, started, finished, uuid, result JSON of an external one or "", "1" for such a one,
-- unique, extra}.
local FIELDS = { 'state', 'kind', 'queue', 'priority', 'attempt', 'max', 'crashes', 'args', 'error', 'result',
  'created', 'run_at', 'started', 'finished', 'uuid', 'external',
  'unique', 'extra' }
local out = {}
for i = 2, #ARGV do
  local h = call('HMGET', P .. 'job:' .. ARGV[i], unpack(FIELDS))
  local row = { ARGV[i] }
  for k = 1, 15 do
    row[k + 1] = h[k] or ''
  end
  row[17] = h[16] and call('GET', 'celery-task-meta-' .. h[15]) or ''
  for k = 16, 18 do
    row[k + 2] = h[k] or ''
  end
  out[#out + 1] = row
end
return out
