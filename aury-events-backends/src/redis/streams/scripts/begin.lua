-- Takes note that the handler of an entry begins which a process held that has died.
--
-- KEYS  stream
-- ARGV  group, own name, id of the entry, how many processes may die over it, what one adds to its count
-- Gives [1, how many have died] when it is noted, [0, how many] when there were too many, [-1, 0] when another process
-- has it.

local stream, group, me, id, one = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
if not pending or pending[2] ~= me then
  return { -1, 0 }
end
local times = math.floor(pending[4] / one)
if times >= tonumber(ARGV[4]) then
  return { 0, times }
end
local count = string.format('%.0f', pending[4] + one)
redis.call('XCLAIM', stream, group, me, 0, id, 'RETRYCOUNT', count, 'JUSTID')
return { 1, times }
