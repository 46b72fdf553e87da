package resolve_test

import (
	"bufio"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
)

func TestPathForwardsWhatFollowsTheTenantAsItWasSent(t *testing.T) {
	for target, rest := range map[string]string{
		"/acme-pets":                    "/",
		"/acme-pets?x=1":                "/",
		"/acme-pets/":                   "/",
		"/acme-pets/api/pets":           "/api/pets",
		"/acme-pets/api/pets/?q=/../":   "/api/pets/",
		"/acme-pets/fluffy-friends/x":   "/fluffy-friends/x",
		"/acme-pets/acme-pets":          "/acme-pets",
		"/acme-pets/a%2Fb":              "/a%2Fb",
		"/acme-pets/a%2fb/%41":          "/a%2fb/%41",
		"/acme-pets/caf%C3%A9":          "/caf%C3%A9",
		"/acme-pets/café":               "/caf%C3%A9",
		"/acme-pets/a%20b%3Fc":          "/a%20b%3Fc",
		"/acme-pets/c%23/x":             "/c%23/x",
		"/acme-pets/100%25":             "/100%25",
		"/acme-pets/a%2520b":            "/a%2520b",
		"/acme-pets/a|b":                "/a%7Cb",
		"/acme-pets/a//b":               "/a//b",
		"/acme-pets/.well-known/x":      "/.well-known/x",
		"/acme-pets/...":                "/...",
		"/acme-pets/a..b/c.":            "/a..b/c.",
		"/acme-pets/a;v=1/b,c":          "/a;v=1/b,c",
		"/acme-pets/%2e%2ehidden":       "/%2e%2ehidden",
		"http://any.example/acme-pets/": "/",
	} {
		a, err := byPath.Resolve(request(t, target, "any.example"), tenants)
		want(t, target, a, err, "acme-pets")
		u := url.URL{Path: a.Path, RawPath: a.RawPath}
		if a.Prefix != "/acme-pets" || u.EscapedPath() != rest || a.Source != "path" {
			t.Errorf("%s: got %+v, forwarded as %q, want %q", target, a, u.EscapedPath(), rest)
		}
	}
}

func TestPathsThatNameNoTenant(t *testing.T) {
	for target, outcome := range map[string]string{
		"/":                  "missing",
		"/?/acme-pets":       "missing",
		"http://any.example": "missing",
		"/nobody/api/pets":   "unknown",
		"/acme-petsx/":       "unknown",
		"/xacme-pets":        "unknown",
		"/acme":              "unknown",
		"*":                  "malformed",
	} {
		a, err := byPath.Resolve(request(t, target, "any.example"), tenants)
		want(t, target, a, err, outcome)
	}
}

func TestPathRefusesWhatCanBeReadInTwoWays(t *testing.T) {
	for _, target := range []string{
		// the tenant's segment
		"//acme-pets/", "///", "//", "/%61cme-pets/", "/acme-pets%2f..%2f", "/acme-pets%2Fapi", "/acme-pets;x/",
		"/acme-pets;", "/Acme-Pets/", "/ACME-PETS", "/acme_pets/", "/acme-pets%00/", "/acme-pets%20/", "/./acme-pets/",
		"/../acme-pets/", "/..;/acme-pets/", "/acme-pets#/../fluffy-friends", "/acme-pets\\x", "/\\acme-pets/",
		"/\u0430cme-pets/", "/api/pets", "/%2e/acme-pets/", "/acme-pets%",
		// dot segments behind it
		"/acme-pets/../fluffy-friends/api/pets", "/acme-pets/..", "/acme-pets/.", "/acme-pets/./", "/acme-pets/a/../..",
		"/acme-pets/%2e%2e/fluffy-friends", "/acme-pets/%2E%2e/x", "/acme-pets/.%2e/x", "/acme-pets/%2e/x", "/acme-pets/%2e",
		"/acme-pets/..%2ffluffy-friends", "/acme-pets/..%2Fx", "/acme-pets/a%2f..%2f..", "/acme-pets/..;/x", "/acme-pets/..;a=b/x",
		"/acme-pets/.;/x", "/acme-pets/..%3b/x", "/acme-pets/..%20/x", "/acme-pets/%20../x", "/acme-pets/..%23/x", "/acme-pets/..%3fx",
		// encoded twice and more
		"/acme-pets/%252e%252e/x", "/acme-pets/..%252fx", "/acme-pets/%252e%252e%252fx", "/acme-pets/%25252e%25252e/x",
		"/acme-pets/%2525252e%2525252e/x", "/acme-pets/%252525252e", "/acme-pets/%25%32%65%25%32%65/x", "/acme-pets/a%255cb",
		// backslashes, control characters, bytes that are not UTF-8
		"/acme-pets/..\\x", "/acme-pets/a\\b", "/acme-pets/a%5cb", "/acme-pets/..%5Cx", "/acme-pets/a%00b", "/acme-pets/..%00/x",
		"/acme-pets/a%2500b", "/acme-pets/a%0d%0ab", "/acme-pets/a%7f", "/acme-pets/%c0%ae%c0%ae/x", "/acme-pets/..%c0%afx",
		"/acme-pets/%e0%80%ae/x", "/acme-pets/%ff",
		// another host
		"/acme-pets//evil.example/", "/acme-pets/%2fevil.example/", "/acme-pets/%252fevil.example/", "/acme-pets//",
		// a fragment where there is none
		"/acme-pets/pets#/../x", "/acme-pets/x#", "/acme-pets/%2fa#b",
		// an escape that would be lost when the raw character is repaired
		"/acme-pets/a%2Fb|c", "/acme-pets/a%41\u00e9",
	} {
		raw := "GET " + target + " HTTP/1.1\r\nHost: any.example\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			continue // refused before any resolver sees it
		}
		a, err := byPath.Resolve(r, tenants)
		want(t, target, a, err, "malformed")
	}
}

