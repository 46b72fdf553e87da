package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// defaultHeader is the tenant header's usual name.
const defaultHeader = "X-Tenant-ID"

func parseTenant(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	t := new(Tenant)
	if err := t.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return t, nil
}

// UnmarshalCaddyfile reads the directive. One way to find the tenant fits on
// its line; several go into a block, and must then agree on each request:
//
//	tenant [<matcher>] host <domain>
//	tenant [<matcher>] path [keep]
//	tenant [<matcher>] header [<name>]
//	tenant [<matcher>] key
//	tenant [<matcher>] {
//	    host   <domain>
//	    path   [keep]
//	    header [<name>]
//	    key
//	}
//
// The header's name is X-Tenant-ID unless given.
func (h *Tenant) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		if err := h.unmarshalWay(d); err != nil {
			return err
		}
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalWay(d); err != nil {
			return err
		}
	}
	if h.Host == "" && !h.Path && h.Header == "" && !h.Key {
		return d.Err("tenant: expected host DOMAIN, path, header NAME, key or a block of them")
	}
	return nil
}

// unmarshalWay reads one way to find the tenant; the dispenser is at its name.
func (h *Tenant) unmarshalWay(d *caddyfile.Dispenser) error {
	way := d.Val()
	var twice bool
	switch way {
	case "host":
		twice = h.Host != ""
		if !d.AllArgs(&h.Host) {
			return d.Err("host: expected one domain, as in petstore.localhost")
		}
	case "path":
		twice = h.Path
		h.Path = true
		if d.NextArg() {
			if d.Val() != "keep" {
				return d.Errf("path: unknown option %q; expected 'keep' or nothing", d.Val())
			}
			h.KeepPath = true
		}
	case "header":
		twice = h.Header != ""
		h.Header = defaultHeader
		if d.NextArg() {
			h.Header = d.Val()
		}
	case "key":
		twice = h.Key
		h.Key = true
	default:
		return d.Errf("unknown way to find the tenant %q; expected host, path, header or key", way)
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	if twice {
		return d.Errf("%s: given twice", way)
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Tenant)(nil)
