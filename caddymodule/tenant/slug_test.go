package tenant_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestParseSlugAcceptsDNSLabelsThatAreNotReserved(t *testing.T) {
	for _, s := range []string{
		"a", "7", "acme", "acme-pets", "a-b-c", "a--b", "abc--d", "0x1", "123",
		"api2", "my-api", strings.Repeat("a", 63),
	} {
		slug, err := tenant.ParseSlug(s)
		if err != nil {
			t.Errorf("ParseSlug(%q): %v", s, err)
		}
		if slug.String() != s || slug.IsZero() {
			t.Errorf("ParseSlug(%q) = %q, zero %v", s, slug, slug.IsZero())
		}
	}
}

func TestParseSlugRefusesWhatIsNoPlainLabel(t *testing.T) {
	for name, s := range map[string]string{
		"empty":             "",
		"64 bytes":          strings.Repeat("a", 64),
		"upper case":        "Acme",
		"hyphen first":      "-acme",
		"hyphen last":       "acme-",
		"hyphen only":       "-",
		"dot":               "acme.pets",
		"underscore":        "acme_pets",
		"space":             "acme pets",
		"space around":      " acme ",
		"newline":           "acme\n",
		"NUL":               "acme\x00",
		"slash":             "acme/x",
		"parent":            "..",
		"percent":           "%61cme",
		"quote":             "a'--",
		"SQL":               `acme"; DROP SCHEMA`,
		"wildcard":          "*",
		"Kelvin sign":       "\u212Aelly",
		"Cyrillic a":        "\u0430cme",
		"full-width":        "\uff41cme",
		"invalid UTF-8":     "acme\xff",
		"encoded name":      "xn--acme-9ta",
		"encoded-like":      "ab--cd",
		"reserved":          "admin",
		"reserved device":   "com1",
		"reserved database": "public",
		"reserved host":     "www",
	} {
		slug, err := tenant.ParseSlug(s)
		if !errors.Is(err, tenant.ErrMalformed) {
			t.Errorf("%s: ParseSlug(%q) error = %v, want ErrMalformed", name, s, err)
		}
		if !slug.IsZero() {
			t.Errorf("%s: ParseSlug(%q) = %q beside its error", name, s, slug)
		}
	}
}

func TestSlugErrorsNameTheInputAndWhatWasExpected(t *testing.T) {
	for s, want := range map[string]string{
		"Acme":                   `parsing slug "Acme": malformed: expected lower-case letters a-z, digits and hyphens`,
		"-a":                     `parsing slug "-a": malformed: expected no hyphen at either end`,
		"":                       `parsing slug "": malformed: expected 1 to 63 characters, found none`,
		"admin":                  `parsing slug "admin": malformed: the word is reserved`,
		"xn--a":                  `parsing slug "xn--a": malformed: hyphens in places three and four are reserved for encoded names`,
		strings.Repeat("a", 1e4): `parsing slug "` + strings.Repeat("a", 80) + `...": malformed: expected 1 to 63 characters, found more`,
	} {
		if _, err := tenant.ParseSlug(s); err == nil || err.Error() != want {
			t.Errorf("error = %v\nwant    %s", err, want)
		}
	}
}

func TestMustSlugPanicsOnAnInvalidSlug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	tenant.MustSlug("Acme")
}

func TestSlugReadsAndWritesJSON(t *testing.T) {
	var v struct{ S tenant.Slug }
	if err := json.Unmarshal([]byte(`{"S":"acme"}`), &v); err != nil || v.S.String() != "acme" {
		t.Fatalf("got %q, %v", v.S, err)
	}
	if out, err := json.Marshal(v); err != nil || string(out) != `{"S":"acme"}` {
		t.Fatalf("got %s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"S":"Globex"}`), &v); !errors.Is(err, tenant.ErrMalformed) {
		t.Fatalf("error = %v, want ErrMalformed", err)
	}
	if v.S.String() != "acme" {
		t.Fatalf("an invalid slug changed the value to %q", v.S)
	}
}

func TestParseSlugOfAValidSlugDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = tenant.ParseSlug("acme-pets") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func ExampleParseSlug() {
	slug, err := tenant.ParseSlug("acme-pets")
	fmt.Println(slug, err)
	_, err = tenant.ParseSlug("Acme")
	fmt.Println(err)
	// Output:
	// acme-pets <nil>
	// parsing slug "Acme": malformed: expected lower-case letters a-z, digits and hyphens
}

// A slug must be usable, as it is, wherever a name ends up.
func FuzzParseSlug(f *testing.F) {
	for _, s := range []string{"acme", "Acme", "a--b", "xn--a", "", "-", "..", "\u212Aelly", "a\x00", "admin"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		slug, err := tenant.ParseSlug(s)
		if err != nil {
			if !errors.Is(err, tenant.ErrMalformed) || !slug.IsZero() {
				t.Fatalf("ParseSlug(%q) = %q, %v", s, slug, err)
			}
			if strings.ContainsAny(err.Error(), "\n\x00\x1b") || len(err.Error()) > 600 {
				t.Fatalf("error is not fit for a log: %q", err)
			}
			return
		}
		if slug.String() != s {
			t.Fatalf("ParseSlug(%q) = %q", s, slug)
		}
		if len(s) > 63 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || s[0] == '-' {
			t.Fatalf("ParseSlug accepted %q", s)
		}
		if host, err := tenant.NormalizeHost(s + ".example"); err != nil || host != s+".example" {
			t.Fatalf("slug %q is no host label: %q, %v", s, host, err)
		}
	})
}

func BenchmarkParseSlug(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tenant.ParseSlug("fluffy-friends"); err != nil {
			b.Fatal(err)
		}
	}
}
