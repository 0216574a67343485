-- Behind common.lua and before push.lua and relay.lua: one job is pushed.
--
-- Of each job (PUSH_FIELDS): id uuid kind queue list message run_at ("" = now) unique ("" = none;
-- "kind:key") fire ("" = none) created_ns max (0: a Python worker's) args priority key extra scope
-- ("" | "queued") period_ms ("" = none) replace version batch.
--
-- replace is "", "?" or the id whose place it takes: then id, uuid and message are that one's, and
-- version, in its header maru_version too, is a number that no push before had: what is still in a
-- list with another one is passed over.
local PUSH_FIELDS = 20

local function ns(s)
  local whole, f = string.match(s, '^(%d+)%.?(%d*)$')
  return whole .. string.sub(f .. '000000000', 1, 9)
end

local types = {}
local function is_list(list)
  types[list] = types[list] or call('TYPE', list).ok
  return types[list] == 'none' or types[list] == 'list'
end

-- A job that waits, so that what it is to do may change.
local function is_replaceable(id)
  local h = call('HMGET', P .. 'job:' .. id, 'state', 'extra')
  local extra = h[2] or ''
  return (h[1] == 'ready' or h[1] == 'delayed') and not string.find(extra, '"batch":', 1, true)
    and not string.find(extra, '"workflow":', 1, true) and not string.find(extra, '"previous":', 1, true)
end

-- Who keeps this one from its unique key: "0" nobody.
local function unique_code(j)
  if j.unique == '' then
    return '0'
  end
  local holder = call('GET', P .. 'unique:' .. j.unique)
  if holder and j.replace ~= '' and is_replaceable(holder) then
    return holder == j.replace and '4' or '=' .. holder
  elseif holder or call('EXISTS', P .. 'period:' .. j.unique) == 1 then
    return '1'
  end
  return (j.replace == '' or j.replace == '?' or j.replace == j.version) and '0' or '=' -- that one is gone
end

local function keep_fire(j)
  if j.fire == '' then
    return
  end
  local schedule, instant = string.match(j.fire, '^(.*):(%d+)$')
  local last = call('HGET', P .. 'cron:last', schedule)
  if not last or tonumber(string.match(last, '^%d+')) < tonumber(instant) then
    call('HSET', P .. 'cron:last', schedule, instant .. ':' .. j.id)
  end
end

-- What it was goes, so that what it becomes can be written over it.
local function clear(j, job)
  if call('ZREM', P .. 'eta', j.id) == 1 then
    count(call('HGET', job, 'queue'), 'delayed', -1)
  end
  call('HDEL', job, 'm', 'list', 'error', 'key', 'extra', 'scope', 'parked')
  call('HSET', job, 'version', j.version, 'attempt', 0)
end

local function put(j, code)
  local job = P .. 'job:' .. j.id
  if code == '4' then
    clear(j, job)
  end
  local more = { 'HSET', job, 'uuid', j.uuid, 'kind', j.kind, 'queue', j.queue, 'priority', j.priority,
    'run_at', j.at == '' and j.created or ns(j.at), 'max', j.max, 'args', j.args,
    'state', j.at == '' and 'ready' or 'delayed' }
  local function add(name, value)
    if value ~= '' then
      more[#more + 1] = name
      more[#more + 1] = value
    end
  end
  add('created', code == '0' and j.created or '')
  add('unique', j.unique)
  add('key', j.key)
  add('extra', j.extra)
  add('scope', j.scope)
  add('batch', j.batch)
  add('m', j.at ~= '' and j.message or '')
  add('list', j.at ~= '' and j.list or '')
  add('external', j.max == '0' and '1' or '')
  call(unpack(more))
  if j.unique ~= '' then
    call('SET', P .. 'unique:' .. j.unique, j.id)
    if j.period ~= '' then
      call('SET', P .. 'period:' .. j.unique, j.id, 'PX', j.period)
    end
  end
  if j.max == '0' then
    call('EXPIRE', job, 2678400)
    call('SADD', '_kombu.binding.' .. j.queue, j.queue .. '\6\22\6\22' .. j.queue)
  else
    call('ZADD', P .. 'open', j.id, j.id)
    if not types[j.queue .. '\n' .. j.kind] then
      types[j.queue .. '\n' .. j.kind] = 'none'
      call('SADD', P .. 'queues', j.queue .. '\n' .. j.kind)
    end
  end
  if j.at == '' then
    call('LPUSH', j.list, j.message)
  else
    call('ZADD', P .. 'eta', j.at, j.id)
    count(j.queue, 'delayed', 1)
  end
end

-- The job whose fields begin at ARGV[i] -> "0" pushed, "1" the unique key is taken (and its holder is left alone), "2"
-- fired before, "3" something else has the list's name, "4" it took the place of a queued one; "=<id>": it may take
-- that one's place ("": nobody's, so version is its own id), when it comes again as that.
local function push(i)
  local j = {}
  j.id, j.uuid, j.kind, j.queue, j.list, j.message, j.at, j.unique, j.fire = unpack(ARGV, i, i + 8)
  j.created, j.max, j.args, j.priority, j.key, j.extra, j.scope, j.period, j.replace, j.version, j.batch =
    unpack(ARGV, i + 9, i + 19)
  local fire = j.fire ~= '' and P .. 'fire:' .. j.fire
  local code = fire and call('EXISTS', fire) == 1 and '2' or not is_list(j.list) and '3' or unique_code(j)
  if code == '0' or code == '4' then
    if fire then
      call('SET', fire, j.id, 'EX', 2764800)
    end
    keep_fire(j)
    put(j, code)
  end
  return code
end
