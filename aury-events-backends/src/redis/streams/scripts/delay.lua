-- Puts an event aside until its time, and acknowledges the entry that it came from.
--
-- KEYS  stream, delayed events, stream that the group reads them from later
-- ARGV  group, id of the entry, number of the attempt to come, milliseconds to wait, envelope

local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[4])
-- With the entry's key and id in it, putting it aside once more after a lost reply does not double it.
local event = cmsgpack.pack({ KEYS[3], ARGV[3], ARGV[5], KEYS[1], ARGV[2] })
redis.call('ZADD', KEYS[2], due, event)
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
