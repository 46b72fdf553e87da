// Package http is the sink `http` of the audit log: a backend that takes records.
package http

import (
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink posts records to a URL, in batches, signed by the identity key; a backend
// of any kind can take them. What it could not take is posted again until it does.
type Sink struct {
	// Where records are posted, with http or https. Placeholders are replaced, so
	// that they can keep it out of the configuration. Required.
	URL string `json:"url,omitempty"`
}

// CaddyModule describes the module to Caddy.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sinks.http", New: func() caddy.Module { return new(Sink) }}
}

// Provision replaces placeholders and checks the URL.
func (s *Sink) Provision(caddy.Context) error {
	if s.URL = caddy.NewReplacer().ReplaceAll(s.URL, ""); s.URL == "" {
		return errors.New("the URL of the audit receiver is empty")
	}
	_, err := audit.NewHTTP(s.URL)
	return err
}

// OpenSink implements [tenancy.SinkModule].
func (s *Sink) OpenSink() (audit.Sink, error) { return audit.NewHTTP(s.URL) }

// UnmarshalCaddyfile reads `audit http <url>`, beginning at the word "http".
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&s.URL) || s.URL == "" {
		return d.Err("audit: expected 'file PATH', 'log' or 'http URL', each at most once")
	}
	if !strings.Contains(s.URL, "{") { // else what the placeholder stands for is known later
		if _, err := audit.NewHTTP(s.URL); err != nil {
			return d.WrapErr(err)
		}
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("audit: unknown option %q; 'audit http' has none", d.Val())
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Sink)(nil)
	_ caddyfile.Unmarshaler = (*Sink)(nil)
	_ tenancy.SinkModule    = (*Sink)(nil)
)
