package tenancy

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
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

	// How long a statement is good for, from 2s to 10m. Default: 30s.
	TTL caddy.Duration `json:"ttl,omitempty"`
}

// keySigner signs by the keys of the file as it is now: a key that was stolen is out of
// use within a second of its removal, without a reload. The file is made when it is
// first needed and not before, since validating a configuration must not write.
type keySigner struct {
	config   IdentityConfig
	fallback tenant.Plan

	mu      sync.Mutex // guards the opening of the file
	file    *identity.KeyFile
	current atomic.Pointer[signing]
}

// signing is a signer and the ids of its keys.
type signing struct {
	*identity.Signer
	ids []string
}

// configure checks what can be checked without writing: a key file that is there must
// be good. A gateway that runs with a key needs one that is there: with a new one, all
// backends would refuse its requests.
func (k *keySigner) configure(c *IdentityConfig, fallback tenant.Plan, mustBeThere bool) error {
	for what, text := range map[string]*string{"identity_key": &c.Key, "audience": &c.Audience, "issuer": &c.Issuer} {
		if err := Replace(what, text); err != nil {
			return err
		}
	}
	k.config, k.fallback = *c, fallback
	if ttl := time.Duration(c.TTL); ttl != 0 && (ttl < 2*time.Second || ttl > identity.DefaultMaxTTL) {
		return fmt.Errorf("identity ttl %v; expected at least 2s, and at most %v, which is what backends believe", ttl, identity.DefaultMaxTTL)
	}
	if c.Key == "" {
		return nil
	}
	_, err := identity.LoadKeys(c.Key)
	if errors.Is(err, fs.ErrNotExist) && !mustBeThere {
		return nil
	}
	return err
}

// get returns the signer; the first call may write the key file.
func (k *keySigner) get() (*identity.Signer, error) {
	if s := k.current.Load(); s != nil {
		return s.Signer, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.current.Load(); s != nil {
		return s.Signer, nil
	}
	file, err := identity.OpenKeyFile(k.config.Key)
	if err != nil {
		return nil, fmt.Errorf("tenancy: %w", err)
	}
	k.file = file
	return k.use(file.Keys())
}

func (k *keySigner) use(keys *identity.Keys) (*identity.Signer, error) {
	s, err := identity.NewSigner(identity.SignerOptions{
		Keys: keys, Issuer: k.config.Issuer, Audience: k.config.Audience, TTL: time.Duration(k.config.TTL), DefaultPlan: k.fallback,
	})
	if err == nil {
		k.current.Store(&signing{s, keys.KeyIDs()})
	}
	return s, err
}

// keysEvery is how often the key file is read: so soon a change is in force.
const keysEvery = time.Second

// startSigner makes the key file if there is none, and follows its changes for as long
// as the configuration runs. Without a configured key it does nothing.
func (a *App) startSigner() error {
	if a.Identity.Key == "" {
		return nil
	}
	k := &a.signer
	if _, err := k.get(); err != nil {
		return err
	}
	if err := k.file.Keys().Unpublished(); err != nil {
		a.log.Warn("the public keys can't be written beside the identity key; bring them to the backends in another way", zap.Error(err))
	}
	go func() {
		failed := false
		for tick := time.NewTicker(keysEvery); ; {
			select {
			case <-a.ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			keys, changed, err := k.file.Reload()
			if err == nil && changed {
				_, err = k.use(keys)
				a.log.Info("the identity key file has changed", zap.Strings("keys", keys.KeyIDs()))
			}
			if err != nil && !failed {
				a.log.Error("the identity key file can't be read; signing goes on with the keys of before", zap.Error(err))
			}
			failed = err != nil
		}
	}()
	return nil
}

// SigningKeys returns the ids of the keys in force, the signing one first; none without
// an identity key.
func (a *App) SigningKeys() []string {
	if s := a.signer.current.Load(); s != nil {
		return s.ids
	}
	return nil
}

// Sign returns the signed statement of whom a request is for and who its caller is.
func (a *App) Sign(q *Request, now time.Time) (string, error) {
	signer, err := a.signer.get()
	if err != nil {
		return "", err
	}
	if q.user == nil {
		return signer.SignUser(q.tenant, "", nil, now)
	}
	return signer.SignUser(q.tenant, q.user.Subject, q.user.Roles, now)
}

// MissingTenant is the answer of a handler in front of which no tenant directive ran:
// a mistake in the configuration that must not open anything.
func MissingTenant(log *zap.Logger, directive string) *problem.Problem {
	log.Error(directive + " needs the directive 'tenant' in the same site; refusing the request")
	return problem.Internal
}
