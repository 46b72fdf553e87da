package limit_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/limitertest"
)

func BenchmarkWriteHeaders(b *testing.B) {
	for _, limits := range []string{"100/1h", "100000/1h 2000/1s tenant:5000000/month"} {
		b.Run(limits, func(b *testing.B) {
			p := limitertest.Policy(b, limits)
			d := decision(true)
			d.Len = len(p.Limits)
			for i, l := range p.Limits {
				d.States[i] = limit.State{Remaining: l.N - 1, Reset: time.Hour}
			}
			h := make(http.Header, 8)
			b.ReportAllocs()
			for b.Loop() {
				limit.WriteHeaders(h, p, d)
			}
		})
	}
}
