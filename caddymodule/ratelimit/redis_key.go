package ratelimit

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
)

// maxTagBytes bounds what a tenant's name contributes to a key. A slug is a
// DNS label and stays well below it.
const maxTagBytes = 96

// tenantTag is the start of every key of a tenant:
//
//	namespace:{tenant}:
//
// The braces make it a Redis Cluster hash tag, so all accounts of a tenant
// are in one slot and one script can charge them together. The encoding is
// injective whatever bytes the tenant holds: letters, digits, '-', '_' and '.'
// stand for themselves, other bytes are written %XX, and a name that would be
// long is replaced by '~' and its SHA-256.
func tenantTag(namespace, tenant string) string {
	buf := make([]byte, 0, len(namespace)+len(tenant)+4)
	buf = append(buf, namespace...)
	buf = append(buf, ":{"...)
	start := len(buf)
	for i := range len(tenant) {
		c := tenant[i]
		if plainByte(c) {
			buf = append(buf, c)
		} else {
			const hex = "0123456789ABCDEF"
			buf = append(buf, '%', hex[c>>4], hex[c&15])
		}
		if len(buf)-start > maxTagBytes {
			sum := sha256.Sum256([]byte(tenant))
			buf = append(buf[:start], '~')
			buf = base64.RawURLEncoding.AppendEncode(buf, sum[:])
			break
		}
	}
	if len(tenant) == 0 {
		// An empty tag is none to Redis Cluster, which would hash the whole key.
		buf = append(buf, '~')
	}
	return string(append(buf, "}:"...))
}

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// clientText is a client as part of a key. A zone is the only part of an
// address that may hold any bytes, and it is dropped.
func clientText(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	return client.WithZone("").String()
}

// checkNamespace refuses what would move or break the hash tag.
func checkNamespace(s string) bool {
	for i := range len(s) {
		if !plainByte(s[i]) && s[i] != ':' && s[i] != '/' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}
