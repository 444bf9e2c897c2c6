-- Puts an event aside that is published with a delay.
--
-- KEYS  delayed events, stream of the event
-- ARGV  milliseconds to wait, envelope

local time = redis.call('TIME')
local due = time[1] * 1000 + math.ceil(time[2] / 1000) + tonumber(ARGV[1])
-- The envelope holds the id of the event, so sending it again after a lost reply does not double it.
return redis.call('ZADD', KEYS[1], due, cmsgpack.pack({ KEYS[2], '', ARGV[2] }))
