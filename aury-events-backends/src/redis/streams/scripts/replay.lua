-- Puts the event of a dead letter where its subscriber finds it, and removes the letter; or has that removed by the
-- `broadcast` subscriber who takes it.
--
-- KEYS  dead letters, stream that the group reads again, stream that the broadcast subscriber reads again, those who
--       read the latter, string that expires: the letter is under way
-- ARGV  id of the letter, group, what signs of life begin with, how many replayed events are kept for a broadcast, how
--       long it may be under way in milliseconds
-- Gives 1 when that is done, 2 when it is under way, 0 when it is not there or somebody else has sent it, -1 when there
-- is no such subscriber.

local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry then
  return 0
end

local message
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'event' or entry[2][i] == 'raw' then
    message = entry[2][i + 1]
  end
end

local function has_group()
  if redis.call('EXISTS', KEYS[2]) == 0 then
    return false
  end
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
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
  for _, reader in ipairs(redis.call('HKEYS', KEYS[4])) do
    if redis.call('EXISTS', ARGV[3] .. reader) == 1 then
      is_read = true
    else
      redis.call('HDEL', KEYS[4], reader)
    end
  end
  return is_read
end

if has_reader() then
  if not redis.call('SET', KEYS[5], 1, 'NX', 'PX', ARGV[5]) then
    return 0
  end
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'event', message, 'letter', ARGV[1])
  redis.call('EXPIRE', KEYS[3], 86400)
  return 2
elseif has_group() then
  redis.call('XADD', KEYS[2], '*', 'event', message, 'attempt', 1)
else
  return -1
end
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
