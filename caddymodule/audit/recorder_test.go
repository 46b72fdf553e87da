package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
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

func open(t testing.TB, o Options) *Recorder {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func flush(t testing.TB, r *Recorder) {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
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
	r := open(t, Options{Sinks: []Sink{a, b}, Now: func() time.Time { return start }})
	e := Event{Type: TypeCrossTenant, Tenant: "acme", UserTenant: "globex", User: "u1", Claimed: []string{"x", "y"}, Method: "GET", Host: "h", Path: "/p", ClientIP: "192.0.2.1", RequestID: "r1"}
	r.Record(e)
	flush(t, r)
	e.Time, e.Count = start, 1
	for _, m := range []*memory{a, b} {
		if got := m.records(); len(got) != 1 || fmt.Sprint(got[0].Event) != fmt.Sprint(e) {
			t.Errorf("got %+v, want one record of %+v", got, e)
		}
	}
	if s := r.Stats(); s.Recorded != 1 || s.Aggregated != 0 || s.Dropped != 0 || s.Pending != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestARecorderNeedsASink(t *testing.T) {
	if _, err := Open(Options{}); err == nil {
		t.Error("opened without a sink")
	}
	if _, err := Open(Options{Sinks: []Sink{nil}}); err == nil {
		t.Error("opened with a nil sink")
	}
}

func TestRepeatsOfAClientAreCountedAfterTheBurst(t *testing.T) {
	m, now := &memory{}, start
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := open(t, Options{Sinks: []Sink{m}, Burst: 3, Window: time.Minute, Now: clock})
	for i := range 10 {
		r.Record(Event{Type: "x", ClientIP: "192.0.2.1", Path: fmt.Sprint("/", i)})
	}
	r.Record(Event{Type: "y", ClientIP: "192.0.2.1"})
	r.Record(Event{Type: "x", ClientIP: "192.0.2.2"})
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	r.Record(Event{Type: "x", ClientIP: "192.0.2.1", Path: "/next window"})
	flush(t, r)
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
	if s := r.Stats(); s.Recorded != 6 || s.Aggregated != 7 {
		t.Errorf("stats %+v, want 6 recorded and 7 aggregated", s)
	}
}

func TestAFloodOfAMillionEventsStaysInBoundedMemory(t *testing.T) {
	m := &memory{}
	r := open(t, Options{Sinks: []Sink{m}, Now: func() time.Time { return start }})
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
		t.Errorf("%d events in the trail, %d dropped, %d noted as dropped; want %d in all", events, s.Dropped, dropped, workers*each)
	}
}

func TestAHangingSinkDoesNotBlockRecordAndLossesAreNoted(t *testing.T) {
	m := &memory{gate: make(chan struct{}), enters: make(chan struct{}, 100)}
	r := open(t, Options{Sinks: []Sink{m}, Queue: 10, Burst: 1 << 30})
	r.Record(Event{Type: "x"})
	<-m.enters // the goroutine is in Write and stays there
	for range 999 {
		r.Record(Event{Type: "x"})
	}
	if s := r.Stats(); s.Dropped != 990 || s.Pending != 11 {
		t.Errorf("stats %+v, want 990 dropped, and 10 and their note waiting", s)
	}
	close(m.gate)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	events, dropped := sums(m.records())
	if events != 10 || dropped != 990 {
		t.Errorf("%d events and %d noted as dropped, want 10 and 990", events, dropped)
	}
}

func TestAFailingSinkGetsItsRecordsLaterAndOthersAreNotHeldUp(t *testing.T) {
	bad, good := &memory{}, &memory{}
	bad.setFail(errors.New("disk full"))
	r := open(t, Options{Sinks: []Sink{bad, good}, Queue: 10, Burst: 1 << 30})
	for i := range 30 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
		if i%10 == 9 {
			if err := r.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "disk full") {
				t.Fatalf("flush: %v, want the sink's error", err)
			}
		}
	}
	if got := len(good.records()); got != 30 {
		t.Errorf("the good sink has %d records, want 30", got)
	}
	if s := r.Stats(); s.Dropped != 20 || s.SinkErrors < 3 || s.LastError != "disk full" {
		t.Errorf("stats %+v, want 20 dropped", s)
	}
	bad.setFail(nil)
	flush(t, r)
	events, dropped := sums(bad.records())
	if events != 10 || dropped != 20 || bad.records()[0].RequestID != "0" {
		t.Errorf("%d events and %d noted as dropped, want the first 10 and 20", events, dropped)
	}
	if s := r.Stats(); s.LastError != "" || s.Pending != 0 {
		t.Errorf("after recovery: %+v", s)
	}
}

