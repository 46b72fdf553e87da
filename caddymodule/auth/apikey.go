package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// apiKeyPrefix makes a key known at sight, to people and to secret scanners.
const apiKeyPrefix = "tk_"

// apiKeyBytes is the randomness of a key: 256 bits, so that the hash of one
// needs no salt and no slow function.
const apiKeyBytes = 32

var apiKeyLen = len(apiKeyPrefix) + base64.RawURLEncoding.EncodedLen(apiKeyBytes)

// APIKeyHash is the SHA-256 of a key's text: what is stored instead of it.
type APIKeyHash = [sha256.Size]byte

// APIKeyRecord is what is known about an API key, without the key.
type APIKeyRecord struct {
	// ID names the record in the catalog and the audit log.
	ID string
	// Name is for people: who uses the key.
	Name   string
	Tenant tenant.Slug
	Roles  []string
	// Expires is when the key ends; zero means never.
	Expires time.Time
	// Revoked keys are refused like unknown ones.
	Revoked bool
}

// APIKeyLookup finds API keys in memory. It never blocks and does no I/O; it
// is safe for concurrent use.
type APIKeyLookup interface {
	LookupAPIKey(APIKeyHash) (APIKeyRecord, bool)
}

// NewAPIKey makes a key, to be shown once, and the hash to be stored.
func NewAPIKey() (key string, hash APIKeyHash) {
	var b [apiKeyBytes]byte
	rand.Read(b[:]) // never fails: it ends the program rather than return weak bytes
	key = apiKeyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return key, sha256.Sum256([]byte(key))
}

// IsAPIKey reports whether a credential has the form of an API key. A JWT
// never has: it holds dots.
func IsAPIKey(s string) bool {
	rest, ok := strings.CutPrefix(s, apiKeyPrefix)
	if !ok || len(s) != apiKeyLen {
		return false
	}
	_, ok = decodeSegment(rest)
	return ok
}

// HashAPIKey returns the hash under which a key of the right form is stored.
// The error wraps [ErrBadToken].
func HashAPIKey(key string) (APIKeyHash, error) {
	if !IsAPIKey(key) {
		return APIKeyHash{}, bad(reasonMalformed, "expected an API key: %q and %d more characters", apiKeyPrefix, apiKeyLen-len(apiKeyPrefix))
	}
	return sha256.Sum256([]byte(key)), nil
}

// VerifyAPIKey returns the caller an API key belongs to. Errors wrap
// [ErrBadToken]: another form, an unknown, a revoked or an expired key.
//
// The look-up is by hash: how long it takes tells nothing about the keys that
// are stored.
func VerifyAPIKey(keys APIKeyLookup, key string, now time.Time) (Principal, error) {
	hash, err := HashAPIKey(key)
	if err != nil {
		return Principal{}, err
	}
	rec, ok := keys.LookupAPIKey(hash)
	switch {
	case !ok:
		return Principal{}, bad(reasonKey, "no such API key")
	case rec.Revoked:
		return Principal{}, bad(reasonRevoked, "the API key was revoked")
	case rec.Tenant.IsZero():
		return Principal{}, bad(reasonTenant, "the API key's record has no tenant")
	case !rec.Expires.IsZero() && !now.Before(rec.Expires):
		return Principal{}, bad(reasonExpired, "the API key has ended")
	}
	return Principal{
		Subject: rec.Name, Tenants: []tenant.Slug{rec.Tenant}, Roles: rec.Roles,
		Expires: rec.Expires, TokenID: rec.ID,
	}, nil
}
