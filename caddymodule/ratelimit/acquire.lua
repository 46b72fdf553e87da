-- Decides one ask for all limits of a policy, all or nothing; the same
-- algorithm as decide in decide.go, which is where it is explained.
--
-- KEYS  the accounts, one per level the policy names, then the sets of requests in progress
-- ARGV  number of accounts, need, unit, want, hold, slot name, slot lifetime,
--       then for each limit: index into KEYS, window, quota
-- Reply granted, extra, now, retry, inc of each account,
--       then for each limit: remaining, reset, violated
--
-- Requests in progress are members of a sorted set, scored with the instant at
-- which they are given up unless the gateway renews them: what a crashed
-- gateway held comes back by itself.
local nacc, need, unit, want, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local slot, lifetime = ARGV[6], tonumber(ARGV[7])
local LEND_SHARE = 8
local CONCURRENT, CONCURRENT_RETRY = -3, 1000000

local function closest(acc, id)
  local best
  for _, w in ipairs(acc.windows) do
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

local accounts = {}
for i = 1, nacc do
  local acc = decode(redis.call('GET', KEYS[i]))
  accounts[i] = acc
  now = max(now, acc.seen)
end

local limits = {}
for i = 8, #ARGV, 3 do
  local index = tonumber(ARGV[i])
  local l = {acc = accounts[index], slots = KEYS[index], id = tonumber(ARGV[i + 1]), n = tonumber(ARGV[i + 2])}
  if l.acc then l.acc.named[l.id] = true end
  limits[#limits + 1] = l
end

for _, acc in ipairs(accounts) do
  expire(acc, now)
end

local avail = 9007199254740991
for _, l in ipairs(limits) do
  if l.id == CONCURRENT then
    l.w = {sum = redis.call('ZCOUNT', l.slots, '(' .. string.format('%.0f', now), '+inf'), exps = {}}
    avail = min(avail, min(max(l.n - l.w.sum, 0), floor(avail / unit) + 1) * unit)
  else
    local acc = l.acc
    local w = acc.byid[l.id]
    if not w then
      w = {id = l.id, till = 0, sum = 0, exps = {}, counts = {}}
      local from = l.id > 0 and closest(acc, l.id)
      if from then
        for c = 1, #from.exps do
          local exp = from.exps[c] - from.id + l.id
          if exp > now then charge(w, exp, from.counts[c]) end
        end
      end
      acc.windows[#acc.windows + 1] = w
      acc.byid[l.id] = w
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
  for i, acc in ipairs(accounts) do
    if acc.inc == 0 then acc.inc = now end
    for _, w in ipairs(acc.windows) do
      local exp = expiry(w.id, now, hold)
      if acc.named[w.id] then
        w.till = 0
      elseif w.till == 0 then
        w.till = exp
      end
      charge(w, exp, total)
    end
    store(KEYS[i], acc, now)
  end
  for _, l in ipairs(limits) do
    if l.id == CONCURRENT then
      redis.call('ZREMRANGEBYSCORE', l.slots, '-inf', string.format('%.0f', now))
      local exp = string.format('%.0f', now + lifetime)
      for k = 1, granted / unit do
        redis.call('ZADD', l.slots, exp, slot .. k)
      end
      redis.call('PEXPIRE', l.slots, floor(lifetime / 1000) + 1)
      l.w.sum = l.w.sum + granted / unit
    end
  end
end

local reply = {granted, extra, now, 0}
for _, acc in ipairs(accounts) do
  reply[#reply + 1] = acc.inc
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