func TestASinkThatHangsHoldsUpNoOther(t *testing.T) {
	stuck, good := &memory{gate: make(chan struct{}), enters: make(chan struct{}, 100)}, &memory{}
	r := open(t, Options{Sinks: []Sink{stuck, good}, Queue: 10, Burst: 1 << 30, CloseTimeout: 10 * time.Millisecond})
	r.Record(Event{Type: "x"})
	<-stuck.enters
	for round := range 5 {
		for range 9 { // with the one that is being written, what the queue holds
			r.Record(Event{Type: "x"})
		}
		await(t, "the good sink to have what was recorded", func() bool { return len(good.records()) == 1+9*(round+1) })
	}
	if events, dropped := sums(good.records()); events != 46 || dropped != 0 {
		t.Errorf("the good sink has %d events and lacks %d, want 46 and none", events, dropped)
	}
	if err := r.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want a deadline", err)
	}
	if good.closed() != 1 {
		t.Error("the good sink was not closed")
	}
	close(stuck.gate)
	await(t, "the sink that was left behind to be closed", func() bool { return stuck.closed() == 1 })
}

func TestWhatASinkTookIsNotGivenAgainAndTheRestKeepsItsIDs(t *testing.T) {
	m := &memory{most: 2}
	r := open(t, Options{Sinks: []Sink{m}, Queue: 10, Burst: 1 << 30})
	for i := range 7 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
	}
	for r.Flush(t.Context()) != nil {
		r.Record(Event{Type: "x", RequestID: "later"})
	}
	seen := make(map[string]bool)
	for i, rec := range m.records() {
		if i < 7 && rec.RequestID != fmt.Sprint(i) {
			t.Errorf("record %d is %q", i, rec.RequestID)
		}
		if rec.ID == "" || seen[rec.ID] {
			t.Errorf("record %d has the ID %q again", i, rec.ID)
		}
		seen[rec.ID] = true
	}
	if s := r.Stats(); s.Pending != 0 || s.Dropped != 0 || int64(len(seen)) != s.Recorded {
		t.Errorf("%d records written, stats %+v", len(seen), s)
	}
}

func TestRecordsHaveOneIDForAllSinksAndNotesTheirOwn(t *testing.T) {
	bad, good := &memory{}, &memory{}
	bad.setFail(errors.New("gone"))
	r := open(t, Options{Sinks: []Sink{bad, good}, Queue: 3, Burst: 1 << 30})
	other := open(t, Options{Sinks: []Sink{&memory{}}})
	for range 3 {
		for range 2 {
			r.Record(Event{Type: "x"})
		}
		_ = r.Flush(t.Context())
	}
	bad.setFail(nil)
	flush(t, r)
	ids := func(m *memory) (ids []string) {
		for _, rec := range m.records() {
			ids = append(ids, rec.ID)
		}
		return ids
	}
	all, some := ids(good), ids(bad)
	if len(all) != 6 || len(some) != 4 || !slices.Equal(all[:3], some[:3]) || slices.Contains(all, some[3]) {
		t.Errorf("one sink has %q, the other %q", all, some)
	}
	if !slices.IsSorted(all) || !strings.HasPrefix(all[0], r.instance+"-") || r.instance == other.instance {
		t.Errorf("IDs %q of %q, another recorder is %q", all, r.instance, other.instance)
	}
}

