package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

// row is a pet as archives and checksums have it: every field, and no tenant,
// so that an archive can become another tenant's.
type row struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Species   string   `json:"species"`
	Breed     string   `json:"breed"`
	Tags      []string `json:"tags"`
	BirthDate string   `json:"birth_date"`
	Microchip string   `json:"microchip_id"`
	CreatedAt int64    `json:"created_at"` // microseconds since 1970
	UpdatedAt int64    `json:"updated_at"`
	DeletedAt int64    `json:"deleted_at"` // 0 when not deleted
}

func toRow(p petstore.Pet) row {
	r := row{ID: p.ID, Name: p.Name, Species: p.Species, Breed: p.Breed, Tags: p.Tags, BirthDate: p.BirthDate,
		Microchip: p.MicrochipID, CreatedAt: p.CreatedAt.UnixMicro(), UpdatedAt: p.UpdatedAt.UnixMicro()}
	if r.Tags == nil {
		r.Tags = []string{}
	}
	if !p.DeletedAt.IsZero() {
		r.DeletedAt = p.DeletedAt.UnixMicro()
	}
	return r
}

func (r row) pet() petstore.Pet {
	p := petstore.Pet{ID: r.ID, Name: r.Name, Species: r.Species, Breed: r.Breed, Tags: r.Tags, BirthDate: r.BirthDate,
		MicrochipID: r.Microchip, CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(r.UpdatedAt).UTC()}
	if r.DeletedAt != 0 {
		p.DeletedAt = time.UnixMicro(r.DeletedAt).UTC()
	}
	return p
}

// clockSkew is how far another machine's clock may be ahead, generously: a clock
// that was set wrongly once must not make an archive useless.
const clockSkew = 366 * 24 * time.Hour

// checkTimes refuses times that no store has written: before 1970, or far in the
// future. One beyond the year 9999 could not even be listed.
func (r row) checkTimes(now time.Time) error {
	last := now.Add(clockSkew).UnixMicro()
	for _, at := range []struct {
		name       string
		value, min int64
	}{{"created_at", r.CreatedAt, 1}, {"updated_at", r.UpdatedAt, 1}, {"deleted_at", r.DeletedAt, 0}} {
		if at.value < at.min || at.value > last {
			return fmt.Errorf("reading %s %d: expected microseconds since 1970, and no time far in the future", at.name, at.value)
		}
	}
	return nil
}

// line is the row as one line of JSON.
func (r row) line() []byte {
	b, _ := json.Marshal(r) // strings and numbers always marshal
	return append(b, '\n')
}

// sum is what two copies of a tenant's rows are compared by.
type sum struct {
	Count  int    `json:"count"`
	SHA256 string `json:"sha256"` // of the lines, in the order of their ids
}

// summer adds rows up.
type summer struct {
	hash  hash.Hash
	count int
}

func newSummer() *summer { return &summer{hash: sha256.New()} }

func (s *summer) add(line []byte) {
	s.count++
	s.hash.Write(line)
}

func (s *summer) sum() sum { return sum{s.count, hex.EncodeToString(s.hash.Sum(nil))} }
