package resolve_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestHostNamesTheTenantOfTheOneLabelUnderTheBase(t *testing.T) {
	for host, outcome := range map[string]string{
		"acme-pets.petstore.localhost":       "acme-pets",
		"acme-pets.petstore.localhost:8443":  "acme-pets",
		"ACME-Pets.Petstore.Localhost":       "acme-pets",
		"acme-pets.petstore.localhost.":      "acme-pets",
		"Acme-Pets.petstore.localhost.:8443": "acme-pets",
		"sleepy-cats.petstore.localhost":     "sleepy-cats", // the status is the chain's to check
		"pets.acme.example":                  "acme-pets",
		"PETS.acme.example.:443":             "acme-pets",

		"nobody.petstore.localhost": "unknown",

		"petstore.localhost":                   "missing",
		"petstore.localhost:8443":              "missing",
		"localhost":                            "missing",
		"other.example":                        "missing",
		"acme-petspetstore.localhost":          "missing",
		"acme-pets.petstore.localhos":          "missing",
		"x.pets.acme.example":                  "missing",
		"acme-pets.petstore.localhost.example": "missing",

		"a.acme-pets.petstore.localhost":                 "malformed",
		"a.b.petstore.localhost":                         "malformed",
		"www.petstore.localhost":                         "malformed",
		".petstore.localhost":                            "malformed",
		"*.petstore.localhost":                           "malformed",
		"acme_pets.petstore.localhost":                   "malformed",
		"-.petstore.localhost":                           "malformed",
		"xn--acme-9ta.petstore.localhost":                "malformed",
		"acme-pets.petstore.localhost..":                 "malformed",
		"acme-pets..petstore.localhost":                  "malformed",
		"acme-pets%2epetstore.localhost":                 "malformed",
		"acme-pets.petstore.localhost:x":                 "malformed",
		"acme-pets.petstore.localhost:":                  "malformed",
		"user@acme-pets.petstore.localhost":              "malformed",
		"127.0.0.1":                                      "malformed",
		"[::1]:8443":                                     "malformed",
		"...":                                            "malformed",
		"":                                               "malformed",
		"acme pets.petstore.localhost":                   "malformed",
		"acme-pets\x00.petstore.localhost":               "malformed",
		"\u0430cme-pets.petstore.localhost":              "malformed",
		"\u212Aelly.petstore.localhost":                  "malformed",
		"acme-pets\uff0epetstore.localhost":              "malformed",
		strings.Repeat("a", 64) + ".petstore.localhost":  "malformed",
		strings.Repeat("a.", 150) + "petstore.localhost": "malformed",
	} {
		r := request(t, "/", "placeholder")
		r.Host = host
		a, err := byHost.Resolve(r, tenants)
		want(t, host, a, err, outcome)
	}
}

func TestHostTellsItsTwoSourcesApart(t *testing.T) {
	for host, source := range map[string]string{
		"acme-pets.petstore.localhost": "host",
		"pets.acme.example":            "domain",
	} {
		if a, err := byHost.Resolve(request(t, "/", host), tenants); err != nil || a.Source != source || a.Prefix != "" {
			t.Errorf("%s: %+v, %v", host, a, err)
		}
	}
}

func TestHostBelievesTheAuthorityOnly(t *testing.T) {
	r := request(t, "/", "acme-pets.petstore.localhost",
		"X-Forwarded-Host: fluffy-friends.petstore.localhost",
		"Forwarded: host=fluffy-friends.petstore.localhost",
		"X-Host: fluffy-friends.petstore.localhost")
	a, err := byHost.Resolve(r, tenants)
	want(t, "forwarding headers", a, err, "acme-pets")

	r = request(t, "https://fluffy-friends.petstore.localhost/", "acme-pets.petstore.localhost")
	a, err = byHost.Resolve(r, tenants)
	want(t, "absolute form", a, err, "fluffy-friends")
}

func TestAnUnknownHostIsNamedInTheAnswer(t *testing.T) {
	a, err := byHost.Resolve(request(t, "/", "nobody.petstore.localhost"), tenants)
	if !errors.Is(err, tenant.ErrNotFound) || a.Slug != tenant.MustSlug("nobody") || a.Source != "host" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestNewHostRefusesWhatIsNoDomain(t *testing.T) {
	for base, message := range map[string]string{
		"*.petstore.localhost":     `reading base domain "*.petstore.localhost": expected the name without the wildcard, "petstore.localhost"`,
		"petstore.localhost:8443":  `reading base domain "petstore.localhost:8443": expected a domain name without scheme and port`,
		"https://petstore.example": `reading base domain "https://petstore.example": expected a domain name without scheme and port`,
		"":                         `reading base domain "": expected a domain name: reading host "": malformed: expected 1 to 63 characters, found none`,
		"10.0.0.1":                 `reading base domain "10.0.0.1": expected a domain name: reading host "10.0.0.1": malformed: expected a name, not an address`,
	} {
		if _, err := resolve.NewHost(base); err == nil || err.Error() != message {
			t.Errorf("NewHost(%q) error = %v\nwant %s", base, err, message)
		}
	}
	if h, err := resolve.NewHost("Petstore.Localhost."); err != nil || h.Base() != "petstore.localhost" {
		t.Errorf("a base in another spelling: %v, %v", h, err)
	}
}

func TestHostInNormalFormDoesNotAllocate(t *testing.T) {
	chain := resolve.Chain{byHost}
	for _, host := range []string{"acme-pets.petstore.localhost:8443", "pets.acme.example", "nobody.petstore.localhost"} {
		r := request(t, "/", host)
		if n := testing.AllocsPerRun(100, func() { _, _ = byHost.Resolve(r, tenants) }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
	r := request(t, "/", "acme-pets.petstore.localhost")
	if n := testing.AllocsPerRun(100, func() { _, _ = chain.Resolve(r, tenants) }); n != 0 {
		t.Errorf("chain: %v allocations", n)
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{
		"acme-pets.petstore.localhost", "ACME-PETS.petstore.localhost.:1", "petstore.localhost",
		"a.b.petstore.localhost", "pets.acme.example", "*.petstore.localhost", "", "[::1]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		r := request(t, "/", "placeholder")
		r.Host = host
		a, err := byHost.Resolve(r, tenants)
		if (err == nil) != (a.Tenant != nil) {
			t.Fatalf("%q: %+v, %v", host, a, err)
		}
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(strings.ToLower(host), ":")
		name = strings.TrimSuffix(name, ".")
		if a.Source == "host" && name != a.Slug.String()+".petstore.localhost" ||
			a.Source == "domain" && tenants.hosts[name] != a.Tenant {
			t.Fatalf("%q named %q by %s", host, a.Slug, a.Source)
		}
	})
}
