package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// IssuersOptions shape [Issuers]. Zero values mean the defaults given.
type IssuersOptions struct {
	// Platform verifies the tokens of tenants without an issuer of their own;
	// nil means that none of theirs is good.
	Platform *Verifier
	// Own are the options of the verifiers of tenants' own issuers. Keys, Issuer
	// and Tenant are each tenant's. MaxLifetime 0 means any: how long a tenant's
	// tokens live is the tenant's to decide.
	Own Options
	// Remote are those of the fetchers of their keys.
	Remote RemoteOptions
	// Fetcher reads keys from a tenant's URL: [HTTPFetcher]. It decides where
	// tenants' records may send the gateway; see [HTTPOptions].
	Fetcher func(url string) (Fetcher, error)

	most int           // how many tenants' keys are kept up to date at one time: 512
	idle time.Duration // how long they are without a request for them: 10 minutes
}

// makeRoom is how long an issuer must have been without a request to be closed
// for another one. Without it, a flood of requests for many tenants would have
// their keys fetched again and again.
const makeRoom = time.Minute

// Issuers chooses the verifier for a tenant's requests. A tenant with an
// issuer of its own is served by that one alone: neither do the platform's
// tokens open it, nor do its issuer's tokens open another tenant. The choice
// is made by the record of the tenant the request is for, never by what a
// token claims, so that a changed record is in force with the snapshot it is in.
//
// The keys of a tenant's issuer are fetched from its first token on, and no
// longer when nobody uses them. It is safe for concurrent use.
type Issuers struct {
	o IssuersOptions

	mu     sync.Mutex // guards what follows
	own    map[ownName]*ownIssuer
	closed bool
	timer  *time.Timer // closes idle ones; nil when there are none
}

// ownName is all that shapes a tenant's own verifier.
type ownName struct {
	slug         tenant.Slug
	issuer, jwks string
}

// ownIssuer is the verifier of one tenant's issuer and its keys.
type ownIssuer struct {
	*Verifier
	keys *Remote
	used time.Time
}

// NewIssuers returns a choice. Close ends what it fetches.
func NewIssuers(o IssuersOptions) *Issuers {
	if o.Fetcher == nil {
		o.Fetcher = func(url string) (Fetcher, error) { return HTTPFetcher(url, HTTPOptions{}) }
	}
	o.Own.MaxLifetime = cmp.Or(o.Own.MaxLifetime, -1)
	o.most, o.idle = cmp.Or(o.most, 512), cmp.Or(o.idle, 10*time.Minute)
	return &Issuers{o: o, own: make(map[ownName]*ownIssuer)}
}

// Verify is [Verifier.Verify] with the verifier that is right for the tenant.
// The error wraps [ErrNoKeys] also when the tenant's issuer can't be used: its
// record is wrong, or too many are in use.
func (i *Issuers) Verify(ctx context.Context, t *tenant.Tenant, token string, now time.Time) (Principal, error) {
	if t.Issuer == "" && t.JWKS == "" {
		if i.o.Platform == nil {
			return Principal{}, bad(reasonIssuer, "no issuer's tokens are for this tenant")
		}
		return i.o.Platform.Verify(ctx, token, now)
	}
	own, err := i.ownOf(t)
	if err != nil {
		return Principal{}, fmt.Errorf("using the issuer of tenant %q: %w: %w", t.Slug, ErrNoKeys, err)
	}
	p, err := own.Verify(ctx, token, now)
	if errors.Is(err, ErrNoKeys) {
		err = fmt.Errorf("using the issuer of tenant %q: %w: %w", t.Slug, ErrNoKeys, own.keys.Stats().LastError)
	}
	return p, err
}

// ownOf finds or opens the tenant's own issuer.
func (i *Issuers) ownOf(t *tenant.Tenant) (*ownIssuer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	name := ownName{t.Slug, t.Issuer, t.JWKS}
	own := i.own[name]
	if own == nil {
		var err error
		if own, err = i.open(t); err != nil {
			return nil, err
		}
		i.own[name] = own
		if i.timer == nil {
			i.timer = time.AfterFunc(i.o.idle/2, i.sweep)
		}
	}
	own.used = time.Now()
	return own, nil
}

// open opens a tenant's issuer; the caller holds mu. Its keys are fetched in the
// background.
func (i *Issuers) open(t *tenant.Tenant) (*ownIssuer, error) {
	if i.closed {
		return nil, errors.New("closed")
	}
	if len(i.own) >= i.o.most {
		i.closeUnused(makeRoom)
	}
	if len(i.own) >= i.o.most {
		return nil, fmt.Errorf("expected at most %d issuers in use at one time", i.o.most)
	}
	if t.Issuer == "" || t.JWKS == "" {
		return nil, errors.New("expected both an issuer and a JWKS URL")
	}
	fetcher, err := i.o.Fetcher(t.JWKS)
	if err != nil {
		return nil, err
	}
	keys := OpenRemote(fetcher, i.o.Remote)
	o := i.o.Own
	o.Keys, o.Issuer, o.Tenant = keys, t.Issuer, t.Slug
	verifier, err := NewVerifier(o)
	if err != nil {
		_ = keys.Close()
		return nil, err
	}
	return &ownIssuer{Verifier: verifier, keys: keys}, nil
}

// closeUnused closes those without a request for so long; the caller holds mu.
// Closing waits for a fetch that is cut off, so it is done aside. A request that
// has the verifier still reads its keys.
func (i *Issuers) closeUnused(since time.Duration) {
	for name, own := range i.own {
		if time.Since(own.used) >= since {
			delete(i.own, name)
			go func() { _ = own.keys.Close() }()
		}
	}
}

// sweep closes what has been idle, and comes again as long as there is
// something.
func (i *Issuers) sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closeUnused(i.o.idle)
	if i.timer = nil; len(i.own) > 0 && !i.closed {
		i.timer = time.AfterFunc(i.o.idle/2, i.sweep)
	}
}

// Close ends all fetching and waits for it. Further calls do nothing.
func (i *Issuers) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.timer != nil {
		i.timer.Stop()
	}
	for name, own := range i.own {
		delete(i.own, name)
		_ = own.keys.Close()
	}
	return nil
}
