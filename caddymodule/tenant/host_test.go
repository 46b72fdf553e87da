package tenant_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestNormalizeHostFoldsCasePortAndTrailingDot(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 49)+".", 5) + "abc" // 253 bytes
	for in, want := range map[string]string{
		"acme.example":                "acme.example",
		"ACME-Pets.Example":           "acme-pets.example",
		"acme.example:443":            "acme.example",
		"acme.example.":               "acme.example",
		"Acme.Example.:8443":          "acme.example",
		"localhost":                   "localhost",
		"1.2.3.4.example":             "1.2.3.4.example",
		"0x1.example":                 "0x1.example",
		"xn--bcher-kva.example":       "xn--bcher-kva.example",
		"a.0xyz":                      "a.0xyz",
		strings.ToUpper(long) + ".":   long,
		strings.Repeat("a", 63):       strings.Repeat("a", 63),
		"a-b." + "c--d.example:00001": "a-b.c--d.example",
	} {
		if got, err := tenant.NormalizeHost(in); err != nil || got != want {
			t.Errorf("NormalizeHost(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestNormalizeHostRefusesWhatIsNoName(t *testing.T) {
	for name, in := range map[string]string{
		"empty":               "",
		"dot":                 ".",
		"dots":                "...",
		"two trailing dots":   "acme.example..",
		"leading dot":         ".acme.example",
		"empty label":         "acme..example",
		"wildcard":            "*.example",
		"underscore":          "a_b.example",
		"space":               "a b.example",
		"userinfo":            "user@acme.example",
		"path":                "acme.example/x",
		"scheme":              "http://acme.example",
		"percent":             "acme%2eexample",
		"NUL":                 "acme\x00.example",
		"newline":             "acme.example\n",
		"empty port":          "acme.example:",
		"word for a port":     "acme.example:http",
		"long port":           "acme.example:000443",
		"two ports":           "acme.example:1:2",
		"negative port":       "acme.example:-1",
		"IPv4":                "127.0.0.1",
		"IPv4, port":          "127.0.0.1:80",
		"IPv4, trailing dot":  "127.0.0.1.",
		"IPv4, one number":    "2130706433",
		"IPv4, hexadecimal":   "0x7f000001",
		"IPv4, mixed":         "127.0.0.0X1",
		"IPv4, bare prefix":   "127.0.0x",
		"numeric top level":   "acme.123",
		"IPv6":                "::1",
		"IPv6, brackets":      "[::1]:80",
		"Kelvin sign":         "\u212Aelly.example",
		"Cyrillic a":          "\u0430cme.example",
		"full-width dot":      "acme\uff0eexample",
		"ideographic dot":     "acme\u3002example",
		"soft hyphen":         "ac\u00adme.example",
		"invalid UTF-8":       "acme\xff.example",
		"hyphen at label end": "acme-.example",
		"64-byte label":       strings.Repeat("a", 64) + ".example",
		"254 bytes":           strings.Repeat(strings.Repeat("a", 49)+".", 5) + "abcd",
	} {
		got, err := tenant.NormalizeHost(in)
		if !errors.Is(err, tenant.ErrMalformed) || got != "" {
			t.Errorf("%s: NormalizeHost(%q) = %q, %v, want ErrMalformed", name, in, got, err)
		}
	}
}

func TestNormalizeHostOfANormalHostDoesNotAllocate(t *testing.T) {
	for _, host := range []string{"acme-pets.petstore.localhost", "acme-pets.petstore.localhost:8443"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = tenant.NormalizeHost(host) }); n != 0 {
			t.Errorf("%q: %v allocations", host, n)
		}
	}
}

func ExampleNormalizeHost() {
	host, err := tenant.NormalizeHost("ACME-Pets.Petstore.Example.:8443")
	fmt.Println(host, err)
	_, err = tenant.NormalizeHost("127.0.0.1:8443")
	fmt.Println(err)
	// Output:
	// acme-pets.petstore.example <nil>
	// reading host "127.0.0.1:8443": malformed: expected a name, not an address
}

func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{
		"acme.example", "ACME.example.:443", "", ".", "a..b", "[::1]:80", "127.0.0.0x1",
		"*.example", "\u212A.example", "a:b:c", "a.", "a..",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, err := tenant.NormalizeHost(in)
		if err != nil {
			if !errors.Is(err, tenant.ErrMalformed) || host != "" {
				t.Fatalf("NormalizeHost(%q) = %q, %v", in, host, err)
			}
			return
		}
		if len(host) == 0 || len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Fatalf("NormalizeHost(%q) = %q", in, host)
		}
		for label := range strings.SplitSeq(host, ".") {
			if len(label) == 0 || len(label) > 63 || strings.Trim(label, "-") != label {
				t.Fatalf("NormalizeHost(%q) = %q, with label %q", in, host, label)
			}
		}
		for _, again := range []string{host, host + ".", host + ":443", host + ".:1", strings.ToUpper(host)} {
			if got, err := tenant.NormalizeHost(again); err != nil || got != host {
				t.Fatalf("NormalizeHost(%q) = %q, %v, want %q", again, got, err, host)
			}
		}
	})
}

func BenchmarkNormalizeHost(b *testing.B) {
	for _, host := range []string{"acme-pets.petstore.localhost:8443", "ACME-pets.petstore.localhost."} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tenant.NormalizeHost(host); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
