-- Reads dead letters, up to about so many bytes.
--
-- KEYS  letters
-- ARGV  first id, last id (empty for the last that there is now), how many at most, bytes after which there is an end
-- Gives [last id, [letter, ...]].

local from, till = ARGV[1], ARGV[2]
if till == '' then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if not last then
    return { '', {} }
  end
  till = last[1]
end

local page, bytes = {}, 0
while #page < tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) do
  local entry = redis.call('XRANGE', KEYS[1], from, till, 'COUNT', 1)[1]
  if not entry then
    break
  end
  for _, part in ipairs(entry[2]) do
    bytes = bytes + #part
  end
  page[#page + 1] = entry
  from = '(' .. entry[1]
end
return { till, page }
