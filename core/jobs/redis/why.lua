-- P id task -> JSON of what keeps a queued job from running, "" when it is not queued: an array of
-- {code, until (s since 1970) | running and limit}.
local job = P .. 'job:' .. ARGV[2]
local h = call('HMGET', job, 'state', 'key', 'queue', 'run_at')
local reasons = {}

local function add(reason)
  reasons[#reasons + 1] = reason
end

-- ORDER of why.c: codes of a limit that is full, and of one that lacks tokens
local CODES = { k = 'kind', q = 'queue', K = 'key', Q = 'queue_key' }
local function limit(letter, task)
  local s = state(limit_name(letter, task, h[3], h[2]))
  if s.room <= 0 then
    add({ code = CODES[letter] .. '_full', running = s.running, limit = s.most })
  end
  if s.step and s.full - s.burst > now then
    add({ code = CODES[letter] .. '_rate', ['until'] = s.full - s.burst })
  end
end

if h[1] == 'delayed' then
  add({ code = 'not_due', ['until'] = tonumber(h[4]) / 1e9 })
elseif h[1] ~= 'ready' then
  return ''
end
if h[1] == 'ready' then
  local task = ARGV[3]
  local alive = call('ZSCORE', P .. 'kinds', task)
  if not alive or tonumber(alive) < now then
    add({ code = 'held' })
  end
  if call('SISMEMBER', P .. 'paused', h[3]) == 1 then
    add({ code = 'paused' })
  end
  limit('k', task)
  limit('q', task)
  if h[2] and h[2] ~= '' then
    limit('Q', task)
    limit('K', task)
  end
  if #reasons == 0 then
    add({ code = 'behind' })
  end
end
return cjson.encode(reasons)
