-- Removes a dead letter.
--
-- KEYS  letters, their size in bytes
-- ARGV  id of the letter
-- Gives 1, or 0 when it was not there.

local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end
local bytes = 0
for _, part in ipairs(entry[2]) do
  bytes = bytes + #part
end
redis.call('XDEL', KEYS[1], ARGV[1])
redis.pcall('DECRBY', KEYS[2], bytes)
return 1