// A note that was given to a sink may have been taken: what is lost after it
// needs another one.
func TestANoteOfLossesThatWasGivenAwayIsNotChanged(t *testing.T) {
	m := &memory{}
	m.setFail(errors.New("gone"))
	r := open(t, Options{Sinks: []Sink{m}, Queue: 2, Burst: 1 << 30})
	for range 3 {
		for range 5 {
			r.Record(Event{Type: "x"})
		}
		_ = r.Flush(t.Context())
	}
	m.setFail(nil)
	flush(t, r)
	var counts []int64
	for _, rec := range m.records() {
		counts = append(counts, rec.Count)
	}
	if fmt.Sprint(counts) != "[1 1 3 10]" || r.Stats().Dropped != 13 {
		t.Errorf("counts %v and %d dropped, want two records and notes of 3 and 10", counts, r.Stats().Dropped)
	}
}

type paced struct {
	memory
	pace time.Duration
}

func (p *paced) Pace() time.Duration { return p.pace }

func TestAPacedSinkGetsWhatComesInItsPauseInOneBatch(t *testing.T) {
	p := &paced{pace: time.Hour}
	p.enters = make(chan struct{}, 100)
	r := open(t, Options{Sinks: []Sink{p}, Burst: 1 << 30})
	r.Record(Event{Type: "x"}) // at once
	await(t, "the first record", func() bool { return len(p.records()) == 1 })
	for range 9 {
		r.Record(Event{Type: "x"})
	}
	flush(t, r) // does not wait for an hour
	if len(p.records()) != 10 || len(p.enters) != 2 {
		t.Errorf("%d records in %d batches, want 10 in 2", len(p.records()), len(p.enters))
	}
}

func TestRecordSyncErrsUnlessEverySinkHasTheRecord(t *testing.T) {
	a, b := &memory{}, &memory{}
	r := open(t, Options{Sinks: []Sink{a, b}, Queue: 2})
	for range 20 { // never aggregated
		if err := r.RecordSync(t.Context(), Event{Type: TypeAdminAction, ClientIP: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.records()) != 20 || len(b.records()) != 20 {
		t.Errorf("%d and %d records, want 20 in each", len(a.records()), len(b.records()))
	}
	b.setFail(errors.New("gone"))
	for range 10 {
		if err := r.RecordSync(t.Context(), Event{Type: TypeAdminAction}); err == nil {
			t.Fatal("no error although a sink failed")
		}
	}
	if s := r.Stats(); s.Pending > 3 {
		t.Errorf("%d records pending with a queue of 2", s.Pending)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.RecordSync(ctx, Event{}); err == nil {
		t.Error("no error from a cancelled context")
	}
}

func TestCloseWritesWhatIsQueuedOnceAndEndsTheRecorder(t *testing.T) {
	m := &memory{}
	r := open(t, Options{Sinks: []Sink{m}, Burst: 1})
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
	if err := r.Flush(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Flush after Close: %v", err)
	}
	if err := r.RecordSync(t.Context(), Event{}); !errors.Is(err, ErrClosed) {
		t.Errorf("RecordSync after Close: %v", err)
	}
}

func TestCloseLeavesAHangingSinkBehind(t *testing.T) {
	m := &memory{gate: make(chan struct{})}
	r := open(t, Options{Sinks: []Sink{m}, CloseTimeout: 10 * time.Millisecond})
	r.Record(Event{Type: "x"})
	if err := r.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v, want a deadline", err)
	}
	close(m.gate)
}

func BenchmarkRecordRepeat(b *testing.B) {
	r := open(b, Options{Sinks: []Sink{&memory{}}})
	e := Event{Type: TypeConflict, ClientIP: "192.0.2.1", Path: "/x"}
	b.ReportAllocs()
	for b.Loop() {
		r.Record(e)
	}
}
