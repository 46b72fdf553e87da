// Package upstreams is the module http.reverse_proxy.upstreams.tenant: in a
// Caddyfile, `dynamic tenant`.
package upstreams

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/dial"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func init() { caddy.RegisterModule(new(Upstreams)) }

// Upstreams sends a tenant's requests to the backends that its record names,
// and those of all other tenants to the backends that tenants share. It reads
// the index in memory: a change of a record is in force without a reload.
//
// Health checks, balancing and retries are reverse_proxy's; its active health
// checks know static upstreams only.
//
// A request without a tenant, and one for a backend that is not allowed, finds
// no upstream and gets 503; it is never sent to another backend instead.
type Upstreams struct {
	// Where the requests of tenants without backends of their own go, as in
	// `127.0.0.1:9000`. Without it they get 503.
	Default []string `json:"default,omitempty"`

	// What tenants' records may name: address ranges (`10.20.0.0/16`), addresses,
	// host names (`acme.backend.example`) and all names under a domain
	// (`.backend.example`). Default: what `allow_dial` of the app says. What a name
	// resolves to is not looked at: whoever may write records and is not
	// trusted with the network needs a list here.
	Allow []string `json:"allow,omitempty"`

	log     *zap.Logger
	shared  []string
	allowed dial.Policy
	sampled *rate.Limiter
}

// CaddyModule returns the module's identity.
func (*Upstreams) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.upstreams.tenant", New: func() caddy.Module { return new(Upstreams) }}
}

// Provision reads the addresses.
func (u *Upstreams) Provision(ctx caddy.Context) error {
	u.log = ctx.Logger()
	u.sampled = tenancy.Sampler()
	app, err := tenancy.AppOf(ctx, "dynamic tenant")
	if err != nil {
		return err
	}
	repl := caddy.NewReplacer()
	for _, text := range u.Default {
		address, err := tenant.ParseUpstream(repl.ReplaceAll(text, ""))
		if err != nil {
			return fmt.Errorf("dynamic tenant: default: %w", err)
		}
		u.shared = append(u.shared, address)
	}
	if u.allowed = app.DialPolicy(); len(u.Allow) == 0 {
		return nil
	}
	if u.allowed, err = dial.New(u.Allow); err != nil {
		return fmt.Errorf("dynamic tenant: %w", err)
	}
	return nil
}

// GetUpstreams returns where the request may go; reverse_proxy answers 503 if
// that is nowhere. It never returns an error: reverse_proxy would then use its
// static upstreams, and a tenant's requests would reach a backend that is not
// its own.
func (u *Upstreams) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	q := tenancy.FromContext(r.Context())
	if q == nil {
		if u.sampled.Allow() {
			u.log.Error("the directive 'tenant' does not cover this request: no upstream", zap.String("uri", r.RequestURI))
		}
		return nil, nil
	}
	own := q.Tenant().Upstreams
	if len(own) == 0 {
		return candidates(u.shared), nil
	}
	for _, address := range own {
		// One that is not allowed takes the others with it: who wrote it meant
		// something, and half of it may be worse than nothing.
		if err := u.allowed.Check(address); err != nil {
			if u.sampled.Allow() {
				u.log.Error("a tenant's record names an upstream that is not allowed; its requests get 503",
					zap.String("tenant", q.String()), zap.String("upstream", address), zap.Error(err))
			}
			return nil, nil
		}
	}
	return candidates(own), nil
}

// candidates makes values that reverse_proxy may write to: it fills them in,
// so that they must not be shared between requests.
func candidates(addresses []string) []*reverseproxy.Upstream {
	values := make([]reverseproxy.Upstream, len(addresses))
	list := make([]*reverseproxy.Upstream, len(addresses))
	for i, address := range addresses {
		values[i].Dial = address
		list[i] = &values[i]
	}
	return list
}

var (
	_ caddy.Provisioner           = (*Upstreams)(nil)
	_ reverseproxy.UpstreamSource = (*Upstreams)(nil)
)
