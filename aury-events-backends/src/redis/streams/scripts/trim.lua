-- Removes what everybody has handled from the beginning of a stream.
--
-- KEYS  stream, positions of readers without a group
-- ARGV  what signs of life begin with, how many entries of a stream are kept that nobody reads
-- Gives whether somebody reads it: 0 if nobody does, and there are entries.

local stream = KEYS[1]
if redis.call('EXISTS', stream) == 0 then
  return 1
end

local keep, keep_millis, keep_number
local function keep_from(id)
  local millis, number = string.match(id, '^(%d+)-(%d+)$')
  if not millis then
    return false
  end
  millis, number = tonumber(millis), tonumber(number)
  if not keep or millis < keep_millis or (millis == keep_millis and number < keep_number) then
    keep, keep_millis, keep_number = id, millis, number
  end
  return true
end

for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local group = {}
  for i = 1, #fields, 2 do
    group[fields[i]] = fields[i + 1]
  end
  if group.pending > 0 then
    keep_from(redis.call('XPENDING', stream, group.name)[2])
  else
    keep_from(group['last-delivered-id'])
  end
end

local readers = redis.call('HGETALL', KEYS[2])
for i = 1, #readers, 2 do
  local is_alive = redis.call('EXISTS', ARGV[1] .. readers[i]) == 1
  -- Somebody else may have written something else there.
  if not is_alive or not keep_from(readers[i + 1]) then
    redis.call('HDEL', KEYS[2], readers[i])
  end
end

if keep then
  redis.call('XTRIM', stream, 'MINID', '~', keep, 'LIMIT', 0)
  return 1
end
redis.call('XTRIM', stream, 'MAXLEN', '~', ARGV[2], 'LIMIT', 0)
return redis.call('XLEN', stream) == 0 and 1 or 0
