-- Creates groups on a stream, and the stream if need be. Those that exist stay as they are.
--
-- KEYS  stream
-- ARGV  for each group its name and the id after which it begins
-- Gives how many there were not.

-- A script that has begun with a write that needs no room is not refused others by a full server: a worker that is
-- restarted then has to handle what fills it.
redis.call('PERSIST', KEYS[1])
local made_now = 0
for i = 1, #ARGV, 2 do
  local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[i], ARGV[i + 1], 'MKSTREAM')
  if not made.err then
    made_now = made_now + 1
  elseif not string.find(made.err, 'BUSYGROUP', 1, true) then
    return made
  end
end
return made_now
