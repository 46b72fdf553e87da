package redis

import (
	"context"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// A store that was paused executes what had been sent to it in any order, also what
// the gateway has given up long ago.
func TestWhatArrivesLateRevivesNoSlot(t *testing.T) {
	ctx := context.Background()
	client := redistest.Start(t).Client()
	defer client.Close()
	p, key := simPolicy(t, "5/concurrent"), simKey(1)
	keys := acquireKeys("late", key, p)
	one := window.Ask{Need: 1, Unit: 1, Want: 1}
	run := func(s *script, keys []string, args []any) (any, error) {
		return goredis.NewScript(s.source).Run(ctx, client, keys, args...).Result()
	}
	acquire := func(gateway string, seq, said int64) (left int64, err error) {
		b := &slotBook{gateway: gateway, lifetime: slotLifetime}
		raw, err := run(acquireScript, keys, acquireArgs(p, one, b, slotClaim{seq: seq, said: [2]int64{said}}))
		if err != nil {
			return 0, err
		}
		var v window.Verdict
		_, err = parseAcquire(p, raw, &v)
		return v.Limits[0].Remaining, err
	}
	report := func(seq, n int64) {
		if _, err := run(slotsScript, keys[1:], []any{"a", slotLifetime.Microseconds(), seq, n}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, other, want int64) {
		t.Helper()
		if left, err := acquire("b", other, 0); err != nil || left != want {
			t.Errorf("%s: %d left, %v; expected %d", what, left, err, want)
		}
	}
	for range 2 { // of one batch: what they are granted adds up
		if _, err := acquire("a", 2, 1); err != nil {
			t.Fatal(err)
		}
	}
	expect("three and one in progress", 1, 1)
	report(2, 0)
	expect("a report of the same batch changes nothing", 2, 1)
	report(3, 0)
	expect("they have ended", 3, 4)
	report(2, 3)
	expect("a late report", 4, 4)
	if _, err := acquire("a", 2, 0); err == nil || !strings.Contains(err.Error(), "LATE") {
		t.Errorf("a late acquire: %v, expected an error", err)
	}
	expect("a late acquire", 5, 4)
}
