// Package http is the source of tenants `http`: a feed that any backend can offer.
package http

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Source)) }

// Source reads the tenants from a feed at a URL: application/json as package jsonrows
// reads it. The server may say when nothing has changed (ETag), wait until something
// has (RFC 7240, section 4.3), tell only what has (a cursor), and say that an empty
// list is meant ("empty": true): docs/registry.md has the protocol. Redirects are not
// followed, since they could take the credential elsewhere.
type Source struct {
	// The URL. Placeholders are replaced.
	Address string `json:"address"`

	// Headers to send, such as a credential. Placeholders such as
	// `{env.FEED_TOKEN}` in the values keep it out of the configuration. Default:
	// none.
	Headers map[string]string `json:"headers,omitempty"`

	// How long the server may wait for a change before it answers that there is
	// none. Default: it is asked at intervals, and not told to wait.
	LongPoll caddy.Duration `json:"long_poll,omitempty"`

	tenancy.SourceOptions
}

// CaddyModule implements [caddy.Module].
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sources.http", New: func() caddy.Module { return new(Source) }}
}

// Provision implements [caddy.Provisioner].
func (s *Source) Provision(caddy.Context) error {
	repl := caddy.NewReplacer()
	s.Address = repl.ReplaceAll(s.Address, "")
	if s.Address == "" {
		return fmt.Errorf("tenancy: the address of the source %q is empty", "http")
	}
	if s.LongPoll < 0 {
		return errors.New("long_poll: expected a positive duration")
	}
	for name, value := range s.Headers {
		s.Headers[name] = repl.ReplaceAll(value, "")
	}
	_, err := s.OpenSource()
	return err
}

// OpenSource implements [tenancy.SourceModule].
func (s *Source) OpenSource() (registry.Source, error) {
	header := make(http.Header, len(s.Headers))
	for name, value := range s.Headers {
		header.Set(name, value)
	}
	opened, err := newSource(s.Address, header, time.Duration(s.LongPoll))
	if err == nil && s.LongPoll > 0 {
		return listener{opened}, nil
	}
	return opened, err
}

// UnmarshalCaddyfile reads the source in a `tenancy` block:
//
//	source http <url> {
//	    header    <name> <value>
//	    long_poll <duration>
//	    interval  <duration>
//	    max_stale <duration>
//	}
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return s.UnmarshalSource(d, &s.Address, "source http: expected the URL of a feed", map[string]func() error{
		"header": func() error {
			var name, value string
			if !d.AllArgs(&name, &value) || name == "" {
				return d.Err("header: expected a name and a value")
			}
			if s.Headers == nil {
				s.Headers = make(map[string]string)
			}
			s.Headers[name] = value
			return nil
		},
		"long_poll": func() error { return tenancy.DurationArg(d, &s.LongPoll) },
	})
}

// Interface guards.
var (
	_ tenancy.SourceModule  = (*Source)(nil)
	_ caddy.Provisioner     = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Source)(nil)
)
