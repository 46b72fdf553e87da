package redis

import (
	"context"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// A used hour must stay cheap in the store: the encoding is made for that.
func TestAUsedHourTakesAtMost250BytesInTheStore(t *testing.T) {
	t.Parallel()
	const keys = 4096 // fills the server's hash tables, which grow by doubling
	server := redistest.Start(t)
	script := clocked(t, commonSource+acquireSource)
	p := simPolicy(t, "1000/1h")
	ctx := context.Background()
	used := func() int64 {
		return server.Do("EVAL", "return tonumber(redis.call('INFO', 'memory'):match('used_memory:(%d+)'))", 0).(int64)
	}
	spend := func(from, to int64) {
		client := server.Client()
		defer client.Close() // its buffers are memory, too
		if err := script.Load(ctx, client).Err(); err != nil {
			t.Fatal(err)
		}
		for cell := from; cell < to; cell++ {
			now := simStart + cell*5*60*window.Second + 123_456
			client.HSet(ctx, "clock", "s", now/window.Second, "us", now%window.Second)
			for first := 0; first < keys; first += 256 {
				pipe := client.Pipeline()
				for k := range 256 {
					a := window.Ask{Need: 20, Unit: 1, Want: 20}
					script.EvalSha(ctx, pipe, acquireKeys("rl", simKeys(first+k), p), acquireArgs(p, a, new(slotBook), slotClaim{})...)
				}
				if _, err := pipe.Exec(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// What the server needs once, for scripts and connections, does not count.
	spend(0, 2)
	server.Do("FLUSHALL")
	before := used()
	spend(0, 1)
	once := float64(used()-before) / keys
	spend(1, 12)
	full := float64(used()-before) / keys
	t.Logf("%.0f bytes for a key used once, %.0f for an hour used throughout", once, full)
	if full > 250 {
		t.Errorf("an hour used throughout takes %.0f bytes, expected at most 250", full)
	}
}
