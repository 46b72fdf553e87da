package ratelimit

import "net/netip"

// Key names who is counted: a client of a tenant. Limits of level PerTenant
// ignore the client. Any bytes are allowed in Tenant; two different keys are
// never counted together.
type Key struct {
	Tenant string
	Client netip.Addr
}

// ClientKey returns the address under which a client is counted: an IPv4
// address as it is (also when it came mapped into IPv6), an IPv6 address cut
// to its /64, because one customer is normally given at least a whole /64 and
// could otherwise rotate through it. Zones are dropped. The zero Addr stays
// zero: all clients without a known address share one count. It is
// idempotent.
func ClientKey(addr netip.Addr) netip.Addr {
	if !addr.IsValid() {
		return netip.Addr{}
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return prefix.Addr()
}
