-- P queue... -> for each {ready, delayed, running, dead}.
local out, running = {}, {}
for _, id in ipairs(call('ZRANGE', P .. 'lease', 0, 9999)) do
  local queue = call('HGET', P .. 'job:' .. id, 'queue')
  if queue then
    running[queue] = (running[queue] or 0) + 1
  end
end
for i = 2, #ARGV do
  local queue = ARGV[i]
  local ready = 0
  for _, step in ipairs({ '', '\6\0223', '\6\0226', '\6\0229' }) do
    local length = redis.pcall('LLEN', queue .. step)
    ready = ready + (type(length) == 'number' and length or 0)
  end
  local h = call('HMGET', P .. 'count:' .. queue, 'delayed', 'dead', 'parked')
  local function known_as(k)
    return math.max(0, tonumber(h[k]) or 0)
  end
  out[#out + 1] = { ready + known_as(3), known_as(1), running[queue] or 0, known_as(2) }
end
return out
