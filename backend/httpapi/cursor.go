package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// cursors seals the place where a page ended, so that a client can neither
// read meaning into it nor make one: a cursor is good for the tenant and the
// filter that it was given for, and a changed byte spoils it.
type cursors struct{ key []byte }

const macLen = 16

// base64url without padding; Strict, so that every cursor has one spelling.
var cursorEncoding = base64.RawURLEncoding.Strict()

// seal returns the cursor of the page that begins after the pet id.
func (c cursors) seal(t tenant.Slug, species, after string) string {
	return cursorEncoding.EncodeToString(append(c.mac(t, species, after), after...))
}

// open returns the id in a cursor, or false for anything that seal did not
// make for this tenant and filter.
func (c cursors) open(t tenant.Slug, species, cursor string) (after string, ok bool) {
	if len(cursor) > 128 {
		return "", false
	}
	b, err := cursorEncoding.DecodeString(cursor)
	if err != nil || len(b) <= macLen {
		return "", false
	}
	after = string(b[macLen:])
	if !hmac.Equal(b[:macLen], c.mac(t, species, after)) || !petstore.ValidID(after) {
		return "", false
	}
	return after, true
}

// mac covers every part with its length before it, so that no two lists of
// parts have the same bytes.
func (c cursors) mac(t tenant.Slug, parts ...string) []byte {
	h := hmac.New(sha256.New, c.key)
	for _, part := range append([]string{"pets cursor 1", t.String()}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:macLen]
}
