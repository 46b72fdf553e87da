package control

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// challengeLabel is where the proof of a host's ownership is in DNS.
const challengeLabel = "_caddy-tenancy-challenge."

// registration turns what people type into the form that DNS has (UTS 46,
// without the transitional mappings). It is applied when a host is registered
// and never when a request is resolved: there, two spellings that map to one
// name would be two ways to a tenant.
var registration = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.BidiRule(), idna.ValidateLabels(true), idna.VerifyDNSLength(true),
)

// specialDomains are not delegated to anybody (RFC 6761, RFC 6762, RFC 7686,
// RFC 9476), so that nobody can own a name in them.
var specialDomains = []string{"localhost", "local", "internal", "invalid", "onion", "arpa", "alt"}

// ownHost returns a domain that a tenant may claim in normal form, or says in
// bad what is wrong with it.
func (c *Catalog) ownHost(bad *petstore.Invalid, s string) string {
	if len(s) > 4*tenant.MaxHostLen {
		bad.Add("host", "expected a domain name")
		return ""
	}
	name, err := registration.ToASCII(strings.TrimSuffix(s, "."))
	if err == nil {
		name, err = tenant.NormalizeHost(name)
	}
	suffix, _ := publicsuffix.PublicSuffix(name)
	switch {
	case err != nil || strings.Contains(s, ":"):
		bad.Add("host", "expected a domain name, as in pets.customer.example, without a scheme, a port or a path")
	case c.isPlatforms(name):
		bad.Add("host", "the domain is the platform's own")
	case name == suffix || !strings.Contains(name, "."):
		bad.Add("host", "expected a domain that one customer can own")
	case isSpecial(name):
		bad.Add("host", "expected a domain of the public DNS")
	case len(challengeLabel)+len(name) > tenant.MaxHostLen:
		bad.Add("host", "expected at most %d characters", tenant.MaxHostLen-len(challengeLabel))
	default:
		return name
	}
	return ""
}

// isPlatforms reports whether the host is the base domain, in it, or above it.
func (c *Catalog) isPlatforms(host string) bool {
	return c.baseDomain != "" && (host == c.baseDomain || strings.HasSuffix(host, "."+c.baseDomain) || strings.HasSuffix(c.baseDomain, "."+host))
}

func isSpecial(host string) bool {
	for _, domain := range specialDomains {
		if strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}
