package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// IdentityConfig says how the backend is told which tenant a request is for.
type IdentityConfig struct {
	// The PEM file with the Ed25519 keys that sign; made with mode 0600 at the
	// first start. The public halves are published beside it, with the ending
	// `.jwks.json`. Required by `tenant_identity`.
	Key string `json:"key,omitempty"`

	// Whom the statement is for; the backend refuses any other. Default:
	// `petstore`.
	Audience string `json:"audience,omitempty"`

	// Who signs. Default: `caddy-tenancy`.
	Issuer string `json:"issuer,omitempty"`

	// How long a statement is good for, at least 2s. Default: 30s.
	TTL caddy.Duration `json:"ttl,omitempty"`
}

// lazySigner makes the key file when it is first needed and not before, since
// validating a configuration must not write.
type lazySigner struct {
	config   IdentityConfig
	fallback tenant.Plan
	once     sync.Once
	signer   *identity.Signer
	err      error
}

// configure checks what can be checked without writing: a key file that is
// there must be good.
func (l *lazySigner) configure(c IdentityConfig, fallback tenant.Plan) error {
	l.config, l.fallback = c, fallback
	if ttl := time.Duration(c.TTL); ttl != 0 && ttl < 2*time.Second {
		return fmt.Errorf("tenancy: identity ttl %v; expected at least 2s", ttl)
	}
	if c.Key == "" {
		return nil
	}
	if _, err := identity.LoadKeys(c.Key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tenancy: %w", err)
	}
	return nil
}

// load makes the signer, and the key file if there is none. Without a
// configured key it does nothing.
func (l *lazySigner) load() error {
	if l.config.Key == "" {
		return nil
	}
	_, err := l.get()
	return err
}

// get returns the signer; the first call may write the key file.
func (l *lazySigner) get() (*identity.Signer, error) {
	l.once.Do(func() {
		keys, err := identity.LoadOrCreateKeys(l.config.Key)
		if err != nil {
			l.err = fmt.Errorf("tenancy: %w", err)
			return
		}
		l.signer, l.err = identity.NewSigner(identity.SignerOptions{
			Keys: keys, Issuer: l.config.Issuer, Audience: l.config.Audience, TTL: time.Duration(l.config.TTL),
			DefaultPlan: l.fallback,
		})
	})
	return l.signer, l.err
}
