// Package caddymodule is caddy-tenancy as one import: every module of the house, and
// the order of its directives. It holds nothing else.
//
//	tenancy                              the app: configuration, life cycle, what handlers share
//	http.handlers.tenant                 who is it? strip, resolve, refuse
//	http.handlers.tenant_auth            does the caller belong to that tenant?
//	http.handlers.tenant_rate_limit      how much? headers or 429
//	http.handlers.tenant_identity        inject the tenant headers and the signed identity
//	http.matchers.tenant                 @gold tenant plan premium enterprise
//	http.reverse_proxy.upstreams.tenant  a tenant's own backends, or the shared ones
//	tls.permission.tenant                certificates only for the domains of active tenants
//	caddy.listeners.strict_http          no request that can be read in two ways
//	admin.api.tenancy                    list, show, explain, refresh
//	tenancy.sources.*                    sqlite, postgres, file, http: where tenants come from
//	tenancy.resolvers.*                  host, path, header, key: how a request names its tenant
//	tenancy.limiters.*                   memory, redis: where requests are counted
//	tenancy.sinks.*                      file, log, http: where the audit log goes
//
// A request goes one way: httptenant, httpauth, httplimit, httpidentity, reverse_proxy,
// and back out through tenancy.Request. Handlers know the app and not one another; the
// app knows no handler and no guest. docs/extending.md tells how to add a guest.
package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/httpauth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/httpidentity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/httplimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/httptenant"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/limiters/memory"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/limiters/redis"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolvers/header"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolvers/host"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolvers/key"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolvers/path"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sinks/file"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sinks/http"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sinks/log"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sources/file"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sources/http"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sources/postgres"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/sources/sqlite"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/stricthttp"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/admin"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/command"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/tlspermission"
	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule/upstreams"
)

// What is registered with Caddyfiles is registered here, in one init: the order of
// several plug-in directives in front of the same standard one is the order of these
// calls, and packages give no other guarantee.
func init() {
	httpcaddyfile.RegisterGlobalOption("tenancy", tenancy.ParseApp)

	// In front of everything but tracing: nothing runs without a tenant, and
	// every other directive may use {tenant.slug}.
	httpcaddyfile.RegisterHandlerDirective("tenant", httptenant.Parse)
	httpcaddyfile.RegisterDirectiveOrder("tenant", httpcaddyfile.Before, "map")
	httpcaddyfile.RegisterHandlerDirective("tenant_auth", httpauth.Parse)
	httpcaddyfile.RegisterDirectiveOrder("tenant_auth", httpcaddyfile.Before, "map")
	httpcaddyfile.RegisterHandlerDirective("tenant_rate_limit", httplimit.Parse)
	httpcaddyfile.RegisterDirectiveOrder("tenant_rate_limit", httpcaddyfile.Before, "map")

	// Behind request_header, which could undo it, and in front of handle and
	// route: ordered before reverse_proxy it would be skipped for a
	// reverse_proxy inside a handle block, and the request would go unsigned.
	httpcaddyfile.RegisterHandlerDirective("tenant_identity", httpidentity.Parse)
	httpcaddyfile.RegisterDirectiveOrder("tenant_identity", httpcaddyfile.After, "request_header")
}
