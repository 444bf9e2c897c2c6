-- Stores a dead letter, acknowledges the entry that it was, and removes the oldest letters that are too many.
--
-- KEYS  letters, their size in bytes, then the stream of the entry, if there is one
-- ARGV  the most letters, their most bytes, group and id of the entry (empty if there is none), then the fields and
--       values of the letter
-- Gives how many letters were removed, or -1 if the entry has been settled before.

local letters, size, stream = KEYS[1], KEYS[2], KEYS[3]
local most, most_bytes, group, id = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]

if stream then
  local pending = redis.pcall('XPENDING', stream, group, id, id, 1)
  if pending.err then
    -- The group is gone, as after `FLUSHALL`: there is nothing to acknowledge.
    stream = nil
  elseif #pending == 0 then
    -- Once more after a lost reply, or after another process had taken it over.
    return -1
  end
end

local fields, bytes = {}, 0
for i = 5, #ARGV do
  fields[i - 4] = ARGV[i]
  bytes = bytes + #ARGV[i]
end

-- A script that has begun with a write that needs no room is not refused others by a full server. The letter takes the
-- place of an entry that could not be trimmed while it was pending, so the server is not full for ever.
redis.call('PERSIST', letters)
redis.call('XADD', letters, '*', unpack(fields))
if stream then
  redis.call('XACK', stream, group, id)
end

local count = redis.call('XLEN', letters)
local total = redis.pcall('INCRBY', size, bytes)
if count == 1 or type(total) ~= 'number' or total < bytes then
  -- The count begins here, or somebody has spoilt it.
  redis.call('SET', size, bytes)
  total = bytes
end

local removed = 0
while count > 1 and (count > most or total > most_bytes) do
  local oldest = redis.call('XRANGE', letters, '-', '+', 'COUNT', 1)[1]
  local its_bytes = 0
  for _, part in ipairs(oldest[2]) do
    its_bytes = its_bytes + #part
  end
  redis.call('XDEL', letters, oldest[1])
  count, removed = count - 1, removed + 1
  total = total - its_bytes
end
if removed > 0 then
  if count == 1 then
    total = bytes
  end
  redis.call('SET', size, math.max(total, bytes))
end
return removed
