-- Ends a consumer: what it has not acknowledged is free for others at once, and it is removed if there is nothing.
--
-- KEYS  stream, own sign of life
-- ARGV  group, own name, idle time after which others take over, then the ids of the entries that a handler has seen

local stream, group, me = KEYS[1], ARGV[1], ARGV[2]
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
  redis.call('XCLAIM', stream, group, me, 0, entry[1], 'IDLE', ARGV[3], 'RETRYCOUNT', count, 'JUSTID')
end
if #redis.call('XPENDING', stream, group, '-', '+', 1, me) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
end
return #pending
