-- P now_ns count, then for each: id fence end state meta ttl error result message list run_at
-- attempt group part index expected body_list body, count and (list, message) pairs to push, count
-- and (uuid, meta) pairs.  end: "over" (state done|dead|cancelled|expired), "again" (state
-- ready|delayed: the message, in front if run_at is "front"; a job whose cancel was asked for is
-- cancelled then), "bad" (quarantine, error is the
-- reason).  -> for each "ok", "stale", or, when the part would complete its chord and `expected` is
-- not the number of parts there: {member, score, ...} of those, and nothing was changed.
local now_ns, n, at, out = ARGV[2], tonumber(ARGV[3]), 4, {}
local now_s = tonumber(now_ns) / 1e9
local ended = false -- one is in P done

local function ns(s)
  local whole, f = string.match(s, '^(%d+)%.?(%d*)$')
  return whole .. string.sub(f .. '000000000', 1, 9)
end

local function meta(uuid, json, ttl)
  local key = 'celery-task-meta-' .. uuid
  local have = call('GET', key)
  if have and string.find(have, '^{"status": ?"SUCCESS"') then
    return
  end
  call('SETEX', key, ttl, json)
  call('PUBLISH', key, json)
end

local function pairs_at(f)
  local count = tonumber(ARGV[at])
  for i = 1, count do
    f(ARGV[at + 2 * i - 1], ARGV[at + 2 * i])
  end
  at = at + 1 + 2 * count
end

local function skip()
  pairs_at(function() end)
end

local function quarantine(reason, queue, message)
  call('LPUSH', P .. 'quarantine', cjson.encode({ reason = reason, queue = queue, at = now_s, message = message }))
  call('LTRIM', P .. 'quarantine', 0, 9999)
end

local function chord(e)
  local base = 'celery-taskset-meta-' .. e.group
  local size = call('GET', base .. '.s')
  local total = size and tonumber(size) + tonumber(call('GET', base .. '.t') or 0) or math.huge
  local there = call('ZCARD', base .. '.j')
  if call('ZSCORE', base .. '.j', e.part) then
    there = there - 1
  end
  return base, total, there
end

local function part(e, base, total, there)
  if there + 1 >= total then
    call('DEL', base .. '.j', base .. '.t', base .. '.s')
    return
  end
  call('ZADD', base .. '.j', e.index, e.part)
  for _, key in ipairs({ '.j', '.t', '.s' }) do
    call('EXPIRE', base .. key, e.ttl)
  end
end

