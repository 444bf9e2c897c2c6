-- Ends a consumer: what it has not acknowledged is nobody's, so that others take it over at once.
--
-- KEYS  stream, own sign of life
-- ARGV  group, own name, the name that nobody has, then the ids of the entries that a handler has seen

local stream, group, me, nobody = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', stream) == 0 then
  return 0
end

local seen = {}
for i = 4, #ARGV do
  seen[ARGV[i]] = true
end

local pending = redis.call('XPENDING', stream, group, '-', '+', 1000000, me)
for _, entry in ipairs(pending) do
  -- An attempt that no handler has begun does not count.
  local count = seen[entry[1]] and entry[4] or math.max(entry[4] - 1, 0)
  redis.call('XCLAIM', stream, group, nobody, 0, entry[1], 'RETRYCOUNT', count, 'JUSTID')
end
if #redis.call('XPENDING', stream, group, '-', '+', 1, me) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
end
return #pending
