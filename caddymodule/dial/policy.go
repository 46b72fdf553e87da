// Package dial says which addresses the records of tenants may have a program
// connect to: upstreams, key sets, and whatever else a record names. Without
// such a policy a tenant could have the gateway ask its own admin interface, or
// a cloud's metadata service, and read the answer.
package dial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Policy says what may be dialled. The zero value is the default: whatever
// belongs to another machine. It is immutable.
type Policy struct {
	ranges  []netip.Prefix
	names   map[string]bool
	domains []string // each with a dot in front
}

// New reads a list of ranges, addresses, names and domains; only these may be
// dialled then. An empty list is the default.
func New(list []string) (Policy, error) {
	p := Policy{names: make(map[string]bool)}
	for _, text := range list {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			if prefix != prefix.Masked() {
				return p, fmt.Errorf("allow %q: expected %q: the range has bits behind its mask", text, prefix.Masked())
			}
			p.ranges = append(p.ranges, prefix)
		} else if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			p.ranges = append(p.ranges, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		} else if domain, ok := strings.CutPrefix(text, "."); ok && plainHost(domain) {
			p.domains = append(p.domains, "."+domain)
		} else if plainHost(text) {
			p.names[text] = true
		} else {
			return p, fmt.Errorf("allow %q: expected a range (10.20.0.0/16), an address, a name or a domain (.backend.example), in lower case", text)
		}
	}
	return p, nil
}

// plainHost reports whether the text is a host name in normal form.
func plainHost(s string) bool {
	host, err := tenant.NormalizeHost(s)
	return err == nil && host == s
}

var (
	errNotListed = errors.New("not in the list of what is allowed")
	errThisHost  = errors.New("addresses of this machine and its link are allowed only when listed")
)

// Check returns nil if the host and port, as a record names them, may be
// dialled. It resolves nothing: where a name leads is for [Policy.Control].
func (p Policy) Check(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading address %q: expected HOST:PORT: %w", address, err)
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip, err := netip.ParseAddr(host)
	isIP := err == nil
	switch {
	case p.listed() && (isIP && p.hasAddr(ip.Unmap()) || !isIP && p.hasName(host)):
		return nil
	case p.listed():
		return errNotListed
	case isIP && !elsewhere(ip.Unmap()) || !isIP && meansThisHost(host):
		return errThisHost
	}
	return nil
}

// Control is for [net.Dialer]: it is asked about each address that a checked
// name leads to, so that a name cannot lead to this machine either. A name that
// is in the list may lead anywhere: whoever listed it answers for it.
func (p Policy) Control(_, address string, _ syscall.RawConn) error {
	if p.listed() {
		return nil
	}
	return p.Check(address)
}

func (p Policy) listed() bool { return len(p.ranges)+len(p.names)+len(p.domains) > 0 }

func (p Policy) hasAddr(ip netip.Addr) bool {
	for _, r := range p.ranges {
		if r.Contains(ip) {
			return true
		}
	}
	return false
}

func (p Policy) hasName(host string) bool {
	if p.names[host] {
		return true
	}
	for _, d := range p.domains {
		if strings.HasSuffix(host, d) {
			return true
		}
	}
	return false
}
