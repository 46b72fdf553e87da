package auth

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// IssuersOptions shape [Issuers]. Zero values mean the defaults given.
type IssuersOptions struct {
	// Platform verifies the tokens of tenants without an issuer of their own;
	// nil means that none of theirs is good.
	Platform *Verifier
	// Own are the options of the verifiers of tenants' own issuers. Keys, Issuer
	// and Tenant are each tenant's.
	Own Options
	// Remote are those of the fetchers of their keys.
	Remote RemoteOptions
	// Fetcher reads keys from a tenant's URL: [HTTPFetcher].
	Fetcher func(url string) (Fetcher, error)
	// Most is how many tenants' keys are kept up to date at one time: 512.
	Most int
	// Idle is how long they are without a request for them: 10 minutes.
	Idle time.Duration
	// Now is the clock: time.Now.
	Now func() time.Time
}

// Issuers chooses the verifier for a tenant's requests. A tenant with an
// issuer of its own is served by that one alone: neither do the platform's
// tokens open it, nor do its issuer's tokens open another tenant. The choice
// is made by the record of the tenant the request is for, never by what a
// token claims, so that a changed record is in force with the snapshot it is in.
//
// The keys of a tenant's issuer are fetched from its first token on, and no
// longer when nobody uses them. It is safe for concurrent use; once a tenant's
// issuer is known, a choice takes no lock.
type Issuers struct {
	o   IssuersOptions
	own sync.Map // ownName to *ownIssuer

	mu     sync.Mutex // guards opening and closing
	open   int
	closed bool
	sweeps *time.Timer
}

// ownName is all that shapes a tenant's own verifier.
type ownName struct {
	slug         tenant.Slug
	issuer, jwks string
}

// ownIssuer is the verifier of one tenant's issuer and its keys.
type ownIssuer struct {
	verifier *Verifier
	quiet    *Verifier // the same, for [Issuers.Member]: it fetches and remembers nothing
	keys     *Remote
	used     atomic.Int64 // when, in Unix nanoseconds
}

// NewIssuers returns a choice. Close ends what it fetches.
func NewIssuers(o IssuersOptions) *Issuers {
	if o.Fetcher == nil {
		o.Fetcher = func(url string) (Fetcher, error) { return HTTPFetcher(url, HTTPOptions{}) }
	}
	if o.Most <= 0 {
		o.Most = 512
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Issuers{o: o}
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
	own, err := i.ownOf(t) //nolint:contextcheck // a fetch is everybody's: it must not end with this request
	if err != nil {
		return Principal{}, fmt.Errorf("using the issuer of tenant %q: %w: %w", t.Slug, ErrNoKeys, err)
	}
	p, err := own.verifier.Verify(ctx, token, now)
	if err != nil && Reason(err) == "no_keys" {
		err = fmt.Errorf("using the issuer of tenant %q: %w: %w", t.Slug, ErrNoKeys, own.keys.Stats().LastError)
	}
	return p, err
}

// ownOf finds or opens the tenant's own issuer.
func (i *Issuers) ownOf(t *tenant.Tenant) (*ownIssuer, error) {
	name, now := ownName{t.Slug, t.Issuer, t.JWKS}, i.o.Now().UnixNano()
	if v, ok := i.own.Load(name); ok {
		own := v.(*ownIssuer)
		if now-own.used.Load() > int64(time.Second) { // seldom written, often read
			own.used.Store(now)
		}
		return own, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if v, ok := i.own.Load(name); ok {
		return v.(*ownIssuer), nil
	}
	if i.closed {
		return nil, errIssuersClosed
	}
	if i.open >= i.o.Most && !i.evict(now) {
		return nil, fmt.Errorf("expected at most %d issuers in use at one time", i.o.Most)
	}
	own, err := i.make(t)
	if err != nil {
		return nil, err
	}
	own.used.Store(now)
	i.own.Store(name, own)
	if i.open++; i.sweeps == nil {
		i.sweeps = time.AfterFunc(i.o.Idle/2, i.sweep)
	}
	return own, nil
}

// make opens a tenant's issuer. Its keys are fetched in the background.
func (i *Issuers) make(t *tenant.Tenant) (*ownIssuer, error) {
	if t.Issuer == "" || t.JWKS == "" {
		return nil, errHalfIssuer
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
	o.Keys, o.CacheSize = quietKeys{keys}, -1
	quiet, err := NewVerifier(o)
	if err != nil {
		_ = keys.Close()
		return nil, err
	}
	return &ownIssuer{verifier: verifier, quiet: quiet, keys: keys}, nil
}

var (
	errIssuersClosed = constError("closed")
	errHalfIssuer    = constError("expected both an issuer and a JWKS URL")
)

// constError is an error of fixed text.
type constError string

func (e constError) Error() string { return string(e) }

// evictAfter is how long an issuer must have been without a request to make
// room for another. Without it, a flood of requests for many tenants would have
// their keys fetched again and again.
const evictAfter = time.Minute

// evict closes the issuer that was not used for the longest time, if that is
// long enough. The caller holds mu.
func (i *Issuers) evict(now int64) bool {
	var oldest any
	var since int64
	i.own.Range(func(name, v any) bool {
		if used := v.(*ownIssuer).used.Load(); oldest == nil || used < since {
			oldest, since = name, used
		}
		return true
	})
	if oldest == nil || now-since < int64(evictAfter) {
		return false
	}
	i.drop(oldest)
	return true
}

// drop closes one issuer; the caller holds mu. Closing waits for a fetch that
// is cut off, so it is done aside. A request that has the verifier still reads
// its keys.
func (i *Issuers) drop(name any) {
	if v, ok := i.own.LoadAndDelete(name); ok {
		i.open--
		go func() { _ = v.(*ownIssuer).keys.Close() }()
	}
}

// sweep closes what has been idle, and comes again as long as there is
// something.
func (i *Issuers) sweep() {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.o.Now().UnixNano()
	i.own.Range(func(name, v any) bool {
		if now-v.(*ownIssuer).used.Load() >= int64(i.o.Idle) {
			i.drop(name)
		}
		return true
	})
	if i.sweeps = nil; i.open > 0 && !i.closed {
		i.sweeps = time.AfterFunc(i.o.Idle/2, i.sweep)
	}
}

// Open is the number of tenants whose own issuer's keys are kept up to date.
func (i *Issuers) Open() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.open
}

// Close ends all fetching and waits for it. Further calls do nothing.
func (i *Issuers) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.sweeps != nil {
		i.sweeps.Stop()
	}
	i.own.Range(func(name, v any) bool {
		i.own.Delete(name)
		i.open--
		_ = v.(*ownIssuer).keys.Close()
		return true
	})
	return nil
}
