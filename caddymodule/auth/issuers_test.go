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
	return ParseJWKS(text)
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
		fetched := map[string]int{}
		issuers := NewIssuers(IssuersOptions{most: 2, idle: 10 * time.Minute, Fetcher: func(url string) (Fetcher, error) {
			mu.Lock()
			defer mu.Unlock()
			fetched[url]++
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
		if opened(issuers) != 0 {
			t.Error("something is open before the first token")
		}
		for range 3 {
			for i := range 2 {
				if err := verify(i); err != nil {
					t.Fatal(err)
				}
			}
		}
		if opened(issuers) != 2 || fetched["u0"] != 1 {
			t.Errorf("open: %d, opened %v", opened(issuers), fetched)
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
		if opened(issuers) != 2 || fetched["u1"] != 1 {
			t.Errorf("open: %d, opened %v; the one in use was closed", opened(issuers), fetched)
		}
		// In use, they stay; then they go.
		for range 4 {
			time.Sleep(5 * time.Minute)
			_ = verify(1)
		}
		if opened(issuers) != 1 || fetched["u1"] != 1 {
			t.Errorf("after 20 minutes: %d open, opened %v", opened(issuers), fetched)
		}
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		if opened(issuers) != 0 {
			t.Errorf("%d are open without a request for 16 minutes", opened(issuers))
		}
		if err := verify(0); err != nil || fetched["u0"] != 2 {
			t.Errorf("once more: %v, opened %v", err, fetched)
		}
		if err := issuers.Close(); err != nil || opened(issuers) != 0 {
			t.Errorf("closed: %v, %d open", err, opened(issuers))
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
	if n := server.gets.Load(); n != 1 || opened(issuers) != 1 {
		t.Errorf("%d fetches, %d open; want one", n, opened(issuers))
	}
}

// opened is how many tenants' own issuers are in use.
func opened(i *Issuers) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.own)
}
