package limit

import "net/netip"

// Key names who is counted: a client of a tenant. Limits of level PerTenant
// ignore the client. Any bytes are allowed in Tenant; two different keys are
// never counted together.
type Key struct {
	Tenant string
	Client netip.Addr
}

// ClientKey returns the address under which a client is counted: an IPv4
// address as it is, also when it is written as an IPv6 one; an IPv6 address cut
// to its /64, because one customer is normally given at least a whole /64 and
// could otherwise rotate through it. Zones are dropped. The zero Addr stays
// zero: all clients without a known address share one count. It is
// idempotent.
func ClientKey(addr netip.Addr) netip.Addr {
	if !addr.IsValid() {
		return netip.Addr{}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	bytes := addr.As16()
	if v4 := [4]byte(bytes[12:]); embedsIPv4([12]byte(bytes[:12]), v4[0]) {
		return netip.AddrFrom4(v4)
	}
	clear(bytes[8:])
	return netip.AddrFrom16(bytes)
}

// embedsIPv4 tells whether the last four bytes of an IPv6 address with this
// prefix are an IPv4 address: 64:ff9b::/96, as translators write it (RFC 6052),
// ::ffff:0:0:0/96 (RFC 2765), and ::/96, the old "IPv4-compatible" form, but for
// the loopback and unspecified addresses.
func embedsIPv4(prefix [12]byte, first byte) bool {
	switch prefix {
	case [12]byte{0x00, 0x64, 0xff, 0x9b}, [12]byte{8: 0xff, 9: 0xff}:
		return true
	case [12]byte{}:
		return first != 0
	}
	return false
}