func TestPathRefusesAURLWhoseTwoSpellingsDiffer(t *testing.T) {
	for _, u := range []url.URL{
		{Path: "/acme-pets/x", RawPath: "/fluffy-friends/x"},
		{Path: "/acme-pets/a%41", RawPath: "/acme-pets/a%41"},
		{Path: "/acme-pets/a#b", RawPath: "/acme-pets/a#b"},
		{Path: "/acme-pets/../x"},
		{Path: "acme-pets/x"},
	} {
		a, err := byPath.Resolve(&http.Request{URL: &u}, tenants)
		want(t, u.Path, a, err, "malformed")
	}
}

// With a plain rest no second reading exists, so no second copy is made.
func TestAPlainPathDoesNotAllocate(t *testing.T) {
	r := request(t, "/acme-pets/api/pets/rex.json", "any.example")
	if n := testing.AllocsPerRun(100, func() { _, _ = byPath.Resolve(r, tenants) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPath holds the path resolver to its promise: the tenant and the forwarded
// path come from one reading of the request, and no later reading, however many
// layers it decodes, leaves the tenant's part.
func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"/acme-pets", "/acme-pets/", "/acme-pets/a%2Fb", "/acme-pets/%2e%2e/x", "/acme-pets/a|b", "/acme-pets/caf%C3%A9",
		"/acme-pets/%252e%252e%252f", "//acme-pets", "/acme-pets/a;b", "/acme-pets/x#y", "/acme-pets/..%5c", "/acme-pets/100%25",
		"/acme-pets/%C0%AE", "/acme-pets/./x", "*", "/", "http://h/acme-pets/x", "/acme-pets/%25252e",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil {
			return
		}
		a, err := byPath.Resolve(r, tenants)
		if (err == nil) != (a.Tenant != nil) {
			t.Fatalf("%q: %+v, %v", target, a, err)
		}
		if err != nil {
			return
		}
		checkOneReading(t, r.URL, a)
	})
}

func checkOneReading(t *testing.T, u *url.URL, a resolve.Answer) {
	t.Helper()
	if a.Prefix != "/"+a.Slug.String() {
		t.Fatalf("prefix %q for %q", a.Prefix, a.Slug)
	}
	forwarded := (&url.URL{Path: a.Path, RawPath: a.RawPath}).EscapedPath()
	if forwarded[0] != '/' || strings.HasPrefix(forwarded, "//") {
		t.Fatalf("%q is forwarded as %q", u.EscapedPath(), forwarded)
	}
	if whole := u.EscapedPath(); whole != a.Prefix && whole != a.Prefix+forwarded {
		t.Fatalf("%q became %q and %q", whole, a.Prefix, forwarded)
	}
	again, err := url.ParseRequestURI(a.Prefix + forwarded)
	if err != nil || again.Path != u.Path && again.Path != u.Path+"/" {
		t.Fatalf("%q reads back as %v, %v, want %q", a.Prefix+forwarded, again, err, u.Path)
	}
	if back, err := url.ParseRequestURI(forwarded); err != nil || back.Path != a.Path {
		t.Fatalf("%q reads back as %v, %v, want %q", forwarded, back, err, a.Path)
	}
	for reading := a.Prefix + forwarded; ; {
		for _, s := range []string{reading, strings.ReplaceAll(reading, `\`, "/")} {
			if clean := path.Clean(s); clean != a.Prefix && !strings.HasPrefix(clean, a.Prefix+"/") {
				t.Fatalf("%q can be read as %q", u.EscapedPath(), clean)
			}
		}
		next, err := url.PathUnescape(reading)
		if err != nil || next == reading {
			return
		}
		reading = next
	}
}
