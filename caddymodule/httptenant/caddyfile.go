package httptenant

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

// Parse reads the directive for a Caddyfile.
func Parse(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	t := new(Handler)
	if err := t.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return t, nil
}

const expectedWay = "expected host DOMAIN, path, header NAME, key or several of them"

// UnmarshalCaddyfile reads the directive. One way to find the tenant fits on
// its line; several go into a block, and must then agree on each request:
//
//	tenant [<matcher>] <way> ...
//	tenant [<matcher>] {
//	    host   <domain>
//	    path   [keep]
//	    header [<name>]
//	    key
//	    <way> ...
//	}
//
// Each way is read by the module tenancy.resolvers.WAY.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	seen := make(map[string]bool)
	if d.NextArg() {
		// What is behind the first way on its line is that way's alone; a block there
		// holds further ones.
		line := []caddyfile.Token{d.Token()}
		for d.NextArg() {
			line = append(line, d.Token())
		}
		if err := h.unmarshalWay(d, caddyfile.NewDispenser(line), seen); err != nil {
			return err
		}
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalWay(d, d.NewFromNextSegment(), seen); err != nil {
			return err
		}
	}
	if len(h.ResolversRaw) == 0 {
		return d.Err("tenant: " + expectedWay)
	}
	return nil
}

// unmarshalWay reads one way to find the tenant, which is all that segment has.
func (h *Handler) unmarshalWay(d, segment *caddyfile.Dispenser, seen map[string]bool) error {
	segment.Next()
	way := segment.Val()
	segment.Reset()
	if seen[way] {
		return d.Errf("%s: given twice", way)
	}
	seen[way] = true
	info, err := caddy.GetModule("tenancy.resolvers." + way)
	if err != nil {
		return d.Errf("unknown way to find the tenant %q; expected %s", way, tenancy.Guests("tenancy.resolvers"))
	}
	guest, ok := info.New().(caddyfile.Unmarshaler)
	if !ok {
		return d.Errf("module %s can't be configured in a Caddyfile", info.ID)
	}
	if err := guest.UnmarshalCaddyfile(segment); err != nil {
		return err
	}
	h.ResolversRaw = append(h.ResolversRaw, caddyconfig.JSONModuleObject(guest, "type", way, nil))
	return nil
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
