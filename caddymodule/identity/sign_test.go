package identity

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestATenantIsSignedForOncePerHalfLife(t *testing.T) {
	s := newSigner(t, newKeys(t, 1))
	first := mustSign(t, s, noon)
	if again := mustSign(t, s, noon.Add(DefaultTTL/2-time.Nanosecond)); again != first {
		t.Error("signed twice within half a life")
	}
	second := mustSign(t, s, noon.Add(DefaultTTL/2))
	if second == first {
		t.Error("not signed again after half a life")
	}
	if back := mustSign(t, s, noon.Add(-time.Second)); back == second {
		t.Error("a clock that went back gets a statement from the future")
	}
}

func TestAChangedTenantIsSignedForAtOnce(t *testing.T) {
	s := newSigner(t, newKeys(t, 1))
	first := mustSign(t, s, noon)
	changed := *acme
	changed.Plan = "premium"
	second, err := s.Sign(&changed, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, payload := parts(t, second); second == first || payload["plan"] != "premium" {
		t.Errorf("got plan %v", payload["plan"])
	}
}

func TestATenantWithoutPlanIsSignedForWithTheDefault(t *testing.T) {
	s, err := NewSigner(SignerOptions{Keys: newKeys(t, 1), DefaultPlan: "basic"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.Sign(&tenant.Tenant{ID: "t2", Slug: tenant.MustSlug("no-plan")}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, payload := parts(t, token); payload["plan"] != "basic" {
		t.Errorf("got plan %v; want basic", payload["plan"])
	}
}

func TestNothingIsSignedForNobody(t *testing.T) {
	s := newSigner(t, newKeys(t, 1))
	for _, nobody := range []*tenant.Tenant{nil, {}} {
		if token, err := s.Sign(nobody, noon); err == nil || token != "" {
			t.Errorf("signed %q for nobody", token)
		}
	}
}

func TestConcurrentRequestsShareOneStatement(t *testing.T) {
	s := newSigner(t, newKeys(t, 1))
	tokens := make([]string, 32)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() { tokens[i], _ = s.Sign(acme, noon) })
	}
	wg.Wait()
	for _, token := range tokens {
		if token == "" || token != tokens[0] {
			t.Fatal("concurrent requests got different statements")
		}
	}
}

func TestALifeThatIsTooShortIsRefused(t *testing.T) {
	if _, err := NewSigner(SignerOptions{Keys: newKeys(t, 1), TTL: time.Second}); err == nil {
		t.Error("accepted a life of 1s")
	}
	if _, err := NewSigner(SignerOptions{}); err == nil {
		t.Error("accepted no key")
	}
}

func BenchmarkSign(b *testing.B) {
	s := newSigner(b, newKeys(b, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(acme, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// Every caller that passes tenant_auth must fit: the longest name, of characters
// that JSON escapes, and as many roles as it lets through.
func TestTheLargestCallerFitsIntoAStatement(t *testing.T) {
	keys := newKeys(t, 1)
	large := &tenant.Tenant{ID: strings.Repeat("i", 64), Slug: tenant.MustSlug(strings.Repeat("s", 63)), Plan: tenant.Plan(strings.Repeat("p", 32))}
	for name, user := range map[string]string{"markup": strings.Repeat("<", 255), "quotes": strings.Repeat(`"`, 255), "accents": strings.Repeat("\u00e9", 127)} {
		t.Run(name, func(t *testing.T) {
			var roles []string
			for i := range 1536 / 35 {
				roles = append(roles, fmt.Sprintf("%032d", i))
			}
			token, err := newSigner(t, keys).SignUser(large, user, roles, noon)
			if err != nil {
				t.Fatal(err)
			}
			if claims, err := newVerifier(keys).Verify(token, noon); err != nil || claims.User != user || len(claims.Roles) != len(roles) {
				t.Errorf("%d bytes: %v", len(token), err)
			}
		})
	}
}

func TestEachUserHasAStatementOfTheirOwn(t *testing.T) {
	keys := newKeys(t, 1)
	s, v := newSigner(t, keys), newVerifier(keys)
	seen := make(map[string]bool)
	for _, who := range []struct {
		user  string
		roles []string
	}{
		{"", nil}, {"ann", nil}, {"ann", []string{"admin"}}, {"bob", []string{"admin"}},
		{"bob", []string{"admin", "editor"}}, {"bob\x00admin", []string{"editor"}},
	} {
		token, err := s.SignUser(acme, who.user, who.roles, noon)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.SignUser(acme, who.user, who.roles, noon)
		if err != nil || again != token || seen[token] {
			t.Errorf("%v: shares a statement with another, or has two: %v", who, err)
		}
		seen[token] = true
		claims, err := v.Verify(token, noon)
		if err != nil || claims.User != who.user || len(claims.Roles) != len(who.roles) {
			t.Errorf("%v: %+v, %v", who, claims, err)
		}
	}
}
