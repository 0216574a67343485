/* redis_upkeep.c -- the scripts that run now and then; redis_scripts.h says what they do. */
#include "jobs/redis_scripts.h"

struct redis_script redis_renew = {
    "local P, lease = ARGV[1], tonumber(ARGV[2])\n"
    "local t = redis.call('TIME')\n"
    "local now, lost = t[1] + t[2] / 1e6, {}\n"
    "for i = 3, #ARGV, 2 do\n"
    "  local id = ARGV[i]\n"
    "  local h = redis.call('HMGET', P .. 'job:' .. id, 'fence', 'tag')\n"
    "  if h[1] == ARGV[i + 1] and h[2] and redis.call('ZSCORE', P .. 'lease', id) then\n"
    "    redis.call('ZADD', P .. 'lease', now + lease, id)\n"
    "    redis.call('ZADD', 'unacked_index', 'XX', now, h[2])\n"
    "  else\n"
    "    lost[#lost + 1] = id\n"
    "  end\n"
    "end\n"
    "return lost\n",
    "",
};

struct redis_script redis_due = {
    "local P, t = ARGV[1], redis.call('TIME')\n"
    "local ids = redis.call('ZRANGEBYSCORE', P .. 'eta', '-inf', t[1] + t[2] / 1e6, 'LIMIT', 0, "
    "500)\n"
    "for _, id in ipairs(ids) do\n"
    "  local job = P .. 'job:' .. id\n"
    "  local h = redis.call('HMGET', job, 'm', 'list')\n"
    "  local r = h[1] and h[2] and redis.pcall('LPUSH', h[2], h[1])\n"
    "  if type(r) == 'table' and r.err then\n"
    "    redis.call('ZADD', P .. 'eta', t[1] + 60, id)\n" /* something else has the list's name */
    "  else\n"
    "    if r then\n"
    "      redis.call('HDEL', job, 'm', 'list')\n"
    "      redis.call('HSET', job, 'state', 'ready')\n"
    "    end\n"
    "    redis.call('ZREM', P .. 'eta', id)\n"
    "  end\n"
    "end\n"
    "return #ids\n",
    "",
};

struct redis_script redis_sweep = {
    "local P, t = ARGV[1], redis.call('TIME')\n"
    "local now, out, seen = t[1] + t[2] / 1e6, {}, {}\n"
    "local late = redis.call('ZRANGEBYSCORE', P .. 'lease', '-inf', now, 'LIMIT', 0, 100)\n"
    "local old = redis.call('ZRANGEBYSCORE', 'unacked_index', '-inf', now - tonumber(ARGV[2]),\n"
    "  'LIMIT', 0, 100)\n"
    "if #late + #old == 0 then return out end\n"
    "if not redis.call('SET', 'unacked_mutex', ARGV[3], 'NX', 'PX', 10000) then return out end\n"
    "for _, id in ipairs(late) do\n"
    "  local tag = redis.call('HGET', P .. 'job:' .. id, 'tag')\n"
    "  local value = tag and redis.call('HGET', 'unacked', tag)\n"
    "  if value then\n"
    "    seen[tag] = true\n"
    "    out[#out + 1] = {id, tag, value}\n"
    "  else\n"
    "    redis.call('ZREM', P .. 'lease', id)\n"
    "  end\n"
    "end\n"
    "for _, tag in ipairs(old) do\n"
    "  local value = redis.call('HGET', 'unacked', tag)\n"
    "  if not value then\n"
    "    redis.call('ZREM', 'unacked_index', tag)\n"
    "  elseif not seen[tag] then\n"
    "    out[#out + 1] = {'', tag, value}\n"
    "  end\n"
    "end\n"
    "if #out == 0 then redis.call('DEL', 'unacked_mutex') end\n"
    "return out\n",
    "",
};

struct redis_script redis_restore = {
    "local P, visible, token, t, count = ARGV[1], tonumber(ARGV[2]), ARGV[3], redis.call('TIME'), "
    "0\n"
    "local now = t[1] + t[2] / 1e6\n"
    "for i = 4, #ARGV, 4 do\n"
    "  local id, tag, list, message = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]\n"
    "  local lease = id ~= '' and redis.call('ZSCORE', P .. 'lease', id)\n"
    "  local index = redis.call('ZSCORE', 'unacked_index', tag)\n"
    "  local late = lease and tonumber(lease) <= now\n"
    "  local old = id == '' and index and tonumber(index) <= now - visible\n"
    "  local there = (late or old) and redis.call('HEXISTS', 'unacked', tag) == 1\n"
    "  local r = there and redis.pcall('RPUSH', list, message)\n"
    "  if type(r) == 'table' and r.err then\n" /* it stays; something else has the list's name */
    "    redis.call('ZADD', 'unacked_index', now, tag)\n"
    "    if lease then redis.call('ZADD', P .. 'lease', now + 60, id) end\n"
    "  elseif there then\n"
    "    redis.call('HDEL', 'unacked', tag)\n"
    "    redis.call('ZREM', 'unacked_index', tag)\n"
    "    count = count + 1\n"
    "    if id ~= '' then\n"
    "      redis.call('ZREM', P .. 'lease', id)\n"
    "      redis.call('HSET', P .. 'job:' .. id, 'state', 'ready')\n"
    "      redis.call('HDEL', P .. 'job:' .. id, 'tag')\n"
    "      redis.call('HINCRBY', P .. 'job:' .. id, 'crashes', 1)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "if redis.call('GET', 'unacked_mutex') == token then redis.call('DEL', 'unacked_mutex') end\n"
    "return count\n",
    "",
};

