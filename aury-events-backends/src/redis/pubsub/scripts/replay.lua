-- Hands a dead letter to the processes in which its subscriber runs, and removes it.
--
-- KEYS  dead letters
-- ARGV  id of the letter, channel of the subscriber
-- Gives 1 when that is done, 0 when the letter is not there, -1 when nobody listens.

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
redis.call('PUBLISH', ARGV[2], message)
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
