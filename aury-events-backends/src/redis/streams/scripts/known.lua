-- Makes known how far a `broadcast` subscriber has read, together with a sign of life.
--
-- KEYS  own sign of life, the consumers of that subscriber, then for each stream its readers
-- ARGV  milliseconds until the sign of life expires, own name, then for each stream the position

-- A script that has begun with a write that needs no room is not refused others by a full server.
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], '')
redis.call('PEXPIRE', KEYS[2], ARGV[1])
for i = 3, #KEYS do
  redis.pcall('HSET', KEYS[i], ARGV[2], ARGV[i])
end
return 1
