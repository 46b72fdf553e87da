package limit_test

import (
	"net/netip"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

func TestClientKeyCountsACustomerNotAnAddress(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7":                "203.0.113.7",
		"::ffff:203.0.113.7":         "203.0.113.7",
		"::ffff:cb00:7107":           "203.0.113.7",
		"::ffff:203.0.113.7%eth0":    "203.0.113.7",
		"64:ff9b::203.0.113.7":       "203.0.113.7",
		"64:ff9b::cb00:7107%1":       "203.0.113.7",
		"::ffff:0:203.0.113.7":       "203.0.113.7",
		"::203.0.113.7":              "203.0.113.7",
		"64:ff9b:1::cb00:7107":       "64:ff9b:1::",
		"::":                         "::",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1:2::",
		"2001:db8:1:2::":             "2001:db8:1:2::",
		"fe80::1%eth0":               "fe80::",
		"::1":                        "::",
		"fe80::1%a}:c:1\r\nFLUSHALL": "fe80::",
	} {
		t.Run(in, func(t *testing.T) {
			got := limit.ClientKey(netip.MustParseAddr(in))
			if got.String() != want {
				t.Errorf("ClientKey(%s) = %s, expected %s", in, got, want)
			}
			if again := limit.ClientKey(got); again != got {
				t.Errorf("ClientKey(%s) = %s, expected no further change", got, again)
			}
		})
	}
	if got := limit.ClientKey(netip.Addr{}); got.IsValid() {
		t.Errorf("ClientKey of no address = %s", got)
	}
}
