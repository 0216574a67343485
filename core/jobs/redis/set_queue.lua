-- P queue and what of it P setting shall have, "" = as it is -> all of it.
local queue, words = ARGV[2], {}
local before = call('HGET', P .. 'setting', queue) or '- - - - - -'
for word in string.gmatch(before, '%S+') do
  words[#words + 1] = word
end
for i = 3, #ARGV do
  if ARGV[i] ~= '' then
    words[i - 2] = ARGV[i]
  end
end
local after = table.concat(words, ' ')
call('HSET', P .. 'setting', queue, after)
call(words[1] == '1' and 'SADD' or 'SREM', P .. 'paused', queue)
changed('q', queue)
return after
