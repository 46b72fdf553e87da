package ratelimit_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit/limitertest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit/redistest"
)

// agingClock moves the time of a store whose own clock cannot be moved: it
// makes everything stored older.
type agingClock struct {
	t         testing.TB
	server    *redistest.Server
	namespace string
	gateway   *ratelimit.GatewayClock
}

func (c *agingClock) Advance(d time.Duration) {
	c.t.Helper()
	c.gateway.Advance(d)
	c.server.Do("EVAL", ageSource, 0, c.namespace+":*", d.Microseconds())
}

// ageSource shifts the one absolute time an account holds, and its expiry.
const ageSource = `
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
 if redis.call('TYPE', key).ok == 'zset' then
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    redis.call('ZINCRBY', key, -tonumber(ARGV[2]), member)
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
	limitertest.Run(t, func(t *testing.T) (ratelimit.Limiter, limitertest.Clock) {
		ns := fmt.Sprintf("test%d", namespaces.Add(1))
		r, err := ratelimit.NewRedis(ratelimit.RedisOptions{
			URL: server.URL(), Namespace: ns,
			// A busy test machine must not look like a store that is down.
			Budget: 5 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r, &agingClock{t, server, ns, ratelimit.ClockOf(r)}
	})
}
