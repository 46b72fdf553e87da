-- Gives back permits that were granted at an instant and never spent; the same
-- as window.GiveBack. It must not run twice for one grant.
--
-- KEYS  the counters charged
-- ARGV  number of counters, permits, instant of the grant, hold, inc of each counter,
--       then for each limit: index into KEYS, window, quota
local ncounters, n, at, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()
local given = 0
for i = 1, ncounters do
  local counter = decode(redis.call('GET', KEYS[i]))
  -- Another inc: the store lost the charge, so there is nothing to give back.
  if counter.inc == tonumber(ARGV[4 + i]) then
    now = max(now, counter.seen)
    for l = 5 + ncounters, #ARGV, 3 do
      if tonumber(ARGV[l]) == i then counter.named[tonumber(ARGV[l + 1])] = true end
    end
    expire(counter, now)
    local changed = false
    for _, w in ipairs(counter.windows) do
      if counter.named[w.id] then
        local exp = expiry(w.id, at, hold)
        -- A charge that has lapsed is in none of the cells.
        for c = 1, exp > now and #w.exps or 0 do
          if w.exps[c] >= exp then
            if w.counts[c] >= n and (w.id > 0 or w.exps[c] == exp) then
              w.counts[c] = w.counts[c] - n
              changed, given = true, given + 1
            end
            break
          end
        end
      end
    end
    if changed then store(KEYS[i], counter, now) end
  end
end
return given
