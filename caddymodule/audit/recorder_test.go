package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// memory is a sink that keeps records, fails on demand and can be held up.
type memory struct {
	mu     sync.Mutex
	recs   []Record
	fail   error
	most   int           // when not 0, Write takes no more
	gate   chan struct{} // when not nil, Write waits for it to be closed
	enters chan struct{} // when not nil, Write says that it was called
	closes int
}

func (m *memory) Write(recs []Record) (int, error) {
	m.mu.Lock()
	gate, enters := m.gate, m.enters
	m.mu.Unlock()
	if enters != nil {
		enters <- struct{}{}
	}
	if gate != nil {
		<-gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return 0, m.fail
	}
	if m.most > 0 && len(recs) > m.most {
		m.recs = append(m.recs, recs[:m.most]...)
		return m.most, errors.New("that is all for now")
	}
	m.recs = append(m.recs, recs...)
	return len(recs), nil
}

func (m *memory) Close() error { m.mu.Lock(); m.closes++; m.mu.Unlock(); return nil }

func (m *memory) closed() int { m.mu.Lock(); defer m.mu.Unlock(); return m.closes }

func (m *memory) setFail(err error) { m.mu.Lock(); m.fail = err; m.mu.Unlock() }

func (m *memory) records() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Record(nil), m.recs...)
}

// newRecorder opens a recorder that tries again at once; what o leaves out is as
// in the product.
func newRecorder(t testing.TB, o options, sinks ...Sink) *Recorder {
	t.Helper()
	d := defaults()
	d.retry = time.Millisecond
	def := func(p *int, v int) {
		if v != 0 {
			*p = v
		}
	}
	def(&d.queue, o.queue)
	def(&d.burst, o.burst)
	if o.closeTimeout != 0 {
		d.closeTimeout = o.closeTimeout
	}
	if o.now != nil {
		d.now = o.now
	}
	r, err := open(d, sinks...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// closeAll expects the recorder to write everything.
func closeAll(t testing.TB, r *Recorder) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// waiting is how many records wait for the sink that most wait for.
func (r *Recorder) waiting() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.queues {
		n = max(n, len(q.waiting))
	}
	return n
}

// await waits until the condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

// sums adds the counts of events and of dropped notes.
func sums(recs []Record) (events, dropped int64) {
	for _, r := range recs {
		if r.Type == TypeDropped {
			dropped += r.Count
		} else {
			events += r.Count
		}
	}
	return events, dropped
}

func TestAnEventReachesEverySinkAsItWasRecorded(t *testing.T) {
	a, b := &memory{}, &memory{}
	r := newRecorder(t, options{now: func() time.Time { return start }}, a, b)
	e := Event{Type: TypeCrossTenant, Tenant: "acme", UserTenant: "globex", User: "u1", Claimed: []string{"x", "y"}, Method: "GET", Host: "h", Path: "/p", ClientIP: "192.0.2.1", RequestID: "r1"}
	r.Record(e)
	closeAll(t, r)
	e.Time, e.Count = start, 1
	for _, m := range []*memory{a, b} {
		if got := m.records(); len(got) != 1 || fmt.Sprint(got[0].Event) != fmt.Sprint(e) {
			t.Errorf("got %+v, want one record of %+v", got, e)
		}
	}
	if s := r.Stats(); s != (Stats{Recorded: 1}) {
		t.Errorf("stats %+v", s)
	}
}

func TestARecorderNeedsASink(t *testing.T) {
	if _, err := Open(); err == nil {
		t.Error("opened without a sink")
	}
	if _, err := Open(nil); err == nil {
		t.Error("opened with a nil sink")
	}
}

func TestRepeatsOfAClientAreCountedAfterTheBurst(t *testing.T) {
	m, now := &memory{}, start
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := newRecorder(t, options{burst: 3, now: clock}, m)
	for i := range 10 {
		r.Record(Event{Type: "x", ClientIP: "192.0.2.1", Path: fmt.Sprint("/", i)})
	}
	r.Record(Event{Type: "y", ClientIP: "192.0.2.1"})
	r.Record(Event{Type: "x", ClientIP: "192.0.2.2"})
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	r.Record(Event{Type: "x", ClientIP: "192.0.2.1", Path: "/next window"})
	closeAll(t, r)
	recs := m.records()
	if len(recs) != 7 {
		t.Fatalf("got %d records, want 3 of the burst, 2 of others, 1 count, 1 of the next window: %+v", len(recs), recs)
	}
	count := recs[5]
	if count.Count != 7 || count.Path != "/3" || !count.Last.Equal(start) {
		t.Errorf("the count is %+v, want 7 beginning with path /3", count)
	}
	if recs[6].Path != "/next window" || recs[6].Count != 1 {
		t.Errorf("after the window: %+v", recs[6])
	}
	if s := r.Stats(); s != (Stats{Recorded: 6}) {
		t.Errorf("stats %+v, want 6 recorded", s)
	}
}

func TestAFloodOfAMillionEventsStaysInBoundedMemory(t *testing.T) {
	m := &memory{}
	r := newRecorder(t, options{now: func() time.Time { return start }}, m)
	long := strings.Repeat("p", 4096)
	clients := make([]string, 1<<16)
	for i := range clients {
		clients[i] = fmt.Sprintf("192.0.%d.%d", i>>8, i&255)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const workers, each = 4, 250_000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				r.Record(Event{Type: TypeConflict, ClientIP: clients[i&(1<<16-1)], Path: long, Claimed: []string{long}})
			}
		})
	}
	wg.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	recs := m.records()
	if len(recs) > 1024*(5+1)+10 {
		t.Errorf("%d records written for one window of a flood", len(recs))
	}
	events, dropped := sums(recs)
	s := r.Stats()
	if events+s.Dropped != workers*each || dropped != s.Dropped {
		t.Errorf("%d events in the log, %d dropped, %d noted as dropped; want %d in all", events, s.Dropped, dropped, workers*each)
	}
}

func TestCloseWritesWhatIsQueuedOnceAndEndsTheRecorder(t *testing.T) {
	m := &memory{}
	r := newRecorder(t, options{burst: 1}, m)
	for range 3 {
		r.Record(Event{Type: "x"})
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if events, _ := sums(m.records()); events != 3 || m.closes != 1 {
		t.Errorf("%d events and %d closes, want 3 and 1", events, m.closes)
	}
	r.Record(Event{Type: "x"})
	if s := r.Stats(); s.Dropped != 1 {
		t.Errorf("an event after Close is not counted as dropped: %+v", s)
	}
}

func TestCloseLeavesAHangingSinkBehind(t *testing.T) {
	m := &memory{gate: make(chan struct{})}
	r := newRecorder(t, options{closeTimeout: 10 * time.Millisecond}, m)
	r.Record(Event{Type: "x"})
	if err := r.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want a deadline", err)
	}
	close(m.gate)
}

func BenchmarkRecordRepeat(b *testing.B) {
	r := newRecorder(b, options{}, &memory{})
	e := Event{Type: TypeConflict, ClientIP: "192.0.2.1", Path: "/x"}
	b.ReportAllocs()
	for b.Loop() {
		r.Record(e)
	}
}
