-- Decides one ask for all limits of a policy, all or nothing; the same
-- algorithm as window.Decide, which is where it is explained.
--
-- KEYS  the counters, one per level the policy names, then the sets of requests in progress
-- ARGV  number of counters, need, unit, want, hold,
--       gateway, lifetime of what it says, sequence, requests it has in progress in either set,
--       then for each limit: index into KEYS, window, quota
-- Reply granted, extra, now, retry, inc of each counter,
--       then for each limit: remaining, reset, violated
local ncounters, need, unit, want, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local gateway, lifetime, seq = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local FIRST_SLOTS, FIRST_LIMIT = 9, 11
local LEND_SHARE = 8
local CONCURRENT, CONCURRENT_RETRY = -3, 1000000

local function closest(counter, id)
  local best
  for _, w in ipairs(counter.windows) do
    if w.id <= 0 then
      -- only rolling windows know when their charges were made
    elseif not best
      or (w.id >= id and (best.id < id or w.id < best.id))
      or (w.id < id and best.id < id and w.id > best.id) then
      best = w
    end
  end
  return best
end

local now = clock()

local counters = {}
for i = 1, ncounters do
  local counter = decode(redis.call('GET', KEYS[i]))
  counters[i] = counter
  now = max(now, counter.seen)
end

local limits = {}
for i = FIRST_LIMIT, #ARGV, 3 do
  local index = tonumber(ARGV[i])
  local l = {counter = counters[index], key = KEYS[index], said = ARGV[FIRST_SLOTS + index - ncounters - 1], id = tonumber(ARGV[i + 1]), n = tonumber(ARGV[i + 2])}
  if l.counter then l.counter.named[l.id] = true end
  limits[#limits + 1] = l
end

for _, counter in ipairs(counters) do
  expire(counter, now)
end

local avail = 9007199254740991
for _, l in ipairs(limits) do
  if l.id == CONCURRENT then
    local others, latest, own = slots(l.key, gateway, now)
    -- The gateway has given this call up, and has said since what it has.
    if latest > seq then return redis.error_reply('LATE acquire of a gateway') end
    -- Of the calls sent together the first one says what the gateway has; each
    -- adds what it is granted.
    l.own = latest == seq and own or tonumber(l.said)
    l.w = {sum = others + l.own, exps = {}}
    avail = min(avail, min(max(l.n - l.w.sum, 0), floor(avail / unit) + 1) * unit)
  else
    local counter = l.counter
    local w = counter.byid[l.id]
    if not w then
      w = {id = l.id, till = 0, sum = 0, exps = {}, counts = {}}
      local from = l.id > 0 and closest(counter, l.id)
      if from then
        for c = 1, #from.exps do
          local exp = from.exps[c] - from.id + l.id
          if exp > now then charge(w, exp, from.counts[c]) end
        end
      end
      counter.windows[#counter.windows + 1] = w
      counter.byid[l.id] = w
    end
    l.w = w
    avail = min(avail, l.n - w.sum)
  end
end
avail = max(avail, 0)

local granted, extra, retry = need, 0, 0
if avail < need then
  granted = floor(avail / unit) * unit
elseif want > need then
  extra = min(want - need, floor((avail - need) / LEND_SHARE))
end

local total = granted + extra
if total > 0 then
  for i, counter in ipairs(counters) do
    if counter.inc == 0 then counter.inc = now end
    for _, w in ipairs(counter.windows) do
      local exp = expiry(w.id, now, hold)
      if counter.named[w.id] then
        w.till = 0
      elseif w.till == 0 then
        w.till = exp
      end
      charge(w, exp, total)
    end
    store(KEYS[i], counter, now)
  end
  for _, l in ipairs(limits) do
    if l.id == CONCURRENT then
      saySlots(l.key, gateway, seq, l.own + granted / unit, now, lifetime)
      l.w.sum = l.w.sum + granted / unit
    end
  end
end

local reply = {granted, extra, now, 0}
for _, counter in ipairs(counters) do
  reply[#reply + 1] = counter.inc
end
for _, l in ipairs(limits) do
  local w, left, reset, violated, one = l.w, l.n - l.w.sum, 0, 0, unit
  if l.id == CONCURRENT then one = 1 end
  if granted < need and left < one then
    violated = 1
    if l.id == CONCURRENT then
      retry = max(retry, CONCURRENT_RETRY)
    elseif l.n < one then
      reset = expiry(l.id, now, 0) - now
    else
      local limit, sum = l.n - one, w.sum
      for c = 1, #w.exps do
        sum = sum - w.counts[c]
        if sum <= limit then
          reset = w.exps[c] - now
          break
        end
      end
    end
    retry = max(retry, reset)
  elseif #w.exps > 0 then
    reset = w.exps[1] - now
  end
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = max(left, 0), reset, violated
end
reply[4] = retry
return reply
