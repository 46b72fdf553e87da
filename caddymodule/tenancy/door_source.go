package tenancy

import (
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
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

// UnmarshalOption reads the option at which the dispenser is, if it is one of
// these; known says whether it is.
func (o *SourceOptions) UnmarshalOption(d *caddyfile.Dispenser) (known bool, err error) {
	switch d.Val() {
	case "interval":
		return true, DurationArg(d, &o.Interval)
	case "max_stale":
		return true, DurationArg(d, &o.MaxStale)
	}
	return false, nil
}

// Pace returns the options as the app asks for them.
func (o SourceOptions) Pace() (interval, maxStale time.Duration, err error) {
	if o.Interval < 0 || o.MaxStale < 0 {
		return 0, 0, errors.New("interval and max_stale: expected positive durations")
	}
	return time.Duration(o.Interval), time.Duration(o.MaxStale), nil
}
