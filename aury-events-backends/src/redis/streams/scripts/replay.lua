-- Puts the event of a dead letter where its subscriber finds it, and removes the letter; or has that removed by the
-- `broadcast` subscriber who takes it.
--
-- KEYS  dead letters, their size in bytes, string that expires: the letter is under way, stream that the group reads
--       again, stream that the broadcast subscriber reads again, those who read the latter
-- ARGV  id of the letter, group, what signs of life begin with, how many replayed events are kept for a broadcast, how
--       long it may be under way in milliseconds
-- Gives 1 when that is done, 2 when it is under way, 0 when it is not there or somebody else has sent it, -1 when there
-- is no such subscriber.

local letters, size, under_way, retries, replays, readers = unpack(KEYS)
local entry = redis.call('XRANGE', letters, ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end

local message, bytes = nil, 0
for i = 1, #entry[2], 2 do
  bytes = bytes + #entry[2][i] + #entry[2][i + 1]
  if entry[2][i] == 'event' or entry[2][i] == 'raw' then
    message = entry[2][i + 1]
  end
end

local function has_group()
  if redis.call('EXISTS', retries) == 0 then
    return false
  end
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', retries)) do
    for i = 1, #fields, 2 do
      if fields[i] == 'name' and fields[i + 1] == ARGV[2] then
        return true
      end
    end
  end
  return false
end

local function has_reader()
  local is_read = false
  for _, reader in ipairs(redis.call('HKEYS', readers)) do
    if redis.call('EXISTS', ARGV[3] .. reader) == 1 then
      is_read = true
    else
      redis.call('HDEL', readers, reader)
    end
  end
  return is_read
end

if has_reader() then
  if not redis.call('SET', under_way, 1, 'NX', 'PX', ARGV[5]) then
    return 0
  end
  redis.call('XADD', replays, 'MAXLEN', '~', ARGV[4], '*', 'event', message, 'letter', ARGV[1])
  redis.call('EXPIRE', replays, 86400)
  return 2
elseif has_group() then
  redis.call('XADD', retries, '*', 'event', message, 'attempt', 1)
else
  return -1
end
redis.call('XDEL', letters, ARGV[1])
redis.pcall('DECRBY', size, bytes)
return 1
