package petstore

import (
	"crypto/rand"
	"encoding/base32"
	"time"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a new pet id: 26 letters and digits that carry the time in
// milliseconds first and 80 random bits after it, so that ids sort by time and
// cannot be guessed from one another.
func NewID(now time.Time) string {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)))
	}
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the program instead
	return idEncoding.EncodeToString(b[:])
}

// ValidID reports whether s has the form of a pet id: 1 to 64 lower-case
// letters and digits. What does not have it names no pet and needs no query.
func ValidID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; ('a' > c || c > 'z') && ('0' > c || c > '9') {
			return false
		}
	}
	return true
}
