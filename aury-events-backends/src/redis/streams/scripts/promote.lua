-- Moves delayed events whose time has come to their streams: those of a later attempt to the one that their group reads
-- retries from, those that were published with a delay to the event's.
--
-- One that the server refuses is tried again later. One that is no event is set aside. Neither keeps others waiting.
--
-- KEYS  delayed events, what was set aside
-- ARGV  how many at most, what all keys of the bus begin with, milliseconds until one that was refused is tried again
-- Gives [milliseconds until the next is due or -1 if there is none, [[stream or what it begins with, why], ...]].

local delayed, aside, prefix = KEYS[1], KEYS[2], ARGV[2]
local MAX_ASIDE, MAX_BYTES = 1000, 65536
local troubles = {}

-- A script that has begun with a write that needs no room is not refused others by a full server, and what is moved
-- needs no more of it than before.
redis.call('PERSIST', delayed)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function parts_of(event)
  local is_packed, parts = pcall(cmsgpack.unpack, event)
  if not is_packed or type(parts) ~= 'table' then
    return nil
  end
  for i = 1, 3 do
    if type(parts[i]) ~= 'string' then
      return nil
    end
  end
  if string.sub(parts[1], 1, #prefix) ~= prefix then
    return nil
  end
  return parts
end

for _, event in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local parts = parts_of(event)
  if not parts then
    redis.call('ZADD', aside, now, string.sub(event, 1, MAX_BYTES))
    redis.call('ZREMRANGEBYRANK', aside, 0, -MAX_ASIDE - 1)
    redis.call('ZREM', delayed, event)
    table.insert(troubles, { string.sub(event, 1, 40), '' })
  else
    local entry = { 'event', parts[3] }
    if parts[2] ~= '' then
      entry = { 'event', parts[3], 'attempt', parts[2] }
    end
    local added = redis.pcall('XADD', parts[1], '*', unpack(entry))
    if type(added) == 'table' and added.err then
      redis.call('ZADD', delayed, now + ARGV[3], event)
      table.insert(troubles, { parts[1], added.err })
    else
      redis.call('ZREM', delayed, event)
    end
  end
end

local next = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
local wait = -1
if next[2] then
  wait = math.max(tonumber(next[2]) - now, 0)
end
return { wait, troubles }
