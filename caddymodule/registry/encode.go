package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// What is saved is
//
//	magic, version (1 byte), body, SHA-256 of all before it
//
// and every body, with each number an unsigned varint and each text its length
// and its bytes, begins with
//
//	source, good until (Unix nanoseconds)
//
// That of a snapshot of tenants goes on with the number of tenants and, for each,
//
//	id, slug, name, plan, status, limits, issuer, JWKS,
//	number of hosts, hosts, number of upstreams, upstreams
var snapshotFormat = format{"tenancy-snapshot", 2}

// format tells saved things apart.
type format struct {
	magic   string
	version byte
}

func (f format) header() int { return len(f.magic) + 1 }

// encoder makes the bytes of one saved thing.
type encoder struct{ b []byte }

func (f format) encoder(size int, source string, goodAt time.Time) *encoder {
	e := &encoder{make([]byte, 0, 1024+size)}
	e.b = append(append(e.b, f.magic...), f.version)
	e.text(source)
	e.number(uint64(goodAt.UnixNano()))
	return e
}

func (e *encoder) number(n uint64) { e.b = binary.AppendUvarint(e.b, n) }

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) list(all []string) {
	e.number(uint64(len(all)))
	for _, s := range all {
		e.text(s)
	}
}

func (e *encoder) sealed() []byte {
	sum := sha256.Sum256(e.b)
	return append(e.b, sum[:]...)
}

func encodeSnapshot(s *Snapshot, source string, goodAt time.Time) []byte {
	e := snapshotFormat.encoder(160*s.Len(), source, goodAt)
	e.number(uint64(s.Len()))
	for t := range s.slugs.all() {
		for _, value := range [...]string{t.ID, t.Slug.String(), t.Name, string(t.Plan), t.Status.String(), t.Limits, t.Issuer, t.JWKS} {
			e.text(value)
		}
		e.list(t.Hosts)
		e.list(t.Upstreams)
	}
	return e.sealed()
}

// open refuses anything but what an encoder of the format made from that source.
func (f format) open(data []byte, source string) (d *decoder, goodAt time.Time, err error) {
	if len(data) < f.header()+sha256.Size || string(data[:len(f.magic)]) != f.magic {
		return nil, goodAt, errors.New("expected a snapshot, found something else")
	}
	if version := data[len(f.magic)]; version != f.version {
		return nil, goodAt, fmt.Errorf("expected version %d, found %d", f.version, version)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, goodAt, errors.New("the checksum is wrong: the snapshot is damaged")
	}
	d = &decoder{rest: body[f.header():]}
	if from := d.text(); d.err == nil && from != source {
		return nil, goodAt, fmt.Errorf("it was made from another source: expected %q, found %q", clip(source), clip(from))
	}
	return d, time.Unix(0, int64(d.number())), nil
}

// decodeSnapshot refuses anything but what encodeSnapshot made from that source.
func decodeSnapshot(data []byte, source string) (records []Record, goodAt time.Time, err error) {
	d, goodAt, err := snapshotFormat.open(data, source)
	if err != nil {
		return nil, time.Time{}, err
	}
	n := d.number()
	// Not made in one go: the number is not to be believed before the texts are.
	records = []Record{}
	for i := uint64(0); i < n && d.err == nil; i++ {
		r := Record{Row: int(i + 1)}
		r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits = d.text(), d.text(), d.text(), d.text(), d.text(), d.text()
		r.Issuer, r.JWKS = d.text(), d.text()
		r.Hosts, r.Upstreams = d.list(), d.list()
		records = append(records, r)
	}
	if err := d.end("tenant"); err != nil {
		return nil, time.Time{}, err
	}
	return records, goodAt, nil
}

type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

// list is nil if it is empty.
func (d *decoder) list() (all []string) {
	for n := d.number(); n > 0 && d.err == nil; n-- {
		all = append(all, d.text())
	}
	return all
}

// end says what was wrong, if anything was.
func (d *decoder) end(last string) error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = fmt.Errorf("expected nothing after the last %s", last)
	}
	return d.err
}

func (d *decoder) fail() {
	d.rest = nil
	if d.err == nil {
		d.err = errors.New("the snapshot ends too early")
	}
}
