package tenant

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ParseUpstream returns the address of a tenant's own backend in normal form:
// a host name as of [NormalizeHost] or an IP address, and a port from 1 to
// 65535, as in "10.20.0.7:8080", "[2001:db8::7]:8080" or
// "acme.backend.example:8080". There is no default port and no scheme.
//
// Everything else is refused, so that the result can't mean anything more to
// whoever dials it: no placeholder, no path to a socket, no zone of an IPv6
// address, no range of ports. Whether the address may be dialled is the
// gateway's configuration's to say. The error wraps [ErrMalformed].
func ParseUpstream(s string) (string, error) {
	address, err := parseUpstream(s)
	if err != nil {
		return "", fmt.Errorf("reading upstream %q: %w: %w", clip(s), ErrMalformed, err)
	}
	return address, nil
}

func parseUpstream(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("expected HOST:PORT, as in 10.20.0.7:8080")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", errors.New("expected a port from 1 to 65535")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return "", errors.New("expected an address without a zone")
		}
		return netip.AddrPortFrom(ip.Unmap(), uint16(n)).String(), nil
	}
	if s[0] == '[' || strings.Contains(host, ":") {
		return "", errors.New("expected a host name or an IP address")
	}
	if host, err = NormalizeHost(host); err != nil {
		return "", errors.New("expected a host name or an IP address")
	}
	return host + ":" + port, nil
}
