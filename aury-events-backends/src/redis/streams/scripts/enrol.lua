-- Records the first subscription of a group to a topic.
--
-- KEYS  subscribers
-- ARGV  the subscription
-- Gives [when the first one was, in milliseconds, 1 if this is it].

-- As in `join.lua`: a full server takes this, too.
redis.call('PERSIST', KEYS[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_first = redis.call('HSETNX', KEYS[1], ARGV[1], now)
local since = tonumber(redis.call('HGET', KEYS[1], ARGV[1]))
if not since then
  -- Somebody has spoilt it. Too much is better than too little.
  redis.call('HSET', KEYS[1], ARGV[1], 0)
  since = 0
end
return { since, is_first }
