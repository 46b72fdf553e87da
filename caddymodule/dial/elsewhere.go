package dial

import (
	"net/netip"
	"strings"
)

// special are ranges whose addresses are of no other machine, or are another
// machine's to interpret.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("255.255.255.255/32"),
	// Metadata services outside of the link-local ranges: AWS by IPv6, Oracle,
	// Alibaba.
	netip.MustParsePrefix("fd00:ec2::254/128"), netip.MustParsePrefix("192.0.0.192/32"), netip.MustParsePrefix("100.100.100.200/32"),
	// Ranges by which IPv6 reaches IPv4 addresses (RFC 6052, RFC 8215, RFC 3056,
	// RFC 4380).
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("::/96"),
}

// elsewhere reports whether the address is that of another machine.
func elsewhere(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return false
	}
	for _, r := range special {
		if r.Contains(ip.WithZone("")) {
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
