package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// zone is DNS as a test wants it; package resolver has tests over the wire.
type zone struct {
	mu     sync.Mutex
	txt    map[string]string
	cname  map[string]string
	broken bool
}

func newZone() *zone { return &zone{txt: make(map[string]string), cname: make(map[string]string)} }

func (z *zone) TXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch value, ok := z.txt[name]; {
	case z.broken:
		return nil, errors.New("server failure")
	case ok:
		return []string{"v=spf1 -all", value}, nil
	}
	return nil, control.ErrNoRecord
}

func (z *zone) CNAME(_ context.Context, name string) (string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch value, ok := z.cname[name]; {
	case z.broken:
		return "", errors.New("server failure")
	case ok:
		return value, nil
	}
	return "", control.ErrNoRecord
}

func (z *zone) prove(h control.HostClaim) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.txt[h.ChallengeName()], z.cname[h.Host] = h.Token, h.Target
}

func (z *zone) forget(h control.HostClaim) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.txt, h.ChallengeName())
}

// hostWorld has the tenants acme and globex, a clock and DNS.
type hostWorld struct {
	*world
	t       *testing.T
	zone    *zone
	checker *control.HostChecker
	now     time.Time
}

var globex = tenant.MustSlug("globex")

func newHostWorld(t *testing.T) *hostWorld {
	t.Helper()
	h := &hostWorld{t: t, zone: newZone(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	h.world = newWorld(t, options{now: func() time.Time { return h.now }})
	for _, slug := range []tenant.Slug{acme, globex} {
		h.create(t, control.New{Slug: slug.String(), NoSamplePet: true})
	}
	h.checker = &control.HostChecker{Catalog: h.Catalog, Resolver: h.zone}
	return h
}

func (h *hostWorld) claim(slug tenant.Slug, host string) control.HostClaim {
	h.t.Helper()
	claim, _, err := h.ClaimHost(h.t.Context(), slug, host, false)
	if err != nil {
		h.t.Fatal(err)
	}
	return claim
}

// after lets time pass and checks what is due then.
func (h *hostWorld) after(d time.Duration) {
	h.t.Helper()
	h.now = h.now.Add(d)
	if _, err := h.checker.CheckDue(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// hosts are the domains that the gateway serves for the tenant.
func (h *hostWorld) hosts(slug tenant.Slug) string {
	h.t.Helper()
	got, err := h.Get(h.t.Context(), slug)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(got.Hosts, " ")
}

func (h *hostWorld) state(slug tenant.Slug, host string) control.HostClaim {
	h.t.Helper()
	claims, err := h.HostClaims(h.t.Context(), slug)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range claims {
		if c.Host == host {
			return c
		}
	}
	return control.HostClaim{}
}

const own = "pets.customer.example"

func TestADomainIsServedOnceItsOwnerHasProvenIt(t *testing.T) {
	h := newHostWorld(t)
	h.now = h.now.Add(time.Second)
	claim := h.claim(acme, own)
	if claim.State != control.HostPending || claim.ChallengeName() != "_caddy-tenancy-challenge."+own || len(claim.Token) < 26 || !strings.HasSuffix(claim.Target, ".hosts.pets.example") {
		t.Fatalf("%+v", claim)
	}
	if again, created, err := h.ClaimHost(t.Context(), acme, "Pets.Customer.Example.", false); err != nil || created || again.Token != claim.Token {
		t.Errorf("claimed again: %+v, %v, %v", again, created, err)
	}
	if got := h.hosts(acme); got != "" {
		t.Fatalf("served before it is proven: %s", got)
	}
	h.after(time.Minute)
	if got := h.state(acme, own); got.State != control.HostPending || got.Problem != "the TXT record is missing" || got.CheckedAt.IsZero() {
		t.Errorf("without a record: %+v", got)
	}
	h.zone.txt[claim.ChallengeName()] = "tenancy-of-somebody-else"
	h.after(time.Minute)
	if got := h.state(acme, own); got.State != control.HostPending || !strings.Contains(got.Problem, claim.Token) {
		t.Errorf("with another value: %+v", got)
	}
	h.zone.prove(claim)
	h.after(time.Minute)
	if got := h.state(acme, own); got.State != control.HostVerified || !got.Routed || got.Problem != "" || h.hosts(acme) != own {
		t.Errorf("with the proof: %+v; served: %s", got, h.hosts(acme))
	}
	events, err := h.Events(t.Context(), acme, 2)
	if err != nil || len(events) != 2 || events[0].Action != "host.verify" || events[1].Action != "host.claim" {
		t.Errorf("events: %+v, %v", events, err)
	}
}

func TestADomainWhoseProofIsGoneIsReleasedAndHeld(t *testing.T) {
	h := newHostWorld(t)
	claim := h.claim(acme, own)
	h.zone.prove(claim)
	h.after(0)
	h.zone.broken = true
	for range 20 {
		h.after(12 * time.Hour)
	}
	if h.hosts(acme) != own {
		t.Fatal("a resolver that is down has taken the host away")
	}
	h.zone.broken = false
	h.zone.forget(claim)
	h.after(12 * time.Hour)
	if got := h.state(acme, own); got.FailingSince.IsZero() || h.hosts(acme) != own {
		t.Errorf("in the days of grace: %+v", got)
	}
	h.after(73 * time.Hour)
	if h.hosts(acme) != "" || h.state(acme, own).Host != "" {
		t.Errorf("after the days of grace: served %q, %+v", h.hosts(acme), h.state(acme, own))
	}

	// The CNAME record is still there, and leads to a name that is nobody's.
	if _, _, err := h.ClaimHost(t.Context(), globex, own, false); !errors.Is(err, control.ErrTaken) {
		t.Errorf("claimed by another tenant at once: %v", err)
	}
	taken, _, err := h.ClaimHost(t.Context(), globex, own, true)
	if err != nil || taken.Target == claim.Target || taken.Token == claim.Token {
		t.Fatalf("claimed blindly: %+v, %v", taken, err)
	}
	h.zone.prove(taken)
	h.after(time.Hour)
	if got := h.state(globex, own); h.hosts(globex) != "" || !strings.Contains(got.Problem, "another customer") {
		t.Errorf("held, with the proof: %+v", got)
	}
	h.now = h.now.Add(7 * 24 * time.Hour)
	h.zone.prove(taken)
	if got, err := h.checker.CheckNow(t.Context(), globex, own); err != nil || got.State != control.HostVerified || h.hosts(globex) != own {
		t.Errorf("after the hold: %+v, %v", got, err)
	}
}

func TestADomainGivenUpMayOnlyBeClaimedAgainByItsTenant(t *testing.T) {
	h := newHostWorld(t)
	claim := h.claim(acme, own)
	h.zone.prove(claim)
	h.after(0)
	if err := h.ReleaseHost(t.Context(), globex, own); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("released by another tenant: %v", err)
	}
	if err := h.ReleaseHost(t.Context(), acme, own); err != nil || h.hosts(acme) != "" {
		t.Fatalf("released: %v; served: %s", err, h.hosts(acme))
	}
	if err := h.ReleaseHost(t.Context(), acme, own); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("released twice: %v", err)
	}
	if _, _, err := h.ClaimHost(t.Context(), globex, own, false); !errors.Is(err, control.ErrTaken) {
		t.Errorf("claimed by another tenant: %v", err)
	}
	again := h.claim(acme, own)
	if again.Token == claim.Token {
		t.Error("the old proof is good for a new claim")
	}
	h.after(time.Second)
	if h.hosts(acme) != "" {
		t.Error("verified by the old proof")
	}
	h.zone.prove(again)
	h.after(time.Minute)
	if h.hosts(acme) != own {
		t.Errorf("claimed again: %+v", h.state(acme, own))
	}
}

func TestOfTwoClaimsTheOneThatIsProvenWins(t *testing.T) {
	h := newHostWorld(t)
	squatter, owner := h.claim(acme, own), h.claim(globex, own)
	h.zone.prove(owner)
	h.after(0)
	if h.hosts(globex) != own || h.hosts(acme) != "" {
		t.Errorf("acme has %q, globex has %q", h.hosts(acme), h.hosts(globex))
	}
	h.zone.prove(squatter) // the domain was sold, say
	h.after(time.Minute)
	if h.hosts(globex) != own || h.hosts(acme) != "" {
		t.Errorf("while it is another's: acme has %q, globex has %q", h.hosts(acme), h.hosts(globex))
	}
	for range 60 {
		h.after(6 * time.Hour)
	}
	if h.hosts(globex) != "" || h.hosts(acme) != own {
		t.Errorf("after the other's proof has gone: acme has %q, globex has %q", h.hosts(acme), h.hosts(globex))
	}
}

func TestAClaimThatNobodyProvesIsForgotten(t *testing.T) {
	h := newHostWorld(t)
	h.claim(acme, own)
	h.after(8 * 24 * time.Hour)
	if got := h.state(acme, own); got.Host != "" {
		t.Errorf("%+v", got)
	}
	if _, _, err := h.ClaimHost(t.Context(), globex, own, false); err != nil {
		t.Errorf("claimed by another tenant: %v", err)
	}
}

func TestHostsThatNobodyMayClaimAreNamed(t *testing.T) {
	h := newHostWorld(t)
	for host, want := range map[string]string{
		"pets.example": "platform's own", "acme.pets.example": "platform's own", "admin.pets.example": "platform's own",
		"a.b.pets.example": "platform's own", "example": "platform's own", "PETS.Example.": "platform's own",
		"com": "one customer can own", "co.uk": "one customer can own", "github.io": "one customer can own",
		"shop.localhost": "public DNS", "x.local": "public DNS", "x.internal": "public DNS", "1.0.0.127.in-addr.arpa": "",
		"": "expected a domain", ".": "expected a domain", "a..example.org": "expected a domain", "*.customer.example": "expected a domain",
		"127.0.0.1": "expected a domain", "[::1]": "expected a domain", "customer.example:443": "expected a domain",
		"https://customer.example": "expected a domain", "customer.example/x": "expected a domain", "a b.example.org": "expected a domain",
		"a_b.customer.example": "expected a domain", "-a.customer.example": "expected a domain", "a\x00.customer.example": "expected a domain",
		"xn--a.customer.example": "expected a domain", strings.Repeat("a", 64) + ".example.org": "expected a domain",
		strings.Repeat("a.", 115) + "example.org": "at most", strings.Repeat("é", 2000): "expected a domain",
	} {
		_, _, err := h.ClaimHost(t.Context(), acme, host, false)
		var invalid *petstore.Invalid
		if !errors.As(err, &invalid) || !strings.Contains(invalid.Fields[0].Problem, want) {
			t.Errorf("%q: %v; want %q", host, err, want)
		}
	}
	for host, want := range map[string]string{
		"Bücher.Customer.example": "xn--bcher-kva.customer.example", "faß.customer.example": "xn--fa-hia.customer.example",
		"PETS。customer.example": own, "customer.co.uk": "customer.co.uk",
	} {
		if got, _, err := h.ClaimHost(t.Context(), acme, host, false); err != nil || got.Host != want {
			t.Errorf("%q: %q, %v; want %q", host, got.Host, err, want)
		}
	}
}

func TestATenantHasSoManyDomains(t *testing.T) {
	h := newHostWorld(t)
	for i := range 20 {
		h.claim(acme, fmt.Sprintf("d%d.customer.example", i))
	}
	if _, _, err := h.ClaimHost(t.Context(), acme, own, false); !errors.Is(err, control.ErrState) {
		t.Errorf("one too many: %v", err)
	}
	if _, _, err := h.ClaimHost(t.Context(), acme, "d7.customer.example", false); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}

func TestATenantOnItsWayOutGetsNoDomain(t *testing.T) {
	h := newHostWorld(t)
	claim := h.claim(acme, own)
	h.zone.prove(claim)
	gone := tenant.Deactivated
	if _, err := h.Change(t.Context(), acme, control.Patch{Status: &gone}); err != nil {
		t.Fatal(err)
	}
	h.after(time.Minute)
	if h.hosts(acme) != "" {
		t.Errorf("served: %s", h.hosts(acme))
	}
	if _, _, err := h.ClaimHost(t.Context(), acme, "b.customer.example", false); !errors.Is(err, control.ErrState) {
		t.Errorf("a claim: %v", err)
	}
	if _, _, err := h.ClaimHost(t.Context(), tenant.MustSlug("nobody"), own, false); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("a claim of nobody: %v", err)
	}
}

func TestSeveralCheckersShareTheWork(t *testing.T) {
	h := newHostWorld(t)
	for i := range 20 {
		h.zone.prove(h.claim(acme, fmt.Sprintf("d%d.customer.example", i)))
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	sum := 0
	for range 4 {
		all.Go(func() {
			n, err := h.checker.CheckDue(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			sum += n
		})
	}
	all.Wait()
	if got := len(strings.Fields(h.hosts(acme))); sum != 20 || got != 20 {
		t.Errorf("%d checks for %d hosts; want 20 for 20", sum, got)
	}
}
