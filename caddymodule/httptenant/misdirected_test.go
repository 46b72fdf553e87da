package httptenant

import (
	"crypto/tls"
	"net/http"
	"testing"
)

func TestTheServerNameAndTheHostMustBeTheSame(t *testing.T) {
	for _, test := range []struct {
		name, host string
		want       bool
	}{
		{"acme.pets.test", "acme.pets.test", false},
		{"acme.pets.test", "acme.pets.test:8443", false},
		{"acme.pets.test", "ACME.Pets.Test.", false},
		{"Acme.Pets.Test", "acme.pets.test:443", false},
		{"", "acme.pets.test", false},
		{"acme.pets.test", "fluffy.pets.test", true},
		{"acme.pets.test", "fluffy.pets.test:443", true},
		{"acme.pets.test", "pets.test", true},
		{"acme.pets.test", "acme.pets.test.example", true},
		{"pets.acme.example", "acme.pets.test", true},
		{"acme.pets.test", "pets.acme.example", true},
		{"acme.pets.test", "a.acme.pets.test", true},
		// U+212A is a "k" to Unicode's folding, which must not be asked.
		{"kelly.pets.test", "\u212aelly.pets.test", false}, // no host: the resolvers refuse it
		{"\u212aelly.pets.test", "kelly.pets.test", true},
		{"acme.pets.test", "127.0.0.1", false}, // the same
		{"acme.pets.test", "", false},
	} {
		r := &http.Request{Host: test.host, TLS: &tls.ConnectionState{ServerName: test.name}}
		if got := misdirected(r); got != test.want {
			t.Errorf("server name %q, host %q: %v; want %v", test.name, test.host, got, test.want)
		}
	}
	if misdirected(&http.Request{Host: "acme.pets.test"}) {
		t.Error("without TLS there is nothing to compare")
	}
}

func TestComparingTheServerNameCostsNoAllocation(t *testing.T) {
	r := &http.Request{Host: "acme.pets.test:443", TLS: &tls.ConnectionState{ServerName: "acme.pets.test"}}
	if n := testing.AllocsPerRun(100, func() { misdirected(r) }); n != 0 {
		t.Errorf("%v allocations; want none", n)
	}
}
