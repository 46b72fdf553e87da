package memory_test

import (
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limiters/memory"
)

func TestTheCaddyfileHasNoArguments(t *testing.T) {
	for in, ok := range map[string]bool{"memory": true, "memory big": false, "memory {\nsize 5\n}": false} {
		t.Run(in, func(t *testing.T) {
			if err := new(memory.Limiter).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); (err == nil) != ok {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestEachLimiterIsItsOwn(t *testing.T) {
	var m memory.Limiter
	one, err := m.OpenLimiter()
	if err != nil {
		t.Fatal(err)
	}
	if two, err := m.OpenLimiter(); err != nil || one == two {
		t.Errorf("two openings returned one limiter: %v", err)
	}
}