local function over(e, job, h)
  local set = { 'HSET', job, 'state', e.state, 'finished', now_ns, 'attempt', e.attempt }
  if e.error ~= '' then
    set[#set + 1] = 'error'
    set[#set + 1] = e.error
  end
  if e.result ~= '' then
    set[#set + 1] = 'result'
    set[#set + 1] = e.result
  end
  call(unpack(set))
  call('HDEL', job, 'tag', 'm', 'list', 'unique', 'held', 'spare', 'asked')
  call('ZREM', P .. 'open', e.id)
  member_over(job, e.state == 'done', now_ns)
  step_over(e.id)
  if h.unique and call('GET', P .. 'unique:' .. h.unique) == e.id then
    call('DEL', P .. 'unique:' .. h.unique)
  end
  if e.state == 'dead' then
    call('HSET', job, 'm', e.message, 'list', e.list)
    if h.unique then
      call('HSET', job, 'unique', h.unique)
    end
    call('ZADD', P .. 'dead', now_s, e.id)
    count(h.queue, 'dead', 1)
  else
    call('EXPIRE', job, e.ttl)
    call('ZADD', P .. 'done', now_s, e.id)
    ended = true
    if h.foreign then
      call('EXPIRE', P .. 'id:' .. h.uuid, e.ttl)
    end
  end
end

local function lies_until(e, job, h, due)
  call('HSET', job, 'm', e.message, 'list', e.list, 'run_at', ns(due))
  call('ZADD', P .. 'eta', due, e.id)
  count(h.queue, 'delayed', 1)
end

local function again(e, job, h)
  -- A cancel that its node has not heard of: the message goes back at once, and whoever claims it ends it.
  local state = h.asked and 'cancelled' or e.state
  call('HSET', job, 'attempt', e.attempt)
  call('HDEL', job, 'tag', 'held', 'spare', 'asked')
  if h.scope and h.unique then
    call('SET', P .. 'unique:' .. h.unique, e.id, 'NX') -- if another has it now, both go on
  end
  if e.error ~= '' then
    call('HSET', job, 'error', e.error)
  end
  if state == 'delayed' then
    lies_until(e, job, h, e.run_at)
  else
    local r = redis.pcall(e.run_at == '' and 'LPUSH' or 'RPUSH', e.list, e.message)
    if type(r) == 'table' and r.err then -- something else has the list's name: due.lua tries again
      lies_until(e, job, h, string.format('%.0f', now + 60))
      state = h.asked and state or 'delayed'
    end
  end
  call('HSET', job, 'state', state)
end

local function give(list, message)
  local r = redis.pcall('LPUSH', list, message)
  if type(r) == 'table' and r.err then
    quarantine(r.err, list, message)
  end
end

local FIELDS = {
  'fence', 'tag', 'unique', 'uuid', 'foreign', 'queue', 'held', 'kind', 'key', 'state', 'scope', 'asked'
}

local function read(job)
  local h = {}
  for i, value in ipairs(call('HMGET', job, unpack(FIELDS))) do
    h[FIELDS[i]] = value
  end
  return h
end

-- Whether an earlier try of this end, whose answer did not arrive, did it: nobody has claimed the job
-- since, and it is where the end leads.
local function is_done(e, h)
  return h.fence == e.fence and not h.tag and (e.kind == 'over' or e.state == 'delayed') and h.state == e.state
end

local function finish(k)
  local e = {}
  e.id, e.fence, e.kind, e.state, e.meta, e.ttl, e.error, e.result, e.message, e.list,
    e.run_at, e.attempt, e.group, e.part, e.index, e.expected = unpack(ARGV, at, at + 15)
  at = at + 16
  local job = P .. 'job:' .. e.id
  local h = read(job)
  local live = h.fence == e.fence and h.tag and call('ZSCORE', P .. 'lease', e.id)
  local base, total, there
  if live and e.group ~= '' then
    base, total, there = chord(e)
  end
  if not live then
    out[k] = is_done(e, h) and 'ok' or 'stale'
    skip()
    skip()
    return
  elseif base and there + 1 >= total and tostring(there) ~= e.expected then
    out[k] = call('ZRANGE', base .. '.j', 0, -1, 'WITHSCORES')
    skip()
    skip()
    return
  end
  if base then
    part(e, base, total, there)
  end
  call('ZREM', 'unacked_index', h.tag)
  call('HDEL', 'unacked', h.tag)
  call('ZREM', P .. 'lease', e.id)
  release(e.id, h.held, h.kind, h.queue, h.key)
  if e.kind == 'over' then
    over(e, job, h)
  elseif e.kind == 'again' then
    again(e, job, h)
  else
    quarantine(e.error, h.queue, e.message)
    member_over(job, false, now_ns)
    call('DEL', job, P .. 'id:' .. h.uuid)
    call('ZREM', P .. 'open', e.id)
  end
  pairs_at(function(list, message)
    if string.sub(list, 1, 20) == 'celery-taskset-meta-' then
      call('SETEX', list, e.ttl, message)
    else
      give(list, message)
    end
  end)
  if e.meta ~= '' then
    meta(h.uuid, e.meta, e.ttl)
  end
  pairs_at(function(uuid, json)
    meta(uuid, json, e.ttl)
  end)
  if e.kind == 'over' or e.error ~= '' then
    call('HINCRBY', P .. 'total:' .. (h.queue or ''), e.kind == 'over' and e.state or 'retried', 1)
  end
  out[k] = 'ok'
end

-- A value of another type under one job's names must not hold up the ends of the others.
for k = 1, n do
  local from = at
  local ok, why = pcall(finish, k)
  if not ok then
    out[k] = 'error ' .. (type(why) == 'table' and why.err or tostring(why))
    at = from + 16
    skip()
    skip()
  end
end
if ended then
  call('ZREMRANGEBYRANK', P .. 'done', 0, -10001)
end
return out
