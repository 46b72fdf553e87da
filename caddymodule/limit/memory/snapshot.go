package memory

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/window"
)

// A snapshot is the magic, a version byte, a gob value and the CRC-32C of all that,
// four bytes big-endian.
const (
	snapshotMagic   = "ratelimit"
	snapshotVersion = 2
	snapshotHead    = snapshotMagic + string(rune(snapshotVersion))
)

// saved is that value.
type saved struct {
	Taken   int64 // the instant
	Clients []record
	Tenants []record // their keys have no client
}

// record is one key and what it consumed.
type record struct {
	Key     limit.Key
	Counter window.Counter
}

func checksum(data []byte) uint32 {
	return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
}

// Snapshot implements limit.Saver. Counts that keys share because the table was
// full are not part of it.
func (m *Limiter) Snapshot(w io.Writer) error {
	now := m.now()
	buf := bytes.NewBufferString(snapshotHead)
	err := gob.NewEncoder(buf).Encode(saved{
		Taken:   now,
		Clients: m.clients.records(now, func(key limit.Key) limit.Key { return key }),
		Tenants: m.tenants.records(now, func(tenant string) limit.Key { return limit.Key{Tenant: tenant} }),
	})
	if err == nil {
		_, err = w.Write(binary.BigEndian.AppendUint32(buf.Bytes(), checksum(buf.Bytes())))
	}
	if err != nil {
		return fmt.Errorf("writing rate limit snapshot: %w", err)
	}
	return nil
}

// records copies what outlives the process of every counter in use, under the key
// that as makes of the table's.
func (t *table[K]) records(now int64, as func(K) limit.Key) (records []record) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for key, c := range s.counters {
			if !c.Empty(now) {
				records = append(records, record{as(key), c.Saved()})
			}
		}
		s.mu.Unlock()
	}
	return records
}

// Restore implements limit.Saver: it reads and checks everything before it changes
// anything. A snapshot from the future, because the clock was set back meanwhile,
// is taken as one of this moment.
func (m *Limiter) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading rate limit snapshot: %w", err)
	}
	var from saved
	if err := from.parse(data); err != nil {
		return fmt.Errorf("reading rate limit snapshot: %w: %w", limit.ErrSnapshot, err)
	}
	now := m.now()
	for _, r := range from.Clients {
		m.clients.restore(r.Key, r.Counter, from.Taken, now)
	}
	for _, r := range from.Tenants {
		m.tenants.restore(r.Key.Tenant, r.Counter, from.Taken, now)
	}
	return nil
}

// restore takes over a saved counter, unless the key has one by now.
func (t *table[K]) restore(key K, c window.Counter, taken, now int64) {
	if c.Shift(min(0, now-taken)); c.Empty(now) {
		return
	}
	s, have := t.lock(key, now)
	defer s.mu.Unlock()
	if have.Empty(now) {
		*have = c
	}
}

func (s *saved) parse(data []byte) error {
	if !bytes.HasPrefix(data, []byte(snapshotMagic)) {
		return errors.New("it does not begin as one")
	}
	if len(data) < len(snapshotHead)+4 {
		return errors.New("it is cut short")
	}
	if v := data[len(snapshotMagic)]; v != snapshotVersion {
		return fmt.Errorf("it has version %d, expected %d", v, snapshotVersion)
	}
	data, sum := data[:len(data)-4], data[len(data)-4:]
	if checksum(data) != binary.BigEndian.Uint32(sum) {
		return errors.New("its checksum does not match: it is damaged or cut short")
	}
	if err := gob.NewDecoder(bytes.NewReader(data[len(snapshotHead):])).Decode(s); err != nil {
		return err
	}
	for _, r := range append(s.Clients, s.Tenants...) {
		if !r.Counter.Valid() {
			return fmt.Errorf("what %q consumed makes no sense", r.Key.Tenant)
		}
	}
	return nil
}
