package tenancy

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
)

// SourceModule is a module in the namespace tenancy.sources: where the tenants
// come from. In a Caddyfile, `source NAME ...` is read by the UnmarshalCaddyfile
// of the module tenancy.sources.NAME.
//
// Provision replaces placeholders and checks what can be checked without I/O, since
// `caddy validate` runs it too; errors name the option and what was expected.
type SourceModule interface {
	caddy.Module

	// OpenSource returns a source of its own at each call; it does no I/O. The app
	// reads it in the background, and closes it. It may outlive the configuration:
	// it holds no logger and no context of it.
	OpenSource() (registry.Source, error)
}

// CredentialsModule is a [SourceModule] that has API keys and revocations too.
type CredentialsModule interface {
	SourceModule

	// OpenCredentials is to them what OpenSource is to the tenants.
	OpenCredentials() (registry.CredentialSource, error)
}

// SourceOptions are options that every source has, if its module embeds them.
type SourceOptions struct {
	// How often the source is asked whether something changed. Default: what
	// suits the source, at most 500ms.
	Interval caddy.Duration `json:"interval,omitempty"`

	// When the source could not be read for so long, requests get 503 instead of
	// being served by an old list. Default: the old list is served for good.
	MaxStale caddy.Duration `json:"max_stale,omitempty"`
}

// UnmarshalSource reads the line and the block of a source, from its name on: the
// address, these options, and the source's own, each read by its function when the
// dispenser is at its name. Expected is the error for a line without one address.
func (o *SourceOptions) UnmarshalSource(d *caddyfile.Dispenser, address *string, expected string, own map[string]func() error) error {
	d.Next() // the source's name
	if !d.AllArgs(address) {
		return d.Err(expected)
	}
	options := map[string]func() error{
		"interval":  func() error { return DurationArg(d, &o.Interval) },
		"max_stale": func() error { return DurationArg(d, &o.MaxStale) },
	}
	maps.Copy(options, own)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		read, known := options[d.Val()]
		if !known {
			names := strings.Join(append(slices.Sorted(maps.Keys(own)), "interval"), ", ")
			return d.Errf("source: unknown option %q; expected %s or max_stale", d.Val(), names)
		}
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// Pace returns the options as the app asks for them.
func (o SourceOptions) Pace() (interval, maxStale time.Duration, err error) {
	if o.Interval < 0 || o.MaxStale < 0 {
		return 0, 0, errors.New("interval and max_stale: expected positive durations")
	}
	return time.Duration(o.Interval), time.Duration(o.MaxStale), nil
}

// ResolverModule is a module in the namespace tenancy.resolvers: a way to find out
// whom a request is for. In a Caddyfile, the line `NAME ...` in a `tenant` block is
// read by the UnmarshalCaddyfile of the module tenancy.resolvers.NAME.
type ResolverModule interface {
	caddy.Module

	// OpenResolver returns the resolver; it does no I/O.
	OpenResolver() (resolve.Resolver, error)
}

// LimiterModule is a module in the namespace tenancy.limiters: where requests are
// counted. In a Caddyfile, the line `NAME ...` in the `tenancy` block is read by the
// UnmarshalCaddyfile of the module tenancy.limiters.NAME.
//
// Provision replaces placeholders and checks what can be checked without I/O, since
// `caddy validate` runs it too; errors name the option and what was expected.
type LimiterModule interface {
	caddy.Module

	// OpenLimiter returns a limiter of its own at each call; it does no I/O: a store
	// that is down when the gateway starts is one that fails later. Limits are not
	// part of it, they travel with each request, so that counts survive a change of
	// plans. The limiter may outlive the configuration: it holds no logger and no
	// context of it. nil, without an error, means that the app counts in this
	// process.
	OpenLimiter() (limit.Limiter, error)
}

// SinkModule is a module in the namespace tenancy.sinks: where audit records go. In
// a Caddyfile, `audit NAME ...` is read by the UnmarshalCaddyfile of the module
// tenancy.sinks.NAME, whose first token is NAME.
//
// Provision replaces placeholders and checks what can be checked without I/O, since
// `caddy validate` runs it too.
type SinkModule interface {
	caddy.Module

	// OpenSink returns a sink of its own at each call; it does no I/O. The sink may
	// outlive the configuration: it holds no logger and no context of it.
	//
	// It may be an [audit.SignedSink], which needs `identity_key`, an
	// [audit.PreparedSink] and an [audit.BatchingSink].
	OpenSink() (audit.Sink, error)
}
