-- Takes in how many requests a gateway has in progress, unless it said so later.
--
-- KEYS  the set
-- ARGV  gateway, lifetime of what it says, sequence, number
local now, seq = clock(), tonumber(ARGV[3])
local _, latest = slots(KEYS[1], ARGV[1], now)
if latest < seq then
  saySlots(KEYS[1], ARGV[1], seq, tonumber(ARGV[4]), now, tonumber(ARGV[2]))
end
return 0
