package memory

import (
	"bytes"
	"encoding/binary"
)

// Sealed gives data the checksum of a snapshot, so that fuzzing gets past it.
func Sealed(data []byte) []byte {
	if len(data) < 4 {
		return data
	}
	body := data[:len(data)-4]
	return binary.BigEndian.AppendUint32(bytes.Clone(body), checksum(body))
}

// Len returns how many clients and tenants are counted one by one.
func (m *Limiter) Len() int { return m.clients.len() + m.tenants.len() }

func (t *table[K]) len() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.counters)
		s.mu.Unlock()
	}
	return n
}
