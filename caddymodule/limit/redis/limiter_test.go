package redis_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redis"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
)

// agingClock moves the time of a store whose own clock cannot be moved: it
// makes everything stored older.
type agingClock struct {
	t         testing.TB
	server    *redistest.Server
	namespace string
	gateway   *redis.GatewayClock
}

func (c *agingClock) Advance(d time.Duration) {
	c.t.Helper()
	c.gateway.Advance(d)
	c.server.Do("EVAL", ageSource, 0, c.namespace+":*", d.Microseconds())
}

// ageSource shifts the absolute times that are stored, and the expiry of counters.
const ageSource = `
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
 if redis.call('TYPE', key).ok == 'hash' then
  local said = redis.call('HGETALL', key)
  for i = 1, #said, 2 do
    local seq, n, exp = string.match(said[i + 1], '(%d+) (%d+) (%d+)')
    redis.call('HSET', key, said[i], string.format('%s %s %.0f', seq, n, tonumber(exp) - tonumber(ARGV[2])))
  end
 else
  local t = cmsgpack.unpack(redis.call('GET', key))
  t[2] = t[2] - tonumber(ARGV[2])
  local left = redis.call('PTTL', key) - math.floor(tonumber(ARGV[2]) / 1000)
  if left > 0 then
    redis.call('SET', key, cmsgpack.pack(t), 'PX', left)
  else
    redis.call('DEL', key)
  end
 end
end
return 0`

var namespaces atomic.Int64

func TestRedisConforms(t *testing.T) {
	server := redistest.Start(t)
	var ns string
	open := func(t *testing.T) *redis.Limiter {
		// A busy test machine must not look like a store that is down.
		return newRedis(t, redis.Options{URL: server.URL(), Namespace: ns, Budget: patient})
	}
	limitertest.Suite{
		New: func(t *testing.T) (limit.Limiter, limitertest.Clock) {
			ns = fmt.Sprintf("test%d", namespaces.Add(1))
			r := open(t)
			return r, &agingClock{t, server, ns, redis.ClockOf(r)}
		},
		Exact: true,
		Peer:  func(t *testing.T) limit.Limiter { return open(t) },
	}.Run(t)
}
