-- P zset ("wf:due" | "wf:stray") from count until (s | "inf"), a line "plugin name" for each graph declared there, with
-- a line feed before and behind each -> {how many there are from `from` on, at most `count`, then {member, score}* of
-- those whose run goes on there; one that is gone, or no graph's, does so anywhere}.
local zset, names = ARGV[2], ARGV[6]
local rows = call('ZRANGEBYSCORE', P .. zset, '-inf', ARGV[5], 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
local out, runs = { #rows / 2 }, {}

local function run_of(member)
  local extra = zset == 'wf:stray' and (call('HGET', P .. 'job:' .. member, 'extra') or '')
  return string.match(extra or member, extra and '"workflow":(%d+)' or '^(%d+):') or ''
end

local function is_declared(run)
  if runs[run] == nil then
    local h = call('HMGET', P .. 'wf:' .. run, 'plugin', 'name', 'shape')
    local name = '\n' .. (h[1] or '') .. ' ' .. (h[2] or '') .. '\n'
    runs[run] = h[3] ~= '0' or string.find(names, name, 1, true) ~= nil
  end
  return runs[run]
end

for i = 1, #rows, 2 do
  if is_declared(run_of(rows[i])) then
    out[#out + 1] = rows[i]
    out[#out + 1] = rows[i + 1]
  end
end
return out
