package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// keysFetcher gives a set without a network.
type keysFetcher struct {
	text []byte
	err  error
}

func (f keysFetcher) Fetch(context.Context) ([]byte, error) { return f.text, f.err }
func (f keysFetcher) Parse(text []byte) (*KeySet, []error, error) {
	return ParseJWKS(text, JWKSOptions{})
}

// ownToken is signed by a tenant's own issuer, whose keys are those of jwksOf.
func ownToken(t testing.TB, issuer, more string) string {
	return sign(t, "EdDSA", `{"alg":"EdDSA","kid":"own"}`, claims(`,"iss":"`+issuer+`"`+more), edKey)
}

func TestATenantsOwnIssuerSpeaksForItAlone(t *testing.T) {
	server := newIssuer(t)
	server.publish(jwksOf("own"))
	platform := verifierOf(t, Options{Keys: Fixed(setOf(t, publicKey(t, "platform", ecKey.Public())))})
	issuers := NewIssuers(IssuersOptions{Platform: platform})
	t.Cleanup(func() { _ = issuers.Close() })

	acme := &tenant.Tenant{Slug: tenant.MustSlug("acme-pets")}
	globex := &tenant.Tenant{Slug: tenant.MustSlug("globex"), Issuer: "https://idp.globex.example", JWKS: server.URL}
	fromPlatform := sign(t, "ES256", `{"alg":"ES256","kid":"platform"}`, strings.Replace(claims(""), "acme-pets", "globex", 1), ecKey)
	fromOwn := ownToken(t, globex.Issuer, "") // its tenant claim is acme-pets
	if _, err := issuers.Verify(t.Context(), globex, fromPlatform, now); Reason(err) != reasonKey {
		t.Errorf("the platform's token opens a tenant with an issuer of its own: %v", err)
	}
	p, err := issuers.Verify(t.Context(), globex, fromOwn, now)
	if err != nil || !p.BelongsTo(globex.Slug) || p.BelongsTo(acme.Slug) {
		t.Errorf("the tenant's own token: %+v, %v", p, err)
	}
	if _, err := issuers.Verify(t.Context(), globex, ownToken(t, "https://idp.other.example", ""), now); Reason(err) != reasonIssuer {
		t.Errorf("another issuer with the same keys: %v", err)
	}
	if _, err := issuers.Verify(t.Context(), acme, fromOwn, now); Reason(err) != reasonKey {
		t.Errorf("a tenant's issuer opens another tenant: %v", err)
	}
	for name, broken := range map[string]*tenant.Tenant{
		"no URL":    {Slug: globex.Slug, Issuer: globex.Issuer},
		"no issuer": {Slug: globex.Slug, JWKS: server.URL},
		"a bad URL": {Slug: globex.Slug, Issuer: globex.Issuer, JWKS: "ftp://a.example/"},
	} {
		if _, err := issuers.Verify(t.Context(), broken, fromPlatform, now); !errors.Is(err, ErrNoKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
	alone := NewIssuers(IssuersOptions{})
	if _, err := alone.Verify(t.Context(), acme, fromPlatform, now); !errors.Is(err, ErrBadToken) {
		t.Errorf("without the platform's keys: %v", err)
	}
}

func TestKeysOfATenantsIssuerThatIsDownAreNoKeysAndSayWhy(t *testing.T) {
	server := newIssuer(t)
	server.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) })
	issuers := NewIssuers(IssuersOptions{})
	t.Cleanup(func() { _ = issuers.Close() })
	globex := &tenant.Tenant{Slug: tenant.MustSlug("globex"), Issuer: "i", JWKS: server.URL}
	_, err := issuers.Verify(t.Context(), globex, ownToken(t, "i", ""), now)
	if !errors.Is(err, ErrNoKeys) || !strings.Contains(err.Error(), `"globex"`) || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v", err)
	}
}

