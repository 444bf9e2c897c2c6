-- Gives a sign of life.
--
-- KEYS  own sign of life
-- ARGV  milliseconds until it expires
-- Gives 1, or 0 if there was none any more.

if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 1 then
  return 1
end
-- A script that has begun with a write that needs no room is not refused others by a full server: without signs of life,
-- nobody would take over what fills it.
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return 0
