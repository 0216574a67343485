-- P lease_s want now_ns node writer seq, count and queues, count and tasks that run here.
-- -> {ms until a bucket refills or "", {{id, fence, attempt, crashes, flag, queue, list, max,
-- created_ns, unique, extra, message, lost}*}}; flag "" | "unknown" (no such task here) | "cancelled" |
-- "revoked"; lost: a line "seconds node" for each crash.
-- What it took is in P claim:<writer> until the next one (forgo.lua).
local lease, want, now_ns, node, seq = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[7])
local ledger = P .. 'claim:' .. ARGV[6]
local queues, whos, tasks, out, taken = {}, {}, {}, {}, {}
local at, passed, wake = 8, 0, math.huge
local PASS = 200 -- messages one claim may park

for i = 1, tonumber(ARGV[at]) do
  queues[i] = ARGV[at + i]
end
at = at + #queues + 1
for i = 1, tonumber(ARGV[at]) do
  tasks[ARGV[at + i]] = true
  whos[i] = 'k:' .. ARGV[at + i]
end
if #queues == 0 or seq <= tonumber(call('HGET', ledger, 'seq') or 0) then
  return { '', {} } -- its node has given it up
end

local paused = {}
local sets = call('HMGET', P .. 'setting', unpack(queues))
local kinds = #whos
for i, queue in ipairs(queues) do
  whos[kinds + i] = 'q:' .. queue
  paused[queue] = sets[i] and string.sub(sets[i], 1, 2) == '1 '
end
for i, text in ipairs(call('HMGET', P .. 'limit', unpack(whos))) do
  known[whos[i]] = bounds_of(text, i > kinds and sets[i - kinds])
end
local revoked = call('EXISTS', P .. 'revoked') == 1

local function look_again(s, when)
  if s.room <= 0 then
    call('SADD', P .. 'shut', s.name)
  elseif when < wake then
    wake = when
  end
end

local FIELDS = { 'state', 'crashes', 'max', 'created', 'unique', 'extra', 'uuid', 'version', 'scope', 'lost' }
local STATE, CRASHES, MAX, CREATED, UNIQUE, EXTRA, UUID, VERSION, SCOPE, LOST = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

-- The job of a message: ours say their id, others get one.
local function find(head)
  local id = type(head.maru) == 'number' and string.format('%.0f', head.maru)
  local have = id and call('HMGET', P .. 'job:' .. id, unpack(FIELDS))
  if have and have[UUID] == head.id then
    return id, have, true
  end
  id = call('GET', P .. 'id:' .. head.id)
  if not id then
    id = string.format('%.0f', call('INCRBY', P .. 'next_id', 1))
    call('SET', P .. 'id:' .. head.id, id)
    call('HSET', P .. 'job:' .. id, 'uuid', head.id, 'foreign', 1, 'created', now_ns)
  end
  return id, call('HMGET', P .. 'job:' .. id, unpack(FIELDS)), false
end

local NONE = {}

