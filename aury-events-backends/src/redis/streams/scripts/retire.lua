-- Ends a consumer: what it has not acknowledged is nobody's, so that others take it over at once. That a handler had
-- begun counts as nothing.
--
-- KEYS  stream, own sign of life
-- ARGV  group, own name, the name that nobody has, what one interruption adds to a count, then the ids of the entries
--       whose handlers the server was told of

local stream, group, me, nobody, one = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', stream) == 0 then
  return 0
end

for i = 5, #ARGV do
  local pending = redis.call('XPENDING', stream, group, ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == me and pending[4] >= one then
    local count = string.format('%.0f', pending[4] - one)
    redis.call('XCLAIM', stream, group, me, 0, ARGV[i], 'RETRYCOUNT', count, 'JUSTID')
  end
end

local left, from = 0, '-'
while true do
  local pending = redis.call('XPENDING', stream, group, from, '+', 1000, me)
  if #pending == 0 then
    break
  end
  local ids = {}
  for i, entry in ipairs(pending) do
    ids[i] = entry[1]
  end
  -- `JUSTID` leaves the counts as they are.
  table.insert(ids, 'JUSTID')
  redis.call('XCLAIM', stream, group, nobody, 0, unpack(ids))
  left, from = left + #pending, '(' .. pending[#pending][1]
end
if #redis.call('XPENDING', stream, group, '-', '+', 1, me) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
end
return left
