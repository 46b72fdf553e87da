-- What the scripts of the limiter share; Go puts it in front of each of them.
--
-- Times are microseconds. A counter is stored as a flat msgpack array, with
-- times as differences so that they pack small:
--   version, inc, seen-inc, then for each window:
--   id, until (0, or until-seen), number of cells, then of each cell its expiry
--   (difference to the one before, in steps except in the first and last) and count
-- inc, the instant the counter was made, tells it from one made after the
-- store lost it.
local floor, max, min = math.floor, math.max, math.min
local VERSION = 1
local MINUTE, HOUR, DAY = 60000000, 3600000000, 86400000000

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function civil(days)
  days = days + 719468
  local era = floor(days / 146097)
  local ofera = days - era * 146097
  local year = floor((ofera - floor(ofera / 1460) + floor(ofera / 36524) - floor(ofera / 146096)) / 365)
  local ofyear = ofera - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * ofyear + 2) / 153)
  local day = ofyear - floor((153 * month + 2) / 5) + 1
  month, year = month + 3, year + era * 400
  if month > 12 then month, year = month - 12, year + 1 end
  return year, month, day
end

local function daysof(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  local era = floor(year / 400)
  local ofera = year - era * 400
  local ofyear = floor((153 * (month - 3) + 2) / 5) + day - 1
  return era * 146097 + ofera * 365 + floor(ofera / 4) - floor(ofera / 100) + ofyear - 719468
end

local function monthlength(year, month)
  if month == 12 then return 31 end
  return daysof(year, month + 1, 1) - daysof(year, month, 1)
end

local function expiry(id, now, held)
  if id > 0 then return now + held + id end
  if id == -1 then return floor(now / HOUR) * HOUR + HOUR end
  if id == -2 then return floor(now / DAY) * DAY + DAY end
  local anchor = -100 - id
  local year, month, day = civil(floor(now / DAY))
  if day >= min(anchor, monthlength(year, month)) then
    month = month + 1
    if month > 12 then year, month = year + 1, 1 end
  end
  return daysof(year, month, min(anchor, monthlength(year, month))) * DAY
end

local function grain(id)
  return floor(id / (id >= MINUTE and 12 or 16))
end

local function step(id)
  return max(1, floor(grain(id) / 100))
end

local function decode(raw)
  local counter = {inc = 0, seen = 0, windows = {}, byid = {}, named = {}}
  if not raw then return counter end
  local ok, t = pcall(cmsgpack.unpack, raw)
  -- What cannot be read was not written by this script: start anew rather
  -- than fail the key for ever.
  if not ok or type(t) ~= 'table' or t[1] ~= VERSION then return counter end
  counter.inc, counter.seen = t[2], t[2] + t[3]
  local i = 4
  while t[i] do
    local w = {id = t[i], till = t[i + 1], sum = 0, exps = {}, counts = {}}
    if w.till ~= 0 then w.till = w.till + counter.seen end
    local exp = counter.seen
    local n, unit = t[i + 2], step(w.id)
    i = i + 3
    for c = 1, n do
      exp = exp + t[i] * ((c == 1 or c == n) and 1 or unit)
      w.exps[c], w.counts[c] = exp, t[i + 1]
      w.sum = w.sum + t[i + 1]
      i = i + 2
    end
    counter.windows[#counter.windows + 1] = w
    counter.byid[w.id] = w
  end
  return counter
end

local function charge(w, exp, n)
  local last = #w.exps
  w.sum = w.sum + n
  if last > 0 then
    exp = max(exp, w.exps[last])
    local g = grain(w.id)
    if exp == w.exps[last] or w.id > 0 and floor(exp / g) == floor(w.exps[last] / g) then
      w.exps[last], w.counts[last] = exp, w.counts[last] + n
      return
    end
    local unit = step(w.id)
    w.exps[last] = floor((w.exps[last] + unit - 1) / unit) * unit
    exp = max(exp, w.exps[last])
  end
  w.exps[last + 1], w.counts[last + 1] = exp, n
end

-- store writes counter, whose expired cells are gone, with now as its latest instant.
local function store(key, counter, now)
  local t = {VERSION, counter.inc, now - counter.inc}
  local at, latest = 4, now
  for _, w in ipairs(counter.windows) do
    local cells = #w.exps
    t[at], t[at + 1], t[at + 2] = w.id, w.till == 0 and 0 or w.till - now, cells
    at = at + 3
    local previous, unit = now, step(w.id)
    for c = 1, cells do
      t[at], t[at + 1] = (w.exps[c] - previous) / ((c == 1 or c == cells) and 1 or unit), w.counts[c]
      previous = w.exps[c]
      at = at + 2
    end
    latest = max(latest, previous)
  end
  if at > 4 then
    redis.call('SET', key, cmsgpack.pack(t), 'PX', floor((latest - now) / 1000) + 1)
  end
end

-- expire drops what no longer counts.
local function expire(counter, now)
  local kept = {}
  for _, w in ipairs(counter.windows) do
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
    if w.till ~= 0 and w.till <= now then
      counter.byid[w.id] = nil
    else
      kept[#kept + 1] = w
    end
  end
  counter.windows = kept
end


-- A set of requests in progress is a hash: of each gateway the latest number that
-- it said it has, with the sequence of that statement and the instant until which
-- it is believed.

-- slots returns how many the other gateways have in progress, and the sequence and
-- number of the gateway's own latest statement.
local function slots(key, gateway, now)
  local others, seq, own = 0, 0, 0
  local said = redis.call('HGETALL', key)
  for i = 1, #said, 2 do
    local s, n, exp = string.match(said[i + 1], '(%d+) (%d+) (%d+)')
    if said[i] == gateway then
      seq, own = tonumber(s), tonumber(n)
    elseif tonumber(exp) > now then
      others = others + tonumber(n)
    else
      redis.call('HDEL', key, said[i])
    end
  end
  return others, seq, own
end

local function saySlots(key, gateway, seq, n, now, lifetime)
  redis.call('HSET', key, gateway, string.format('%.0f %.0f %.0f', seq, n, now + lifetime))
  redis.call('PEXPIRE', key, floor(lifetime / 1000) + 1)
end
