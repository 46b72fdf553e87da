package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// dialPolicy says which addresses the records of tenants may name. The zero
// value is the default: what belongs to somebody else's machine.
type dialPolicy struct {
	ranges  []netip.Prefix
	names   map[string]bool
	domains []string // each with a dot in front
}

// newDialPolicy reads a list of ranges, addresses, names and domains; an empty
// one is the default.
func newDialPolicy(list []string) (dialPolicy, error) {
	p := dialPolicy{names: make(map[string]bool)}
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

// check returns nil if the address, in the form of [tenant.ParseUpstream], may
// be dialled.
func (p dialPolicy) check(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	isIP := err == nil
	if len(p.ranges)+len(p.names)+len(p.domains) > 0 {
		if isIP && p.hasAddr(ip) || !isIP && p.hasName(host) {
			return nil
		}
		return errNotListed
	}
	if isIP && !dialable(ip) || !isIP && meansThisHost(host) {
		return errThisHost
	}
	return nil
}

func (p dialPolicy) hasAddr(ip netip.Addr) bool {
	for _, r := range p.ranges {
		if r.Contains(ip) {
			return true
		}
	}
	return false
}

func (p dialPolicy) hasName(host string) bool {
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

// cloudMetadata are metadata services outside of the link-local ranges: AWS by
// IPv6, Oracle, Alibaba.
var cloudMetadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("192.0.0.192"), netip.MustParseAddr("100.100.100.200"),
}

// translated are the ranges by which IPv6 reaches IPv4 addresses (RFC 6052,
// RFC 8215, RFC 3056, RFC 4380): what they mean is another network's to say.
var translated = []netip.Prefix{
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("0.0.0.0/8"),
}

// dialable reports whether the address is that of another machine.
func dialable(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	for _, service := range cloudMetadata {
		if ip == service {
			return false
		}
	}
	for _, r := range translated {
		if r.Contains(ip) {
			return false
		}
	}
	return true
}

// meansThisHost reports whether the name is by convention one of this machine
// (RFC 6761, section 6.3) or of a cloud's metadata service.
func meansThisHost(host string) bool {
	switch host {
	case "localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "metadata", "metadata.google.internal", "instance-data":
		return true
	}
	return strings.HasSuffix(host, ".localhost")
}
