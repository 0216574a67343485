-- P uuid now_ns -> the id of an unfinished job with it, or "".
local uuid, at = ARGV[2], tonumber(ARGV[3]) / 1e9
call('ZADD', P .. 'revoked', at, uuid)
call('ZREMRANGEBYSCORE', P .. 'revoked', '-inf', at - 10800)
call('ZREMRANGEBYRANK', P .. 'revoked', 0, -50001)
return call('GET', P .. 'id:' .. uuid) or ''
