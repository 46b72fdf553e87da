package httpauth

import (
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

// Parse reads the directive for a Caddyfile.
func Parse(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	a := new(Handler)
	if err := a.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return a, nil
}

// UnmarshalCaddyfile reads the directive. Exactly one of jwks, key_file and
// secret is needed, or api_keys, or both:
//
//	tenant_auth [<matcher>] {
//	    jwks         <url>
//	    key_file     <path>
//	    secret       <placeholder>
//	    algorithms   <names...>
//	    issuer       <iss>
//	    audience     <aud>
//	    leeway       <duration>
//	    max_lifetime <duration>
//	    max_stale    <duration>
//	    tenant_claim <name>
//	    roles_claim  <name>
//	    api_keys
//	    optional
//	    on_foreign   404|403
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		text := map[string]*string{
			"jwks": &h.JWKS, "key_file": &h.KeyFile, "secret": &h.Secret, "issuer": &h.Issuer,
			"audience": &h.Audience, "tenant_claim": &h.TenantClaim, "roles_claim": &h.RolesClaim,
		}[option]
		switch {
		case text != nil:
			if !d.AllArgs(text) || *text == "" {
				return d.Errf("%s: expected one value", option)
			}
		case option == "algorithms":
			if h.Algorithms = d.RemainingArgs(); len(h.Algorithms) == 0 {
				return d.Err("algorithms: expected names, as in RS256 ES256 EdDSA")
			}
		case option == "leeway":
			if err := tenancy.DurationArg(d, &h.Leeway); err != nil {
				return err
			}
		case option == "max_lifetime":
			if err := longDuration(d, &h.MaxLifetime); err != nil {
				return err
			}
		case option == "max_stale":
			if err := longDuration(d, &h.MaxStale); err != nil {
				return err
			}
		case option == "optional", option == "api_keys":
			if d.NextArg() {
				return d.ArgErr()
			}
			h.Optional, h.APIKeys = h.Optional || option == "optional", h.APIKeys || option == "api_keys"
		case option == "on_foreign":
			var status string
			if !d.AllArgs(&status) || (status != "404" && status != "403") {
				return d.Err("on_foreign: expected 404 or 403")
			}
			h.OnForeign, _ = strconv.Atoi(status)
		default:
			return d.Errf("unknown option %q; expected jwks, key_file, secret, algorithms, issuer, audience, leeway, max_lifetime, max_stale, tenant_claim, roles_claim, api_keys, optional or on_foreign", option)
		}
	}
	sources := 0
	for _, s := range []string{h.JWKS, h.KeyFile, h.Secret} {
		if s != "" {
			sources++
		}
	}
	if sources > 1 || (sources == 0 && !h.APIKeys) {
		return d.Err("tenant_auth: expected exactly one of jwks, key_file and secret, or api_keys")
	}
	return nil
}

// longDuration reads the one argument of an option as a duration of more than 0 and at
// most ten years, as in 720h or 30d.
func longDuration(d *caddyfile.Dispenser, into *caddy.Duration) error {
	var text string
	option := d.Val()
	if !d.AllArgs(&text) {
		return d.Errf("%s: expected one duration, as in 24h", option)
	}
	v, err := caddy.ParseDuration(text)
	if err != nil || v <= 0 || v > 10*365*24*time.Hour {
		return d.Errf("%s: bad duration %q; expected more than 0, as in 24h", option, text)
	}
	*into = caddy.Duration(v)
	return nil
}

var _ caddyfile.Unmarshaler = (*Handler)(nil)
