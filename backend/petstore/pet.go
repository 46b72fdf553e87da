package petstore

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Pet is one animal of one tenant.
type Pet struct {
	// Tenant is the owner. A store sets it on what it returns. On a write it
	// is empty or the tenant of the [Pets] at hand; any other is refused with
	// [ErrForeignTenant].
	Tenant tenant.Slug
	// ID is unique within the tenant: 1 to 64 lower-case letters and digits.
	// Ids made by [NewID] sort by the time of their making.
	ID      string
	Name    string   // 1 to 100 characters
	Species string   // 1 to 50 characters
	Breed   string   // up to 100 characters, may be empty
	Tags    []string // up to 20, each of 1 to 50 characters and only once
	// BirthDate is "YYYY-MM-DD" or empty when unknown.
	BirthDate string
	// MicrochipID is the 15 digits of ISO 11784, or empty; a tenant has no two
	// pets with one.
	MicrochipID string
	// CreatedAt and UpdatedAt are UTC in whole microseconds, set by the store.
	CreatedAt, UpdatedAt time.Time
	// DeletedAt is the time of the soft delete, or zero.
	DeletedAt time.Time
}

// Limits on a pet's fields, in characters.
const (
	MaxName    = 100
	MaxSpecies = 50
	MaxBreed   = 100
	MaxTags    = 20
	MaxTag     = 50
)

// Validate checks the fields that a client sets. The error is an [*Invalid]
// with everything that is wrong. now is what a birth date is compared with.
func (p *Pet) Validate(now time.Time) error {
	var bad Invalid
	checkText(&bad, "name", p.Name, 1, MaxName)
	checkText(&bad, "species", p.Species, 1, MaxSpecies)
	checkText(&bad, "breed", p.Breed, 0, MaxBreed)
	if len(p.Tags) > MaxTags {
		bad.Add("tags", "expected at most %d tags, found %d", MaxTags, len(p.Tags))
	} else {
		seen := make(map[string]bool, len(p.Tags))
		for i, tag := range p.Tags {
			field := fmt.Sprintf("tags[%d]", i)
			checkText(&bad, field, tag, 1, MaxTag)
			if seen[tag] {
				bad.Add(field, "the tag is there already")
			}
			seen[tag] = true
		}
	}
	checkBirthDate(&bad, p.BirthDate, now)
	if p.MicrochipID != "" && (len(p.MicrochipID) != 15 || strings.Trim(p.MicrochipID, "0123456789") != "") {
		bad.Add("microchip_id", "expected 15 digits")
	}
	return bad.Err()
}

// CheckSpecies checks a species alone. The error is an [*Invalid].
func CheckSpecies(species string) error {
	var bad Invalid
	checkText(&bad, "species", species, 1, MaxSpecies)
	return bad.Err()
}

// checkText accepts printable text. Control characters and the Unicode marks
// that reorder text are refused: they serve only to make one name look like
// another.
func checkText(bad *Invalid, field, s string, least, most int) {
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s):
		bad.Add(field, "expected valid UTF-8")
		return
	case n < least || n > most:
		bad.Add(field, "expected %d to %d characters, found %d", least, most, n)
		return
	}
	for _, r := range s {
		if !unicode.IsPrint(r) && r != '\u200d' && r != '\u200c' {
			bad.Add(field, "expected printable characters, found U+%04X", r)
			return
		}
	}
	if s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') {
		bad.Add(field, "expected no space at either end")
	}
}

func checkBirthDate(bad *Invalid, s string, now time.Time) {
	if s == "" {
		return
	}
	day, err := time.Parse(time.DateOnly, s)
	switch {
	case err != nil:
		bad.Add("birth_date", "expected a date as in 2021-03-14")
	case day.Year() < 1800:
		bad.Add("birth_date", "expected a date after 1800")
	case day.After(now.UTC().Add(14 * time.Hour)):
		// The day has begun up to 14 hours earlier somewhere (UTC+14).
		bad.Add("birth_date", "expected a date that is not in the future")
	}
}

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
