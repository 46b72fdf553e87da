package tenancy

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
)

// ResolverModule is a module in the namespace tenancy.resolvers: a way to find out
// whom a request is for. In a Caddyfile, the line `NAME ...` in a `tenant` block is
// read by the UnmarshalCaddyfile of the module tenancy.resolvers.NAME.
type ResolverModule interface {
	caddy.Module

	// OpenResolver returns the resolver; it does no I/O.
	OpenResolver() (resolve.Resolver, error)
}
