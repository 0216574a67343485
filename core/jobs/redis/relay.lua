-- P home "" count, then the jobs (put.lua), then a row's number for each. What is above that home's
-- last number is pushed. -> for each, up to the first that is "taken" (another job has its id, it was
-- not pushed), what became of it. What Redis cannot take is in the quarantine ("3").
local home, n, out = ARGV[2], tonumber(ARGV[4]), {}
local have = tonumber(call('HGET', P .. 'relay', home) or 0)
for k = 1, n do
  local seq, from = tonumber(ARGV[4 + n * PUSH_FIELDS + k]), 5 + (k - 1) * PUSH_FIELDS
  local id, job = ARGV[from], P .. 'job:' .. ARGV[from]
  out[k] = '0'
  if seq > have then
    if call('EXISTS', job) == 1 then
      out[k] = 'taken'
      break
    end
    if tonumber(call('GET', P .. 'next_id') or 0) < tonumber(id) then
      call('SET', P .. 'next_id', id)
    end
    out[k] = push(from)
    if out[k] == '3' then
      call('LPUSH', P .. 'quarantine', cjson.encode({ reason = 'something else has the name of its list',
        queue = ARGV[from + 3], at = now, message = ARGV[from + 5] }))
      call('LTRIM', P .. 'quarantine', 0, 9999)
    end
    call('HSET', P .. 'relay', home, seq)
  end
end
return out
