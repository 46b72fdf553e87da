package ratelimit_test

import (
	"net/netip"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

func TestClientKeyCountsACustomerNotAnAddress(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7":                "203.0.113.7",
		"::ffff:203.0.113.7":         "203.0.113.7",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1:2::",
		"2001:db8:1:2::":             "2001:db8:1:2::",
		"fe80::1%eth0":               "fe80::",
		"::1":                        "::",
		"fe80::1%a}:c:1\r\nFLUSHALL": "fe80::",
	} {
		got := ratelimit.ClientKey(netip.MustParseAddr(in))
		if got.String() != want {
			t.Errorf("ClientKey(%s) = %s, expected %s", in, got, want)
		}
		if again := ratelimit.ClientKey(got); again != got {
			t.Errorf("ClientKey(%s) = %s, expected no further change", got, again)
		}
	}
	if got := ratelimit.ClientKey(netip.Addr{}); got.IsValid() {
		t.Errorf("ClientKey of no address = %s", got)
	}
}
