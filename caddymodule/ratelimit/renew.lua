-- Keeps requests in progress from being given up.
--
-- KEYS  the sets they are in
-- ARGV  lifetime, then the members
local now = clock()
local exp = string.format('%.0f', now + tonumber(ARGV[1]))
for _, key in ipairs(KEYS) do
  for i = 2, #ARGV do
    redis.call('ZADD', key, exp, ARGV[i])
  end
  redis.call('PEXPIRE', key, floor(tonumber(ARGV[1]) / 1000) + 1)
end
return #KEYS
