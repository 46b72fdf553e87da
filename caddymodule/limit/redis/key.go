package redis

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"net/url"
	"regexp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// maxTagBytes bounds what a tenant's name contributes to a key. A slug is a
// DNS label and stays well below it.
const maxTagBytes = 96

// tenantTag is the start of every key of a tenant:
//
//	namespace:{tenant}:
//
// The braces make it a Redis Cluster hash tag, so all counters of a tenant
// are in one slot and one script can charge them together. The encoding is
// injective whatever bytes the tenant holds: it is a URL's, with '*', which that
// never yields, and the SHA-256 in place of a name that would be long. An empty tag
// would be none to Redis Cluster, which would hash the whole key.
func tenantTag(namespace, tenant string) string {
	tag := url.QueryEscape(tenant)
	if tag == "" {
		tag = "*"
	} else if len(tag) > maxTagBytes {
		sum := sha256.Sum256([]byte(tenant))
		tag = "*" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return namespace + ":{" + tag + "}:"
}

// clientText is a client as part of a key. A zone is the only part of an
// address that may hold any bytes, and it is dropped.
func clientText(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	return client.WithZone("").String()
}

// namespaces are those that neither move nor break the hash tag.
var namespaces = regexp.MustCompile(`^[-A-Za-z0-9_.:/]{1,64}$`)

// groups is into how many parts the slots of a Redis Cluster, and the keys of any
// store in the same way, are cut for sending. A part sends one pipeline at a time,
// so that what it says of one tenant arrives in order; and a pipeline of go-redis
// waits for every node it touches, so one that spanned all slots would be as slow
// as the slowest node. There are fewer parts than go-redis has connections.
const groups = 8

// groupOf returns the group that sends for key. All keys of a tenant are in
// one slot.
func (r *Limiter) groupOf(key limit.Key) *group {
	tag := tenantTag("", key.Tenant)
	slot := crc16(tag[len(":{"):len(tag)-len("}:")]) % 16384
	return &r.groups[int(slot)*groups/16384]
}

// crc16 is the checksum that Redis Cluster maps hash tags to slots with
// (XMODEM: polynomial 0x1021, nothing reflected).
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
