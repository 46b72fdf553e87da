-- Decides one ask for all limits of a policy, all or nothing; the same
-- algorithm as decide in decide.go, which is where it is explained.
--
-- KEYS  the accounts, one per level the policy names
-- ARGV  need, unit, want, hold, then for each limit: index into KEYS, window, quota
-- Reply granted, extra, now, retry, inc of each key, then for each limit: remaining, reset, violated
--
-- Times are microseconds. An account is stored as a flat msgpack array, with
-- times as differences so that they pack small:
--   version, inc, seen-inc, then for each window:
--   id, until (0, or until-seen), number of cells, then expiry (difference) and count of each cell
local need, unit, want, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local floor, max, min = math.floor, math.max, math.min
local VERSION, LEND_SHARE, MINUTE = 1, 8, 60000000

local function decode(raw)
  local acc = {inc = 0, seen = 0, windows = {}, byid = {}, named = {}}
  if not raw then return acc end
  local ok, t = pcall(cmsgpack.unpack, raw)
  -- What cannot be read was not written by this script: start anew rather
  -- than fail the key for ever.
  if not ok or type(t) ~= 'table' or t[1] ~= VERSION then return acc end
  acc.inc, acc.seen = t[2], t[2] + t[3]
  local i = 4
  while t[i] do
    local w = {id = t[i], till = t[i + 1], sum = 0, exps = {}, counts = {}}
    if w.till ~= 0 then w.till = w.till + acc.seen end
    local exp = acc.seen
    local n = t[i + 2]
    i = i + 3
    for c = 1, n do
      exp = exp + t[i]
      w.exps[c], w.counts[c] = exp, t[i + 1]
      w.sum = w.sum + t[i + 1]
      i = i + 2
    end
    acc.windows[#acc.windows + 1] = w
    acc.byid[w.id] = w
  end
  return acc
end

local function charge(w, exp, n)
  local grain = floor(w.id / (w.id >= MINUTE and 12 or 16))
  local last = #w.exps
  w.sum = w.sum + n
  if last > 0 then
    exp = max(exp, w.exps[last])
    if floor(exp / grain) == floor(w.exps[last] / grain) then
      w.exps[last], w.counts[last] = exp, w.counts[last] + n
      return
    end
  end
  w.exps[last + 1], w.counts[last + 1] = exp, n
end

local function closest(acc, id)
  local best
  for _, w in ipairs(acc.windows) do
    if not best
      or (w.id >= id and (best.id < id or w.id < best.id))
      or (w.id < id and best.id < id and w.id > best.id) then
      best = w
    end
  end
  return best
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local accounts = {}
for i, key in ipairs(KEYS) do
  local acc = decode(redis.call('GET', key))
  accounts[i] = acc
  now = max(now, acc.seen)
end

local limits = {}
for i = 5, #ARGV, 3 do
  local l = {acc = accounts[tonumber(ARGV[i])], id = tonumber(ARGV[i + 1]), n = tonumber(ARGV[i + 2])}
  l.acc.named[l.id] = true
  limits[#limits + 1] = l
end

for _, acc in ipairs(accounts) do
  local kept = {}
  for _, w in ipairs(acc.windows) do
    local gone, cells = 0, #w.exps
    while gone < cells and w.exps[gone + 1] <= now do
      gone = gone + 1
      w.sum = w.sum - w.counts[gone]
    end
    if gone > 0 then
      for c = 1, cells do
        w.exps[c], w.counts[c] = w.exps[c + gone], w.counts[c + gone]
      end
    end
    if w.till ~= 0 and w.till <= now and not acc.named[w.id] then
      acc.byid[w.id] = nil
    else
      kept[#kept + 1] = w
    end
  end
  acc.windows = kept
end

local avail = 9007199254740991
for _, l in ipairs(limits) do
  local acc = l.acc
  local w = acc.byid[l.id]
  if not w then
    w = {id = l.id, till = 0, sum = 0, exps = {}, counts = {}}
    local from = closest(acc, l.id)
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
    local t = {VERSION, acc.inc, now - acc.inc}
    local at, latest = 4, now
    for _, w in ipairs(acc.windows) do
      local till = w.till
      if acc.named[w.id] then
        till = 0
      elseif till == 0 then
        till = now + w.id
      end
      charge(w, now + hold + w.id, total)
      local cells = #w.exps
      t[at], t[at + 1], t[at + 2] = w.id, till == 0 and 0 or till - now, cells
      at = at + 3
      local previous = now
      for c = 1, cells do
        t[at], t[at + 1] = w.exps[c] - previous, w.counts[c]
        previous = w.exps[c]
        at = at + 2
      end
      latest = max(latest, previous)
    end
    redis.call('SET', KEYS[i], cmsgpack.pack(t), 'PX', floor((latest - now) / 1000) + 1)
  end
end

local reply = {granted, extra, now, 0}
for _, acc in ipairs(accounts) do
  reply[#reply + 1] = acc.inc
end
for _, l in ipairs(limits) do
  local w, left, reset, violated = l.w, l.n - l.w.sum, 0, 0
  if granted < need and left < unit then
    violated = 1
    local limit, sum = l.n - unit, w.sum
    if limit < 0 then
      reset = w.id
    else
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