func TestIssuersAreOpenedWithTheFirstTokenAndClosedWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		opened := map[string]int{}
		issuers := NewIssuers(IssuersOptions{Most: 2, Idle: 10 * time.Minute, Fetcher: func(url string) (Fetcher, error) {
			mu.Lock()
			defer mu.Unlock()
			opened[url]++
			return keysFetcher{text: []byte(jwksOf("own"))}, nil
		}})
		tenants := make([]*tenant.Tenant, 3)
		for i := range tenants {
			tenants[i] = &tenant.Tenant{Slug: tenant.MustSlug(fmt.Sprint("t", i)), Issuer: "i", JWKS: fmt.Sprint("u", i)}
		}
		verify := func(i int) error {
			_, err := issuers.Verify(t.Context(), tenants[i], ownToken(t, "i", ""), now)
			return err
		}
		if issuers.Open() != 0 {
			t.Error("something is open before the first token")
		}
		for range 3 {
			for i := range 2 {
				if err := verify(i); err != nil {
					t.Fatal(err)
				}
			}
		}
		if issuers.Open() != 2 || opened["u0"] != 1 {
			t.Errorf("open: %d, opened %v", issuers.Open(), opened)
		}
		// A third while both are in use, and when the first has been idle.
		if err := verify(2); !errors.Is(err, ErrNoKeys) || !strings.Contains(err.Error(), "at most 2") {
			t.Errorf("one too many: %v", err)
		}
		time.Sleep(50 * time.Second)
		_ = verify(1)
		time.Sleep(20 * time.Second)
		if err := verify(2); err != nil {
			t.Errorf("with room for it: %v", err)
		}
		synctest.Wait()
		if issuers.Open() != 2 || opened["u1"] != 1 {
			t.Errorf("open: %d, opened %v; the one in use was closed", issuers.Open(), opened)
		}
		// In use, they stay; then they go.
		for range 4 {
			time.Sleep(5 * time.Minute)
			_ = verify(1)
		}
		if issuers.Open() != 1 || opened["u1"] != 1 {
			t.Errorf("after 20 minutes: %d open, opened %v", issuers.Open(), opened)
		}
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		if issuers.Open() != 0 {
			t.Errorf("%d are open without a request for 16 minutes", issuers.Open())
		}
		if err := verify(0); err != nil || opened["u0"] != 2 {
			t.Errorf("once more: %v, opened %v", err, opened)
		}
		if err := issuers.Close(); err != nil || issuers.Open() != 0 {
			t.Errorf("closed: %v, %d open", err, issuers.Open())
		}
		if err := verify(0); !errors.Is(err, ErrNoKeys) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestOneTenantsFirstTokensAtOnceOpenItsIssuerOnce(t *testing.T) {
	server := newIssuer(t)
	server.publish(jwksOf("own"))
	issuers := NewIssuers(IssuersOptions{})
	t.Cleanup(func() { _ = issuers.Close() })
	globex := &tenant.Tenant{Slug: tenant.MustSlug("globex"), Issuer: "i", JWKS: server.URL}
	token := ownToken(t, "i", "")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := issuers.Verify(t.Context(), globex, token, now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := server.gets.Load(); n != 1 || issuers.Open() != 1 {
		t.Errorf("%d fetches, %d open; want one", n, issuers.Open())
	}
}

// Whoever is refused must not learn by the time it took whether the tenant is
// there: each token costs one check of a signature, of whichever issuer it says
// it is and whatever tenant it is sent to.
func TestMembersOfATenantsIssuerAreKnownByOneCheckWhateverTheTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		issuers := NewIssuers(IssuersOptions{Fetcher: func(string) (Fetcher, error) {
			fetches++
			return keysFetcher{text: []byte(jwksOf("own"))}, nil
		}})
		defer issuers.Close()
		globex := &tenant.Tenant{Slug: tenant.MustSlug("globex"), Issuer: "i", JWKS: "u", Status: tenant.Suspended}
		acme := &tenant.Tenant{Slug: tenant.MustSlug("acme-pets")}
		good, forged := ownToken(t, "i", ""), ownToken(t, "i", "")
		forged = forged[:strings.LastIndexByte(forged, '.')+1] + strings.Repeat("A", 86)
		if issuers.Member(nil, good, now) || issuers.Member(acme, good, now) || fetches != 0 {
			t.Errorf("a token had keys fetched for a tenant that is not its issuer's: %d times", fetches)
		}
		_ = issuers.Member(globex, good, now)
		synctest.Wait()
		if !issuers.Member(globex, good, now) || fetches != 1 {
			t.Errorf("the tenant's own user is not known after %d fetches", fetches)
		}
		for name, token := range map[string]string{
			"forged": forged, "another issuer's": ownToken(t, "j", ""), "over": ownToken(t, "i", `,"exp":1`),
			"no token": "", "one part": "a", "no JSON": "YQ.YQ.YQ", "too long": good + strings.Repeat("A", 9000),
		} {
			if issuers.Member(globex, token, now) {
				t.Errorf("%s is known as the tenant's user", name)
			}
		}
		if issuers.Member(nil, good, now) || issuers.Member(acme, good, now) {
			t.Error("the tenant's user is another's as well")
		}
	})
}

// BenchmarkMember shows what a refusal costs: the times of all kinds of one
// algorithm must be alike.
func BenchmarkMember(b *testing.B) {
	issuers := NewIssuers(IssuersOptions{Fetcher: func(string) (Fetcher, error) {
		return keysFetcher{text: []byte(jwksOf("own"))}, nil
	}})
	defer issuers.Close()
	globex := &tenant.Tenant{Slug: tenant.MustSlug("globex"), Issuer: "i", JWKS: "u", Status: tenant.Suspended}
	good := ownToken(b, "i", "")
	for !issuers.Member(globex, good, now) {
		time.Sleep(time.Millisecond)
	}
	signature := strings.LastIndexByte(good, '.') + 1
	unknownKey := sign(b, "EdDSA", `{"alg":"EdDSA","kid":"else"}`, claims(`,"iss":"i"`), edKey)
	for _, bench := range []struct {
		name, token string
		t           *tenant.Tenant
	}{
		{"member", good, globex},
		{"forged", good[:signature] + strings.Repeat("A", 86), globex},
		{"forged, no tenant", good[:signature] + strings.Repeat("A", 86), nil},
		{"unknown key", unknownKey, globex},
		{"unknown issuer", ownToken(b, "j", ""), globex},
		{"unknown issuer, no tenant", ownToken(b, "j", ""), nil},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				issuers.Member(bench.t, bench.token, now)
			}
		})
	}
}
