package resolve_test

import (
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
)

func BenchmarkChain(b *testing.B) {
	all := resolve.Chain{byHost, byPath, byHeader}
	for name, bench := range map[string]struct {
		chain                resolve.Chain
		target, host, header string
	}{
		"host":              {all[:1], "/api/pets", "acme-pets.petstore.localhost:8443", ""},
		"domain":            {all[:1], "/api/pets", "pets.acme.example", ""},
		"host, upper case":  {all[:1], "/api/pets", "ACME-pets.petstore.localhost", ""},
		"host, unknown":     {all[:1], "/api/pets", "nobody.petstore.localhost", ""},
		"path":              {all[1:2], "/acme-pets/api/pets", "petstore.localhost", ""},
		"path, escapes":     {all[1:2], "/acme-pets/api/a%2Fb/caf%C3%A9", "petstore.localhost", ""},
		"header":            {all[2:], "/api/pets", "petstore.localhost", "acme-pets"},
		"all three":         {all, "/acme-pets/api/pets", "acme-pets.petstore.localhost", "acme-pets"},
		"all three, refuse": {all, "/fluffy-friends/api/pets", "acme-pets.petstore.localhost", "acme-pets"},
	} {
		b.Run(name, func(b *testing.B) {
			r := request(b, bench.target, bench.host, "Accept: */*", "User-Agent: bench", "Accept-Encoding: gzip")
			if bench.header != "" {
				r.Header.Set("X-Tenant-ID", bench.header)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bench.chain.Resolve(r, tenants)
			}
		})
	}
}
