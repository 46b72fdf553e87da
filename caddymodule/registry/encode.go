package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// A saved snapshot is
//
//	magic, version (1 byte), body, SHA-256 of all before it
//
// and the body, with every number an unsigned varint and every text its length
// and its bytes,
//
//	source, good until (Unix nanoseconds), number of tenants,
//	and for each tenant: id, slug, name, plan, status, limits, issuer, JWKS,
//	number of hosts, hosts, number of upstreams, upstreams
const (
	snapshotMagic   = "tenancy-snapshot"
	snapshotVersion = 2
	snapshotHeader  = len(snapshotMagic) + 1
)

func encodeSnapshot(s *Snapshot, source string, goodAt time.Time) []byte {
	b := make([]byte, 0, 1024+160*s.Len())
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = append(b, snapshotMagic...)
	b = append(b, snapshotVersion)
	text(source)
	b = binary.AppendUvarint(b, uint64(goodAt.UnixNano()))
	b = binary.AppendUvarint(b, uint64(s.Len()))
	for t := range s.slugs.all() {
		text(t.ID)
		text(t.Slug.String())
		text(t.Name)
		text(string(t.Plan))
		text(t.Status.String())
		text(t.Limits)
		text(t.Issuer)
		text(t.JWKS)
		for _, list := range [][]string{t.Hosts, t.Upstreams} {
			b = binary.AppendUvarint(b, uint64(len(list)))
			for _, s := range list {
				text(s)
			}
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeSnapshot refuses anything but what encodeSnapshot made from that source.
func decodeSnapshot(data []byte, source string) (records []Record, goodAt time.Time, err error) {
	if len(data) < snapshotHeader+sha256.Size || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return nil, goodAt, errors.New("expected a snapshot, found something else")
	}
	if version := data[len(snapshotMagic)]; version != snapshotVersion {
		return nil, goodAt, fmt.Errorf("expected version %d, found %d", snapshotVersion, version)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, goodAt, errors.New("the checksum is wrong: the snapshot is damaged")
	}
	d := &decoder{rest: body[snapshotHeader:]}
	if from := d.text(); d.err == nil && from != source {
		return nil, goodAt, fmt.Errorf("it was made from another source: expected %q, found %q", clip(source), clip(from))
	}
	goodAt = time.Unix(0, int64(d.number()))
	n := d.number()
	// Not made in one go: the number is not to be believed before the texts are.
	records = []Record{}
	for i := uint64(0); i < n && d.err == nil; i++ {
		r := Record{Row: int(i + 1)}
		r.ID, r.Slug, r.Name, r.Plan, r.Status, r.Limits = d.text(), d.text(), d.text(), d.text(), d.text(), d.text()
		r.Issuer, r.JWKS = d.text(), d.text()
		for _, list := range []*[]string{&r.Hosts, &r.Upstreams} {
			for n := d.number(); n > 0 && d.err == nil; n-- {
				*list = append(*list, d.text())
			}
		}
		records = append(records, r)
	}
	if d.err == nil && len(d.rest) > 0 {
		d.err = errors.New("expected nothing after the last tenant")
	}
	if d.err != nil {
		return nil, time.Time{}, d.err
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

func (d *decoder) fail() {
	d.rest = nil
	if d.err == nil {
		d.err = errors.New("the snapshot ends too early")
	}
}