local function limits_of(queue, task, key)
  local q, k = known['q:' .. queue], known['k:' .. task]
  if not q and not k then
    return NONE
  end
  local list = {}
  if q and key and q.key_most + q.key_count > 0 then
    list[#list + 1] = state('Q:' .. queue .. '\n' .. key)
  end
  if k and key and k.key_most + k.key_count > 0 then
    list[#list + 1] = state('K:' .. task .. '\n' .. key)
  end
  if k and k.most + k.count > 0 then
    list[#list + 1] = state('k:' .. task)
  end
  if q and q.most + q.count > 0 then
    list[#list + 1] = state('q:' .. queue)
  end
  return list
end

-- Whether one of them is shut: then the message is parked there.
local function waits(limits, id, queue, list, raw, task, ours)
  for _, s in ipairs(limits) do
    local when = shut(s)
    if when then
      park(s, when, list, raw)
      look_again(s, when)
      call('HSET', P .. 'job:' .. id, 'parked', s.name, 'kind', task, 'queue', queue, 'state', 'ready')
      if not ours then
        call('ZADD', P .. 'open', id, id)
      end
      passed = passed + 1
      return true
    end
  end
end

-- Of scope queued: the key is free while it runs.
local function free_key(id, have)
  local name = have[SCOPE] and have[UNIQUE] and P .. 'unique:' .. have[UNIQUE]
  if name and call('GET', name) == id then
    call('DEL', name)
  end
end

local function claim(queue, list, raw, m)
  local head, info, tag = m.headers, m.properties.delivery_info, m.properties.delivery_tag
  local id, have, ours = find(head)
  if have[VERSION] and tonumber(have[VERSION]) ~= head.maru_version then
    return -- another push took its place: that one's message is on its way
  end
  local job = P .. 'job:' .. id
  local retries = type(head.retries) == 'number' and head.retries or 0
  local key = type(head.maru_key) == 'string' and head.maru_key ~= '' and head.maru_key
  local flag = have[STATE] == 'cancelled' and 'cancelled'
    or revoked and call('ZSCORE', P .. 'revoked', head.id) and 'revoked'
    or not tasks[head.task] and 'unknown' or ''
  local limits, held = flag == '' and limits_of(queue, head.task, key) or NONE, ''
  if waits(limits, id, queue, list, raw, head.task, ours) then
    return
  end
  for _, s in ipairs(limits) do
    take(s, id)
    held = s.most > 0 and held .. string.sub(s.name, 1, 1) or held
  end
  local fence = call('HINCRBY', job, 'fence', 1)
  call('HSET', job, 'kind', head.task, 'queue', queue, 'state', 'running', 'tag', tag, 'started', now_ns,
    'attempt', retries + 1, 'node', node, 'held', held)
  if key and not ours then
    call('HSET', job, 'key', key)
  end
  if flag ~= '' then -- it does not run, so that nothing can die of it
    call('HSET', job, 'spare', 1)
  end
  if not ours or have[MAX] == '0' or (have[STATE] ~= 'ready' and have[STATE] ~= 'delayed') then
    call('PERSIST', job)
    call('ZADD', P .. 'open', id, id)
  end
  free_key(id, have)
  call('ZADD', P .. 'lease', now + lease, id)
  call('ZADD', 'unacked_index', now, tag)
  local route = type(info.routing_key) == 'string' and info.routing_key or queue
  call('HSET', 'unacked', tag, '[' .. raw .. ', ' .. cjson.encode(info.exchange) .. ', ' .. cjson.encode(route) .. ']')
  out[#out + 1] = { id, tostring(fence), tostring(retries + 1), have[CRASHES] or '0', flag, queue, list,
    have[MAX] or '', have[CREATED] or now_ns, have[UNIQUE] or '', have[EXTRA] or '', raw, have[LOST] or '' }
  taken[#taken + 1] = id
  taken[#taken + 1] = tostring(fence)
end

local function lack(m)
  if type(m) ~= 'table' or type(m.headers) ~= 'table' or type(m.properties) ~= 'table' then
    return 'the message has no headers and properties'
  end
  local info = m.properties.delivery_info
  if type(m.headers.task) ~= 'string' then
    return 'the headers lack task'
  elseif type(m.headers.id) ~= 'string' then
    return 'the headers lack id'
  elseif type(m.properties.delivery_tag) ~= 'string' then
    return 'the properties lack delivery_tag'
  elseif type(info) ~= 'table' or type(info.exchange) ~= 'string' then
    return 'the properties lack delivery_info.exchange'
  end
end

local function look(queue, list, raw)
  local ok, m = pcall(cjson.decode, raw)
  local why = ok and lack(m) or not ok and 'the message is not JSON'
  if not why then
    local had, fault = pcall(claim, queue, list, raw, m)
    why = not had and (type(fault) == 'table' and fault.err or tostring(fault))
  end
  if why then
    call('LPUSH', P .. 'quarantine', cjson.encode({ reason = why, queue = queue, at = now, message = raw }))
    call('LTRIM', P .. 'quarantine', 0, 9999)
  end
end

-- Limits with something parked that may have opened.
for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'parked', '-inf', now, 'LIMIT', 0, 20)) do
  local s = state(name)
  local when, most = shut(s), math.min(openings(s), PASS)
  if when then
    call('ZADD', P .. 'parked', when, name)
    look_again(s, when)
  elseif unpark(name, most) < most then
    call('ZREM', P .. 'parked', name)
  else -- there may be more of them
    when = s.most == 0 and not s.step and now or now + 5
    if s.step and most < s.room then
      when = math.max(s.full, now) + most * s.step - s.burst
    end
    call('ZADD', P .. 'parked', when, name)
    call('SADD', P .. 'shut', name)
  end
end

for _, step in ipairs({ '', '\6\0223', '\6\0226', '\6\0229' }) do
  for _, queue in ipairs(queues) do
    local list, q = queue .. step, known['q:' .. queue]
    q = q and q.most + q.count > 0 and state('q:' .. queue)
    while not paused[queue] and #out < want and passed < PASS do
      local when = q and shut(q)
      if when then
        look_again(q, when)
        break
      end
      local raw = redis.pcall('RPOP', list)
      if type(raw) ~= 'string' then
        break
      end
      look(queue, list, raw)
    end
  end
end
keep_buckets()
if #taken > 0 then
  call('HSET', ledger, 'seq', seq, 'jobs', cjson.encode(taken))
  call('EXPIRE', ledger, 86400)
end
if passed == PASS then
  wake = now
end
return { wake < math.huge and string.format('%.0f', math.max(0, math.ceil((wake - now) * 1000))) or '', out }
