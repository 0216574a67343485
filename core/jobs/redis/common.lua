-- Stands before every script that takes, frees or changes limits.
--
-- A limit bounds a kind ('k:' and its task), a queue ('q:' and its name), or what has one key there
-- ('K:' and 'Q:', with a line feed and the key behind). Of each there may be
--   P held:<limit>            set of the jobs that run under it: claimed ones, whose lease lives
--   P bucket:<limit>          when its bucket is full again (s): tokens are time
--   P parked:<step>:<limit>   list of "list, line feed, message": what came while it was shut
-- and P parked says when to look at it again, P shut that somebody waits for its next end.
local call, P = redis.call, ARGV[1]
local time = call('TIME')
local now = time[1] + time[2] / 1e6
local STEPS = { '0', '3', '6', '9' }

-- What nodes declare (P limit) is theirs for a minute, and repeated; what an operator set is above it.
local function bounds_of(declared, set)
  if not declared and not set then
    return false
  end
  local b = { most = 0, count = 0, period = 1, key_most = 0, key_count = 0, key_period = 1 }
  local n = {}
  for word in string.gmatch(declared or '', '%S+') do
    n[#n + 1] = tonumber(word)
  end
  if n[7] and n[7] > now - 60 then
    b = { most = n[1], count = n[2], period = n[3], key_most = n[4], key_count = n[5], key_period = n[6] }
  end
  local w = {}
  for word in string.gmatch(set or '', '%S+') do
    w[#w + 1] = word
  end
  local function rate(word, count, period)
    local c, ns = string.match(word or '', '^(%d+)/(%d+)$')
    if c then
      b[count], b[period] = tonumber(c), tonumber(ns) / 1e9
    end
  end
  b.most = tonumber(w[2]) or b.most
  b.key_most = tonumber(w[5]) or b.key_most
  rate(w[3], 'count', 'period')
  rate(w[6], 'key_count', 'key_period')
  return b.most + b.count + b.key_most + b.key_count > 0 and b
end

local known = {} -- bounds by 'k:' and task or 'q:' and queue

local function bounds(who)
  if known[who] == nil then
    local set = string.sub(who, 1, 1) == 'q' and call('HGET', P .. 'setting', string.sub(who, 3))
    known[who] = bounds_of(call('HGET', P .. 'limit', who), set)
  end
  return known[who]
end

-- How many of a set's jobs are not claimed any more: nothing leaves them there, but a limit that
-- never opened again would be worse than a look.
local function strays(held)
  local n = 0
  for _, id in ipairs(call('SRANDMEMBER', held, 10)) do
    if not call('ZSCORE', P .. 'lease', id) then
      n = n + call('SREM', held, id)
    end
  end
  return n
end

local states = {}

-- A limit as it is now: room for so many jobs, and (step) its bucket.
local function state(name)
  local s = states[name]
  if s then
    return s
  end
  local sort, who = string.match(name, '^(%a):([^\n]*)')
  local b = bounds(string.lower(sort) .. ':' .. who) or { most = 0, count = 0, key_most = 0, key_count = 0 }
  local plain = sort == 'k' or sort == 'q'
  local most, count = plain and b.most or b.key_most, plain and b.count or b.key_count
  s = { name = name, most = most, room = math.huge }
  if most > 0 then
    local held = P .. 'held:' .. name
    s.running = call('SCARD', held)
    if s.running >= most then
      s.running = s.running - strays(held)
    end
    s.room = most - s.running
  end
  if count > 0 then
    s.step = (plain and b.period or b.key_period) / count
    s.burst = (count - 1) * s.step
    s.full = math.min(tonumber(call('GET', P .. 'bucket:' .. name)) or 0, now + s.burst + s.step)
  end
  states[name] = s
  return s
end

-- nil: a job may start under it. Otherwise when to look again; the next end of a job under it comes
-- before that, or the refill is that.
local function shut(s)
  if s.room <= 0 then
    return now + 5
  end
  if s.step and s.full - s.burst > now then
    return s.full - s.burst
  end
end

-- How many jobs may start at once.
local function openings(s)
  local tokens = s.step and math.floor((now + s.burst - s.full) / s.step) + 1 or math.huge
  return math.min(s.room, tokens)
end

local function take(s, id)
  if s.most > 0 then
    call('SADD', P .. 'held:' .. s.name, id)
    s.room = s.room - 1
  end
  if s.step then
    s.full = math.max(s.full, now) + s.step
    s.spent = true
  end
end

-- Writes down what was spent.
local function keep_buckets()
  for name, s in pairs(states) do
    if s.spent then
      local ms = math.max(1, math.ceil((s.full - now) * 1000))
      call('SET', P .. 'bucket:' .. name, string.format('%.6f', s.full), 'PX', ms)
    end
  end
end

local function look_at(name, at)
  local before = call('ZSCORE', P .. 'parked', name)
  if not before or tonumber(before) > at then
    call('ZADD', P .. 'parked', at, name)
  end
end

local function count_parked(list, by)
  call('HINCRBY', P .. 'count:' .. string.gsub(list, '\6\22%d$', ''), 'parked', by)
end

local function park(s, at, list, message)
  local step = string.match(list, '\6\22(%d)$') or '0'
  call('LPUSH', P .. 'parked:' .. step .. ':' .. s.name, list .. '\n' .. message)
  count_parked(list, 1)
  look_at(s.name, at)
end

-- Puts up to `most` messages back in front of their lists, in their order; how many there were.
local function unpark(name, most)
  local back = {}
  for _, step in ipairs(STEPS) do
    local key = P .. 'parked:' .. step .. ':' .. name
    while #back < most do
      local entry = call('RPOP', key)
      if not entry then
        break
      end
      back[#back + 1] = entry
    end
  end
  for i = #back, 1, -1 do
    local list, message = string.match(back[i], '^([^\n]*)\n(.*)$')
    local r = redis.pcall('RPUSH', list, message)
    count_parked(list, -1)
    if type(r) == 'table' and r.err then
      call('LPUSH', P .. 'quarantine', cjson.encode({ reason = r.err, queue = list, at = now, message = message }))
    end
  end
  return #back
end

-- Jobs of a queue in a place, for looks.
local function count(queue, place, by)
  call('HINCRBY', P .. 'count:' .. (queue or ''), place, by)
end

local told = false

-- Nodes look for work.
local function tell()
  if not told then
    call('PUBLISH', P .. 'room', '')
    told = true
  end
end

local function limit_name(letter, kind, queue, key)
  local lower = string.lower(letter)
  return letter .. ':' .. (lower == 'k' and kind or queue) .. (lower == letter and '' or '\n' .. (key or ''))
end

-- A job is claimed no more. letters: of the limits it held.
local function release(id, letters, kind, queue, key)
  for letter in string.gmatch(letters or '', '%a') do
    local name = limit_name(letter, kind, queue, key)
    call('SREM', P .. 'held:' .. name, id)
    if call('SREM', P .. 'shut', name) == 1 then
      if call('ZSCORE', P .. 'parked', name) then
        call('ZADD', P .. 'parked', 0, name)
      end
      tell()
    end
  end
end

-- The bounds of 'k' or 'q' and `who` are not what they were: what runs already counts, and what is
-- parked is looked at.
local function changed(letter, who)
  known[letter .. ':' .. who] = nil
  local b = bounds(letter .. ':' .. who)
  local upper = string.upper(letter)
  for _, id in ipairs(b and call('ZRANGE', P .. 'lease', 0, 9999) or {}) do
    local job = P .. 'job:' .. id
    local h = call('HMGET', job, letter == 'k' and 'kind' or 'queue', 'key', 'held')
    local held = h[3] or ''
    local function hold(l, most, key)
      if most > 0 and not string.find(held, l, 1, true) then
        call('SADD', P .. 'held:' .. limit_name(l, who, who, key), id)
        held = held .. l
      end
    end
    if h[1] == who then
      hold(letter, b.most)
      if h[2] and h[2] ~= '' then
        hold(upper, b.key_most, h[2])
      end
      call('HSET', job, 'held', held)
    end
  end
  for _, name in ipairs(call('ZRANGE', P .. 'parked', 0, -1)) do
    local sort, of = string.match(name, '^(%a):([^\n]*)')
    if string.lower(sort) == letter and of == who then
      call('ZADD', P .. 'parked', 0, name)
    end
  end
  tell()
end
