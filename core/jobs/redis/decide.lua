-- Behind common.lua, put.lua and, as functions, end.lua (finish_all), cancel.lua and retry.lua: what a decision about
-- a run of a workflow comes to (workflow/redis.h), all of it or nothing.
--
-- P now_ns count and the arguments of end.lua for no job or one, then from the place that the last argument says:
-- run ("" = none) its version ("" = it is new) token, key that has to be free or the run's ("" = none), stray job ("" =
-- none), count and arguments of retry.lua, count of commands and each with the count of its words, now_ns meta ttl
-- count and the jobs to cancel, count of jobs to push and each as in put.lua.
-- -> "ok", also when it was done before; "again": somebody has written to the run since; or what the job's end or its
-- retry came to when that is not "ok", and then nothing was changed.
local at = tonumber(ARGV[#ARGV])

local function word()
  at = at + 1
  return ARGV[at - 1]
end

-- As many words as the next one says.
local function words()
  local n = tonumber(word())
  at = at + n
  return unpack(ARGV, at - n, at - 1)
end

local ends, job, fence = ARGV[3] == '1', P .. 'job:' .. ARGV[4], ARGV[5]
local run, version, token = word(), word(), word()
local R = P .. 'wf:' .. run
if ends and call('HGET', job, 'decided') == fence then
  return 'ok'
end
if run ~= '' then
  local have = call('HMGET', R, 'v', 'by')
  if have[2] == token then
    return 'ok'
  elseif (have[1] or '') ~= version then
    return 'again'
  end
end
local key = word()
local owner = key ~= '' and call('GET', key)
if owner and owner ~= run then
  return 'again'
end
local stray = word()
if stray ~= '' and call('ZREM', P .. 'wf:stray', stray) == 0 then
  return 'stale'
end
if ARGV[at] == '0' then
  at = at + 1
else
  local code = retry({ P, words() })
  if code ~= 'ok' then
    return code
  end
end
deciding = true
if ends then
  local code = finish_all()[1]
  if code ~= 'ok' then
    return code
  end
  call('HSET', job, 'decided', fence)
end
deciding = false
for _ = 1, tonumber(word()) do
  call(words())
end
local now_ns, meta, ttl = word(), word(), word()
for _ = 1, tonumber(word()) do
  cancel({ P, word(), now_ns, meta, ttl })
end
for _ = 1, tonumber(word()) do
  if push(at) == '3' then
    call('LPUSH', P .. 'quarantine', cjson.encode({ reason = 'something else has the name of its list',
      queue = ARGV[at + 3], at = now, message = ARGV[at + 5] }))
  end
  at = at + PUSH_FIELDS
end
if run ~= '' and (version == '' or call('EXISTS', R) == 1) then
  call('HINCRBY', R, 'v', 1)
  call('HSET', R, 'by', token)
end
return 'ok'
