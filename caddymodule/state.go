package caddymodule

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// stateKey is the request variable that holds the *state.
const stateKey = "tenancy"

// state is what one request knows about its tenant. The tenant handler makes
// it, once; the handlers behind it only read it.
type state struct {
	app    *App
	tenant *tenant.Tenant  // never nil once the tenant handler has let the request pass
	plan   tenant.Plan     // the tenant's, or the default plan
	source string          // which resolvers answered
	prefix string          // the path prefix that was the slug, escaped; "" if none
	client netip.Addr      // whom limits count, as ratelimit.ClientKey has it
	series *series         // the tenant's metrics
	user   *auth.Principal // nil for nobody
	listed time.Time       // when the list that has the tenant was read
	stream *stream         // nil unless the request asks for an answer without end
	// fault is that of the client's body: written by the goroutine that sends the
	// body on and read by the one that answers.
	fault atomic.Pointer[error]
}

// String keeps the value readable where somebody prints the variable.
func (s *state) String() string {
	if s == nil || s.tenant == nil {
		return ""
	}
	return s.tenant.Slug.String()
}

// stateOf returns the request's state, or nil if no tenant handler ran.
func stateOf(ctx context.Context) *state {
	s, _ := caddyhttp.GetVar(ctx, stateKey).(*state)
	return s
}

// attach makes the state visible: to the handlers behind, as placeholders, and
// as a field of the access log.
func (s *state) attach(r *http.Request) {
	ctx := r.Context()
	caddyhttp.SetVar(ctx, stateKey, s)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(s.placeholder)
	}
}

// logTenant puts the tenant into the request's access-log entry.
func (s *state) logTenant(ctx context.Context) {
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("tenant", s.tenant.Slug.String()))
	}
}

// placeholder answers for the whole {tenant.*} family: a name that is not
// there is empty and not unknown, since Caddy sends unknown placeholders to
// the backend as they stand.
func (s *state) placeholder(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, "tenant.")
	if !ok {
		return nil, false
	}
	if s.tenant == nil {
		return "", true
	}
	switch name {
	case "slug":
		return s.tenant.Slug.String(), true
	case "id":
		return s.tenant.ID, true
	case "plan":
		return string(s.plan), true
	case "name":
		return s.tenant.Name, true
	case "source":
		return s.source, true
	case "path_prefix":
		return s.prefix, true
	case "user.id":
		if s.user != nil {
			return s.user.Subject, true
		}
	case "user.roles":
		if s.user != nil {
			return strings.Join(s.user.Roles, ","), true
		}
	}
	return "", true
}
