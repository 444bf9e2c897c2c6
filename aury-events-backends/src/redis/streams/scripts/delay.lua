-- Puts an event aside until its time, and acknowledges the entry that it came from.
--
-- KEYS  stream, delayed events, stream that the group reads them from later
-- ARGV  group, id of the entry, number of the attempt to come, milliseconds to wait, envelope
-- Gives 0 if the entry has been settled before: this is a repetition, or another process had taken it over.

local stream, group, id = KEYS[1], ARGV[1], ARGV[2]
local pending = redis.pcall('XPENDING', stream, group, id, id, 1)
if not pending.err and #pending == 0 then
  return 0
end

-- A script that has begun with a write that needs no room is not refused others by a full server. The event moves: it
-- could not be trimmed while it was pending.
redis.call('PERSIST', KEYS[2])
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[4])
-- With the entry's key and id in it, no two members are the same.
redis.call('ZADD', KEYS[2], due, cmsgpack.pack({ KEYS[3], ARGV[3], ARGV[5], stream, id }))
redis.call('XACK', stream, group, id)
return 1
