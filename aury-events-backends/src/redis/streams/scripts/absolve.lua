-- Takes back that the handlers of some entries have begun: the process has not died, though it was taken for dead. Others
-- may have taken the entries over; they keep them.
--
-- KEYS  stream
-- ARGV  group, what one interruption adds to a count, ids

local stream, group, one = KEYS[1], ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
  if pending and pending[4] >= one then
    local count = string.format('%.0f', pending[4] - one)
    redis.call('XCLAIM', stream, group, pending[2], 0, ARGV[i], 'IDLE', pending[3], 'RETRYCOUNT', count, 'JUSTID')
  end
end
return 1
