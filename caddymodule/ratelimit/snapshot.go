package ratelimit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
)

// A snapshot is, all integers as varints unless said otherwise:
//
//	magic, version byte, instant it was taken
//	records: kind byte, tenant, client (16 bytes with its length, clients only), account
//	end byte 0, number of records
//	CRC-32C of everything before, four bytes big-endian
//
// An account is seen and its windows; times are relative to seen.
const (
	snapshotMagic   = "ratelimit"
	snapshotVersion = 1

	recordEnd    = 0
	recordClient = 1
	recordTenant = 2

	maxTenantBytes = 1 << 16
	maxStored      = 256 // windows of an account, cells of a window
)

// ErrSnapshot is wrapped by errors of Restore about what was read: not a
// snapshot, of another version, cut short or damaged.
var ErrSnapshot = errors.New("unusable rate limit snapshot")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot writes what has been consumed, for Restore after a restart.
// Requests may be decided meanwhile; each key is consistent in itself.
// Requests in progress are not part of it, because they end with the process,
// nor are counts that keys share because the table was full.
func (m *Memory) Snapshot(w io.Writer) error {
	sum := crc32.New(castagnoli)
	out := io.MultiWriter(w, sum)
	now := m.now()
	head := append([]byte(snapshotMagic), snapshotVersion)
	if _, err := out.Write(binary.AppendVarint(head, now)); err != nil {
		return fmt.Errorf("writing rate limit snapshot: %w", err)
	}
	records := uint64(0)
	flush := func(buf []byte) error {
		if _, err := out.Write(buf); err != nil {
			return fmt.Errorf("writing rate limit snapshot: %w", err)
		}
		return nil
	}
	for i := range m.clients.shards {
		s := &m.clients.shards[i]
		var buf []byte
		// The lock is held to copy, never to write.
		s.mu.Lock()
		s.each(func(key Key, a *account) {
			if a.empty(now) {
				return
			}
			buf = append(buf, recordClient)
			buf = appendBytes(buf, key.Tenant)
			addr, _ := key.Client.MarshalBinary()
			buf = appendBytes(buf, string(addr))
			buf = appendAccount(buf, a)
			records++
		})
		s.mu.Unlock()
		if err := flush(buf); err != nil {
			return err
		}
	}
	for i := range m.tenants.shards {
		s := &m.tenants.shards[i]
		var buf []byte
		s.mu.Lock()
		s.each(func(tenant string, a *account) {
			if a.empty(now) {
				return
			}
			buf = append(buf, recordTenant)
			buf = appendBytes(buf, tenant)
			buf = appendAccount(buf, a)
			records++
		})
		s.mu.Unlock()
		if err := flush(buf); err != nil {
			return err
		}
	}
	if err := flush(binary.AppendUvarint([]byte{recordEnd}, records)); err != nil {
		return err
	}
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return fmt.Errorf("writing rate limit snapshot: %w", err)
	}
	return nil
}

func appendBytes(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

func appendAccount(buf []byte, a *account) []byte {
	buf = binary.AppendVarint(buf, a.seen)
	windows := 0
	for i := range a.windows {
		if a.windows[i].id != concurrentID {
			windows++
		}
	}
	buf = binary.AppendUvarint(buf, uint64(windows))
	for i := range a.windows {
		w := &a.windows[i]
		if w.id == concurrentID {
			continue
		}
		buf = binary.AppendVarint(buf, int64(w.id))
		until := int64(0)
		if w.until != 0 {
			until = max(1, w.until-a.seen)
		}
		buf = binary.AppendVarint(buf, until)
		buf = binary.AppendUvarint(buf, uint64(len(w.cells)))
		previous := a.seen
		for _, c := range w.cells {
			buf = binary.AppendVarint(buf, c.exp-previous)
			buf = binary.AppendVarint(buf, c.n)
			previous = c.exp
		}
	}
	return buf
}

// Restore takes in what Snapshot wrote. It reads and checks everything before
// it changes anything; what it cannot use gives an error that wraps
// ErrSnapshot, and the limiter goes on as it was. Keys that have been used
// since the start keep what they have. A snapshot from the future, because the
// clock was set back meanwhile, is taken as one of this moment.
func (m *Memory) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading rate limit snapshot: %w", err)
	}
	now := m.now()
	records, err := parseSnapshot(data, now)
	if err != nil {
		return fmt.Errorf("reading rate limit snapshot: %w: %w", ErrSnapshot, err)
	}
	for _, rec := range records {
		if rec.account.empty(now) {
			continue
		}
		if rec.kind == recordTenant {
			m.tenants.adopt(rec.key.Tenant, rec.account, now)
		} else {
			m.clients.adopt(rec.key, rec.account, now)
		}
	}
	return nil
}

