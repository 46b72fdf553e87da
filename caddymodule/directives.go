package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// Everything that registers itself with Caddy does so here, in one init: the
// order of several plug-in directives in front of the same standard one is the
// order of these calls, and packages give no other guarantee.
func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Tenant))
	caddy.RegisterModule(new(Auth))
	caddy.RegisterModule(new(RateLimit))
	caddy.RegisterModule(new(Identity))
	caddy.RegisterModule(new(MatchTenant))
	caddy.RegisterModule(new(Permission))
	caddy.RegisterModule(new(Upstreams))
	caddy.RegisterModule(new(Admin))

	registerCommand()

	httpcaddyfile.RegisterGlobalOption("tenancy", parseApp)

	// In front of everything but tracing: nothing runs without a tenant, and
	// every other directive may use {tenant.slug}.
	httpcaddyfile.RegisterHandlerDirective("tenant", parseTenant)
	httpcaddyfile.RegisterDirectiveOrder("tenant", httpcaddyfile.Before, "map")
	httpcaddyfile.RegisterHandlerDirective("tenant_auth", parseAuth)
	httpcaddyfile.RegisterDirectiveOrder("tenant_auth", httpcaddyfile.Before, "map")
	httpcaddyfile.RegisterHandlerDirective("tenant_rate_limit", parseRateLimit)
	httpcaddyfile.RegisterDirectiveOrder("tenant_rate_limit", httpcaddyfile.Before, "map")

	// Behind request_header, which could undo it, and in front of handle and
	// route: ordered before reverse_proxy it would be skipped for a
	// reverse_proxy inside a handle block, and the request would go unsigned.
	httpcaddyfile.RegisterHandlerDirective("tenant_identity", parseIdentity)
	httpcaddyfile.RegisterDirectiveOrder("tenant_identity", httpcaddyfile.After, "request_header")
}
