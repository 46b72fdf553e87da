package tenant

import (
	"errors"
	"testing"
)

func TestUpstreamsAreHostAndPortAndNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		"10.20.0.7:8080":         "10.20.0.7:8080",
		"[2001:DB8::7]:80":       "[2001:db8::7]:80",
		"[::ffff:10.0.0.1]:80":   "10.0.0.1:80",
		"Acme.Backend.Example:9": "acme.backend.example:9",
		"acme.example.:65535":    "acme.example:65535",
		"localhost:1":            "localhost:1",
	} {
		if got, err := ParseUpstream(in); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ":80", "acme.example", "acme.example:", "acme.example:0", "acme.example:65536", "acme.example:080", "acme.example:+80",
		"acme.example:http", "acme.example:80-90", "http://acme.example:80", "acme.example:80/x", "{env.SECRET}.example:80",
		"acme.example:{env.PORT}", "unix//run/x.sock", "unix/x:80", "tcp/acme.example:80", "a b.example:80", "*.example:80",
		"[fe80::1%eth0]:80", "::1:80", "[acme.example]:80", "2130706433:80", "0x7f.1:80", "127.1:80", "acme_1.example:80", "acme.example:80\n",
		"\u0430cme.example:80",
	} {
		if got, err := ParseUpstream(in); err == nil || !errors.Is(err, ErrMalformed) {
			t.Errorf("%q is read as %q, %v", in, got, err)
		}
	}
}

func FuzzUpstreamsAreStable(f *testing.F) {
	f.Add("10.20.0.7:8080")
	f.Add("Acme.Example.:1")
	f.Fuzz(func(t *testing.T, s string) {
		once, err := ParseUpstream(s)
		if err != nil {
			return
		}
		if twice, err := ParseUpstream(once); err != nil || twice != once {
			t.Errorf("%q becomes %q and then %q, %v", s, once, twice, err)
		}
	})
}