struct redis_script redis_cancel = {
    "local P, id, now_ns = ARGV[1], ARGV[2], ARGV[3]\n"
    "local job = P .. 'job:' .. id\n"
    "local h = redis.call('HMGET', job, 'state', 'uuid', 'unique', 'foreign')\n"
    "if h[1] == 'running' then\n"
    "  redis.call('PUBLISH', P .. 'cancel', id)\n"
    "  return 'running'\n"
    "end\n"
    "if h[1] ~= 'ready' and h[1] ~= 'delayed' then return 'none' end\n"
    "redis.call('ZREM', P .. 'eta', id)\n"
    "redis.call('HSET', job, 'state', 'cancelled', 'finished', now_ns)\n"
    "redis.call('HDEL', job, 'm', 'list', 'unique')\n"
    "redis.call('ZREM', P .. 'open', id)\n"
    "if h[3] and redis.call('GET', P .. 'unique:' .. h[3]) == id then\n"
    "  redis.call('DEL', P .. 'unique:' .. h[3])\n"
    "end\n"
    "redis.call('ZADD', P .. 'done', tonumber(now_ns) / 1e9, id)\n"
    "member_over(job, false, now_ns)\n"
    "if h[1] == 'delayed' then redis.call('EXPIRE', job, ARGV[5]) end\n"
    "local key = 'celery-task-meta-' .. h[2]\n"
    "local json = string.gsub(ARGV[4], '%$uuid', function() return h[2] end)\n"
    "redis.call('SETEX', key, ARGV[5], json)\n"
    "redis.call('PUBLISH', key, json)\n"
    "return 'cancelled'\n",
    "",
};

struct redis_script redis_retry = {
    "local P, id = ARGV[1], ARGV[2]\n"
    "local job = P .. 'job:' .. id\n"
    "local h = redis.call('HMGET', job, 'state', 'unique', 'm', 'list')\n"
    "if h[1] == 'delayed' and h[3] then\n"
    "  if h[3] ~= ARGV[7] then return 'none' end\n"
    "  redis.call('ZREM', P .. 'eta', id)\n"
    "  redis.call('LPUSH', h[4], ARGV[6])\n"
    "elseif h[1] == 'dead' then\n"
    "  if h[2] and not redis.call('SET', P .. 'unique:' .. h[2], id, 'NX') then return 'taken' "
    "end\n"
    "  redis.call('ZREM', P .. 'dead', id)\n"
    "  redis.call('ZADD', P .. 'open', id, id)\n"
    "  redis.call('LPUSH', ARGV[4], ARGV[3])\n"
    "  redis.call('HDEL', job, 'crashes', 'error')\n"
    "  redis.call('HSET', job, 'attempt', 0)\n"
    "else\n"
    "  return 'none'\n"
    "end\n"
    "redis.call('HDEL', job, 'm', 'list')\n"
    "redis.call('HSET', job, 'state', 'ready', 'run_at', ARGV[5])\n"
    "redis.call('PERSIST', job)\n"
    "return 'ok'\n",
    "",
};

struct redis_script redis_revoke = {
    "local P, uuid, now = ARGV[1], ARGV[2], tonumber(ARGV[3]) / 1e9\n"
    "redis.call('ZADD', P .. 'revoked', now, uuid)\n"
    "redis.call('ZREMRANGEBYSCORE', P .. 'revoked', '-inf', now - 10800)\n"
    "redis.call('ZREMRANGEBYRANK', P .. 'revoked', 0, -50001)\n"
    "return redis.call('GET', P .. 'id:' .. uuid) or ''\n",
    "",
};

struct redis_script redis_rows = {
    "local P, out = ARGV[1], {}\n"
    "for i = 2, #ARGV do\n"
    "  local h = redis.call('HMGET', P .. 'job:' .. ARGV[i], 'state', 'kind', 'queue', "
    "'priority',\n"
    "    'attempt', 'max', 'crashes', 'args', 'error', 'result', 'created', 'run_at', 'started',\n"
    "    'finished', 'uuid', 'external')\n"
    "  local row = {ARGV[i]}\n"
    "  for k = 1, 15 do row[k + 1] = h[k] or '' end\n"
    "  row[17] = h[16] and redis.call('GET', 'celery-task-meta-' .. h[15]) or ''\n"
    "  out[#out + 1] = row\n"
    "end\n"
    "return out\n",
    "",
};