// adopt takes over a restored account, unless the key has one by now.
func (t *table[K]) adopt(key K, a *account, now int64) {
	hash := t.hash(key)
	s := t.lock(hash)
	defer s.mu.Unlock()
	if have := t.account(s, hash, key, now); have.empty(now) {
		*have = *a
	}
}

type snapshotRecord struct {
	kind    byte
	key     Key
	account *account
}

func parseSnapshot(data []byte, now int64) ([]snapshotRecord, error) {
	if !bytes.HasPrefix(data, []byte(snapshotMagic)) {
		return nil, errors.New("it does not begin as one")
	}
	if len(data) < len(snapshotMagic)+6 {
		return nil, errors.New("it is cut short")
	}
	if v := data[len(snapshotMagic)]; v != snapshotVersion {
		return nil, fmt.Errorf("it has version %d, expected %d", v, snapshotVersion)
	}
	body, sum := data[:len(data)-4], data[len(data)-4:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return nil, errors.New("its checksum does not match: it is damaged or cut short")
	}
	p := &snapshotParser{rest: body[len(snapshotMagic)+1:]}
	shift := min(0, now-p.varint())
	var records []snapshotRecord
	for {
		kind := p.byte()
		if kind == recordEnd || p.bad {
			break
		}
		rec := snapshotRecord{kind: kind}
		rec.key.Tenant = string(p.bytes(maxTenantBytes))
		if kind == recordClient {
			var addr netip.Addr
			if err := addr.UnmarshalBinary(p.bytes(64)); err != nil {
				p.bad = true
			}
			rec.key.Client = addr
		} else if kind != recordTenant {
			p.bad = true
		}
		rec.account = p.account(shift)
		records = append(records, rec)
	}
	if count := p.uvarint(1 << 40); p.bad || count != len(records) || len(p.rest) != 0 {
		return nil, errors.New("its contents make no sense")
	}
	return records, nil
}

// snapshotParser reads fields one after another; after the first that makes no
// sense, bad is set and the rest reads as zero.
type snapshotParser struct {
	rest []byte
	bad  bool
}

func (p *snapshotParser) skip(n int) {
	if n <= 0 {
		p.bad, p.rest = true, nil
		return
	}
	p.rest = p.rest[n:]
}

func (p *snapshotParser) varint() int64 {
	v, n := binary.Varint(p.rest)
	p.skip(n)
	return v
}

func (p *snapshotParser) uvarint(limit uint64) int {
	v, n := binary.Uvarint(p.rest)
	p.skip(n)
	if v > limit {
		p.bad = true
		return 0
	}
	return int(v)
}

func (p *snapshotParser) byte() byte {
	if len(p.rest) == 0 {
		p.bad = true
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

func (p *snapshotParser) bytes(limit uint64) []byte {
	n := p.uvarint(limit)
	if n > len(p.rest) {
		p.bad = true
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *snapshotParser) account(shift int64) *account {
	a := &account{seen: p.varint() + shift}
	a.windows = make([]window, p.uvarint(maxStored))
	for i := range a.windows {
		w := &a.windows[i]
		w.id = windowID(p.varint())
		if until := p.varint(); until != 0 {
			w.until = a.seen + until
		}
		w.cells = make([]cell, p.uvarint(maxStored))
		exp := a.seen
		for j := range w.cells {
			exp += p.varint()
			n := p.varint()
			if n < 0 || j > 0 && exp < w.cells[j-1].exp {
				p.bad = true
			}
			w.cells[j] = cell{exp, n}
			w.sum += n
		}
		if w.id.grain() == 0 && w.id.rolling() || w.id == 0 {
			p.bad = true
		}
	}
	return a
}
