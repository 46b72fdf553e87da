package sketch

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func addr(i int) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], 0x20010db8<<32|uint64(i))
	return netip.AddrFrom16(b)
}

func TestACountIsExactWhileAddressesAreFew(t *testing.T) {
	c := New(time.Minute)
	for i := range 100 {
		for n := range uint32(i + 1) {
			if got := c.Add(addr(i), noon); got < n+1 {
				t.Fatalf("address %d after %d events: %d", i, n+1, got)
			}
		}
	}
	for i := range 100 {
		if got := c.Count(addr(i), noon); got != uint32(i+1) {
			t.Errorf("address %d: %d; want %d", i, got, i+1)
		}
	}
	if got := c.Count(addr(1000), noon); got != 0 {
		t.Errorf("an address without events: %d", got)
	}
}

func TestACountCoversTheLastWindowAndEndsAfterTwo(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		want  uint32
	}{
		{0, 5}, {-time.Hour, 5}, {59 * time.Second, 5}, {60 * time.Second, 5}, {119 * time.Second, 5}, {120 * time.Second, 0}, {time.Hour, 0},
	} {
		t.Run(test.after.String(), func(t *testing.T) {
			c := New(time.Minute)
			for range 5 {
				c.Add(addr(1), noon)
			}
			if got := c.Count(addr(1), noon.Add(test.after)); got != test.want {
				t.Errorf("got %d; want %d", got, test.want)
			}
		})
	}
}

func TestAFloodFromAMillionAddressesTakesNoMemoryAndHardlyTouchesOthers(t *testing.T) {
	c := New(time.Minute)
	c.Add(addr(-1), noon)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1_000_000 {
		c.Add(addr(i), noon.Add(time.Duration(i)*30*time.Microsecond))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	worst := uint32(0)
	for i := range 10_000 {
		worst = max(worst, c.Count(addr(-100-i), noon.Add(31*time.Second)))
	}
	if worst > 80 {
		t.Errorf("an innocent address counts %d events", worst)
	}
	runtime.KeepAlive(c)
}

func TestConcurrentEventsAreCounted(t *testing.T) {
	c := New(time.Minute)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				c.Add(addr(i), noon)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if got := c.Count(addr(i), noon); got < 1000 || got > 1100 {
			t.Errorf("address %d: %d; want 1000", i, got)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	c := New(time.Minute)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Count(addr(i), noon)
	}
}
