package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAHangingSinkDoesNotBlockRecordAndLossesAreNoted(t *testing.T) {
	m := &memory{gate: make(chan struct{}), enters: make(chan struct{}, 100)}
	r := newRecorder(t, options{queue: 10, burst: 1 << 30}, m)
	r.Record(Event{Type: "x"})
	<-m.enters // the goroutine is in Write and stays there
	for range 999 {
		r.Record(Event{Type: "x"})
	}
	if s := r.Stats(); s.Dropped != 990 || r.waiting() != 10 {
		t.Errorf("stats %+v, %d waiting; want 990 dropped and 10 waiting", s, r.waiting())
	}
	close(m.gate)
	closeAll(t, r)
	events, dropped := sums(m.records())
	if events != 10 || dropped != 990 {
		t.Errorf("%d events and %d noted as dropped, want 10 and 990", events, dropped)
	}
}

func TestAFailingSinkGetsItsRecordsLaterAndOthersAreNotHeldUp(t *testing.T) {
	bad, good := &memory{}, &memory{}
	bad.setFail(errors.New("disk full"))
	r := newRecorder(t, options{queue: 10, burst: 1 << 30}, bad, good)
	for i := range 30 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
		await(t, "the good sink to take the record", func() bool { return len(good.records()) == i+1 })
	}
	await(t, "some tries of the bad sink", func() bool { return r.Stats().SinkErrors >= 3 })
	if s := r.Stats(); s.Dropped != 20 {
		t.Errorf("stats %+v, want 20 dropped", s)
	}
	bad.setFail(nil)
	await(t, "the bad sink to be tried again", func() bool { return len(bad.records()) > 0 })
	closeAll(t, r)
	events, dropped := sums(bad.records())
	if events != 10 || dropped != 20 || bad.records()[0].RequestID != "0" {
		t.Errorf("%d events and %d noted as dropped, want the first 10 and 20", events, dropped)
	}
}

func TestCloseSaysWhichRecordsASinkCouldNotTake(t *testing.T) {
	m := &memory{}
	m.setFail(errors.New("disk full"))
	r := newRecorder(t, options{}, m)
	r.Record(Event{Type: "x"})
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "writing 1 audit records: disk full") {
		t.Errorf("got %v, want the sink's error", err)
	}
	if m.closed() != 1 {
		t.Error("the sink was not closed")
	}
}

func TestASinkThatHangsHoldsUpNoOther(t *testing.T) {
	stuck, good := &memory{gate: make(chan struct{}), enters: make(chan struct{}, 100)}, &memory{}
	r := newRecorder(t, options{queue: 10, burst: 1 << 30, closeTimeout: 10 * time.Millisecond}, stuck, good)
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
	r := newRecorder(t, options{queue: 10, burst: 1 << 30}, m)
	for i := range 7 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
	}
	await(t, "the sink to take two at a time", func() bool { return len(m.records()) >= 7 })
	r.Record(Event{Type: "x", RequestID: "later"})
	await(t, "the rest", func() bool { return r.waiting() == 0 })
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
	if s := r.Stats(); s.Dropped != 0 || int64(len(seen)) != s.Recorded {
		t.Errorf("%d records written, stats %+v", len(seen), s)
	}
}

func TestRecordsHaveOneIDForAllSinksAndNotesTheirOwn(t *testing.T) {
	bad, good := &memory{}, &memory{}
	bad.setFail(errors.New("gone"))
	r := newRecorder(t, options{queue: 3, burst: 1 << 30}, bad, good)
	other := newRecorder(t, options{}, &memory{})
	for i := range 6 {
		r.Record(Event{Type: "x"})
		await(t, "the good sink to take the record", func() bool { return len(good.records()) == i+1 })
	}
	bad.setFail(nil)
	closeAll(t, r)
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

// witness is a sink that takes its first batch when it is let, fails then until
// it is open, and remembers what each ID stood for.
type witness struct {
	mu      sync.Mutex
	gate    chan struct{}
	calls   int
	open    bool
	taken   []int64 // counts
	given   map[string]int64
	changed []string
}

func (w *witness) Write(recs []Record) (int, error) {
	w.mu.Lock()
	w.calls++
	first := w.calls == 1
	w.mu.Unlock()
	if first {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rec := range recs {
		if before, again := w.given[rec.ID]; again && before != rec.Count {
			w.changed = append(w.changed, rec.ID)
		}
		w.given[rec.ID] = rec.Count
	}
	if !first && !w.open {
		return 0, errors.New("gone")
	}
	for _, rec := range recs {
		w.taken = append(w.taken, rec.Count)
	}
	return len(recs), nil
}

func (*witness) Close() error { return nil }

func (w *witness) see(f func() bool) bool { w.mu.Lock(); defer w.mu.Unlock(); return f() }

// A note that was given to a sink may have been taken: what is lost after it
// needs another one.
func TestANoteOfLossesThatWasGivenAwayIsNotChanged(t *testing.T) {
	w := &witness{gate: make(chan struct{}), given: make(map[string]int64)}
	r := newRecorder(t, options{queue: 2, burst: 1 << 30}, w)
	record := func(n int) {
		for range n {
			r.Record(Event{Type: "x"})
		}
	}
	record(1)
	await(t, "the sink to hold the first record", func() bool { return w.see(func() bool { return w.calls == 1 }) })
	record(5) // one waits, four are noted
	close(w.gate)
	await(t, "the note to be given to the sink", func() bool { return w.see(func() bool { return w.calls >= 2 }) })
	for range 2 {
		record(5)
		before := r.Stats().SinkErrors
		await(t, "the sink to fail again", func() bool { return r.Stats().SinkErrors > before })
	}
	w.see(func() bool { w.open = true; return true })
	closeAll(t, r)
	if fmt.Sprint(w.taken) != "[1 1 4 10]" || len(w.changed) > 0 || r.Stats().Dropped != 14 {
		t.Errorf("taken %v, changed %q, %d dropped; want two records and notes of 4 and 10", w.taken, w.changed, r.Stats().Dropped)
	}
}

type batching struct{ memory }

func (*batching) BatchEvery() time.Duration { return time.Hour }

func TestABatchingSinkGetsWhatComesInItsPauseInOneBatch(t *testing.T) {
	p := &batching{}
	p.enters = make(chan struct{}, 100)
	r := newRecorder(t, options{burst: 1 << 30}, p)
	r.Record(Event{Type: "x"}) // at once
	await(t, "the first record", func() bool { return len(p.records()) == 1 })
	for range 9 {
		r.Record(Event{Type: "x"})
	}
	closeAll(t, r) // does not wait for an hour
	if len(p.records()) != 10 || len(p.enters) != 2 {
		t.Errorf("%d records in %d batches, want 10 in 2", len(p.records()), len(p.enters))
	}
}
