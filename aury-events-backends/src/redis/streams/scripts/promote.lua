-- Moves delayed events whose time has come to their streams: those of a later attempt to the one that their group reads
-- retries from, those that were published with a delay to the event's.
--
-- KEYS  delayed events
-- ARGV  how many at most
-- Gives the milliseconds until the next is due, or -1 if there is none.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, event in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local parts = cmsgpack.unpack(event)
  if parts[2] == '' then
    redis.call('XADD', parts[1], '*', 'event', parts[3])
  else
    redis.call('XADD', parts[1], '*', 'event', parts[3], 'attempt', parts[2])
  end
  redis.call('ZREM', KEYS[1], event)
end
local next = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not next[2] then
  return -1
end
return math.max(tonumber(next[2]) - now, 0)
