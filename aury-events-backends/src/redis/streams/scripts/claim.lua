-- Takes over what is nobody's and what consumers that are no longer alive have not acknowledged, and removes those of
-- them that have nothing left. Being one step of the server, it cannot remove a consumer that is given an entry
-- meanwhile.
--
-- KEYS  stream, own sign of life
-- ARGV  group, own name, what signs of life begin with, idle time in milliseconds, how many entries at most, the name
--       that nobody has, 1 if the dead can be told from the living
-- Gives [[how often it has been delivered, as text, 1 if its process has died, entry], ...]. Being taken over counts as
-- nothing.

local stream, group, me = KEYS[1], ARGV[1], ARGV[2]
local min_idle, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local nobody, knows_dead = ARGV[6], ARGV[7] == '1'
local taken = {}

-- Whoever has been forgotten himself, because the server or he was stopped for a while, cannot tell who is alive.
if redis.call('EXISTS', KEYS[2]) == 0 or redis.call('EXISTS', stream) == 0 then
  return taken
end

for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local consumer = {}
  for i = 1, #fields, 2 do
    consumer[fields[i]] = fields[i + 1]
  end
  local name = consumer.name
  local is_nobody = name == nobody
  local is_dead = knows_dead and name ~= me and redis.call('EXISTS', ARGV[3] .. name) == 0
  if is_nobody or is_dead then
    if consumer.pending == 0 then
      if consumer.idle >= min_idle then
        redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
      end
    elseif room > 0 then
      local idle = is_nobody and 0 or min_idle
      local pending = redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', room, name)
      for _, entry in ipairs(pending) do
        local count = string.format('%.0f', math.max(entry[4], 1))
        local claimed = redis.call('XCLAIM', stream, group, me, idle, entry[1], 'RETRYCOUNT', count)
        if claimed[1] then
          table.insert(taken, { count, is_nobody and 0 or 1, claimed[1] })
          room = room - 1
        elseif #redis.call('XRANGE', stream, entry[1], entry[1]) == 0 then
          -- It was deleted. Before version 7, it stays pending until somebody acknowledges it.
          redis.call('XACK', stream, group, entry[1])
        end
      end
    end
  end
end
return taken
