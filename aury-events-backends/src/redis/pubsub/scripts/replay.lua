-- Sends a dead letter to the processes in which its subscriber runs. Whoever takes it removes it.
--
-- KEYS  dead letters, string that expires: the letter is under way
-- ARGV  id of the letter, channel of the subscriber, how long it may be under way in milliseconds
-- Gives 2 when it is under way, 0 when it is not there or somebody else has sent it, -1 when nobody listens.

local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end

local message
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'event' or entry[2][i] == 'raw' then
    message = entry[2][i + 1]
  end
end
-- What `PUBLISH` counts may be others, who listen to patterns.
if redis.call('PUBSUB', 'NUMSUB', ARGV[2])[2] == 0 then
  return -1
end
if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[3]) then
  return 0
end
redis.call('PUBLISH', ARGV[2], ARGV[1] .. ' ' .. message)
return 2
