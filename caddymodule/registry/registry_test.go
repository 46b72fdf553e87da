package registry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpenNeitherWaitsNorFailsWhenTheSourceIsDown(t *testing.T) {
	source := newScript()
	source.say(errors.New("down"))
	r := open(t, source, nil, nil)
	if s := r.Snapshot(); s.Len() != 0 || s.BySlug(slug("acme")) != nil || s.ByHost("acme.example") != nil || !s.LoadedAt().IsZero() {
		t.Errorf("got %+v before the first load", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Refresh(within(t)); err == nil || err.Error() != "down" {
		t.Errorf("Refresh = %v", err)
	}
	cancel()
	if err := r.WaitFirst(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for tenants from script: context canceled: down") {
		t.Errorf("WaitFirst = %v", err)
	}

	source.say(nil, Record{Slug: "acme"})
	waited := make(chan error, 1)
	go func() { waited <- r.WaitFirst(within(t)) }()
	if err := r.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("WaitFirst = %v", err)
	}
	if r.Snapshot().BySlug(slug("acme")) == nil {
		t.Error("the tenant is not there")
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := r.WaitFirst(ctx); err != nil {
		t.Errorf("after the first load, WaitFirst = %v", err)
	}
}

func TestAFailureKeepsTheLastGoodSnapshot(t *testing.T) {
	source := newScript(Record{Slug: "acme"})
	r := open(t, source, nil, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	good := r.Snapshot()
	source.say(errors.New("down"), Record{Slug: "globex"})
	if err := r.Refresh(within(t)); err == nil {
		t.Error("no error")
	}
	if r.Snapshot() != good || good.BySlug(slug("acme")) == nil {
		t.Error("the snapshot has changed")
	}
	source.hook = func(context.Context) { panic("choked") }
	if err := r.Refresh(within(t)); err == nil || err.Error() != "reading tenants from script: panic: choked" {
		t.Errorf("error = %v", err)
	}
	source.hook = nil
	source.say(ErrUnchanged)
	if err := r.Refresh(within(t)); err != nil || r.Snapshot() != good {
		t.Errorf("unchanged: %v", err)
	}
}

func TestASourceThatHasNothingNewBeforeItHadAnythingHasFailed(t *testing.T) {
	source := newScript()
	source.say(ErrUnchanged)
	r := open(t, source, nil, nil)
	if err := r.Refresh(within(t)); !errors.Is(err, ErrUnchanged) {
		t.Errorf("error = %v", err)
	}
}

func TestAStuckSourceIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newScript(Record{Slug: "acme"})
		source.hook = func(ctx context.Context) { <-ctx.Done() }
		source.err = context.DeadlineExceeded
		r := Open(Options{Source: source, Interval: time.Hour})
		defer r.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.Stats().Failures != 1 {
			t.Errorf("%d failures", r.Stats().Failures)
		}
	})
}

func TestChangesArriveByThemselves(t *testing.T) {
	for name, interval := range map[string]time.Duration{"by polling": time.Millisecond, "by notification": time.Hour} {
		t.Run(name, func(t *testing.T) {
			source := newScript(Record{Slug: "acme"})
			r := Open(Options{Source: source, Interval: interval})
			if err := r.WaitFirst(within(t)); err != nil {
				t.Fatal(err)
			}
			source.say(nil, Record{Slug: "acme"}, Record{Slug: "globex"})
			if interval == time.Hour {
				source.changed <- struct{}{}
			}
			eventually(t, name, func() bool { return r.Snapshot().Len() == 2 })
			_ = r.Close()
		})
	}
}

func TestCloseEndsEverythingOnce(t *testing.T) {
	source := newScript(Record{Slug: "acme"})
	source.hook = func(ctx context.Context) {
		if source.loads > 1 {
			<-ctx.Done()
		}
	}
	r := open(t, source, nil, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	refreshed := make(chan error, 1)
	go func() { refreshed <- r.Refresh(within(t)) }()
	eventually(t, "the load under way", func() bool {
		source.mu.Lock()
		defer source.mu.Unlock()
		return source.loads == 2
	})
	if err := r.Close(); !errors.Is(err, errClosing) {
		t.Errorf("Close = %v", err)
	}
	if err := <-refreshed; !errors.Is(err, ErrClosed) {
		t.Errorf("Refresh under way = %v", err)
	}
	_ = r.Close()
	if source.closed != 1 {
		t.Errorf("the source was closed %d times", source.closed)
	}
	if err := r.Refresh(within(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Refresh after Close = %v", err)
	}
	if r.Snapshot().Len() != 1 || r.Stats().Failures != 0 {
		t.Error("closing cost the snapshot or counted as a failure")
	}
}

func TestWaitFirstEndsWithTheRegistry(t *testing.T) {
	source := newScript()
	source.say(errors.New("down"))
	r := open(t, source, nil, nil)
	_ = r.Close()
	if err := r.WaitFirst(within(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("WaitFirst = %v", err)
	}
}

func TestRefreshStopsWaitingWithItsContext(t *testing.T) {
	source := newScript()
	release := make(chan struct{})
	source.hook = func(context.Context) { <-release }
	r := open(t, source, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Refresh = %v", err)
	}
	close(release)
}

func TestSubscribersHearWhatChanged(t *testing.T) {
	source := newScript(Record{Slug: "acme"}, Record{Slug: "globex"}, Record{Slug: "-"})
	now := noon
	r := Open(Options{Source: source, Interval: time.Hour, Now: func() time.Time { return now }})
	defer r.Close()
	events := make(chan Event, 10)
	cancel := r.Subscribe(func(e Event) { events <- e })

	first := (<-events).(Loaded)
	if !first.First || first.Added != 2 || first.Snapshot.Len() != 2 || first.Snapshot.ProblemCount() != 1 || first.Snapshot != r.Snapshot() {
		t.Errorf("first event %+v", first)
	}

	source.say(nil, Record{Slug: "acme", Name: "Acme", Hosts: []string{"acme.example"}}, Record{Slug: "initech"})
	if err := r.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	second := (<-events).(Loaded)
	if second.First || second.Snapshot != r.Snapshot() || second.Snapshot.Hosts() != 1 || second.Snapshot.ProblemCount() != 0 ||
		second.Added != 1 || second.Changed != 1 || second.Removed != 1 {
		t.Errorf("second event %+v", second)
	}

	if err := r.Refresh(within(t)); err != nil { // nothing new, nothing said
		t.Fatal(err)
	}
	source.say(errors.New("down"))
	_ = r.Refresh(within(t))
	now = noon.Add(time.Minute)
	_ = r.Refresh(within(t))
	if e := (<-events).(Failed); e.Count != 1 || e.Err.Error() != "down" || e.Since != noon || e.LoadedAt != noon {
		t.Errorf("third event %+v", e)
	}
	if e := (<-events).(Failed); e.Count != 2 || e.Since != noon {
		t.Errorf("fourth event %+v", e)
	}

	late := make(chan Event, 10)
	defer r.Subscribe(func(e Event) { late <- e })()
	if e := (<-late).(Failed); e.Count != 2 {
		t.Errorf("a late subscriber heard %+v", e)
	}
	cancel()
	_ = r.Refresh(within(t))
	if e := (<-late).(Failed); e.Count != 3 || len(events) != 0 {
		t.Errorf("after cancel: %+v, %d for the one that left", e, len(events))
	}
}

func TestStatsTellHowOldTheIndexIs(t *testing.T) {
	source := newScript()
	source.say(errors.New("down"))
	now := noon
	r := Open(Options{Source: source, Interval: time.Hour, Now: func() time.Time { return now }})
	defer r.Close()
	if err := r.Refresh(within(t)); err == nil {
		t.Fatal("no error")
	}
	now = now.Add(time.Second)
	if s := r.Stats(); s.Age != time.Second || s.LastError == nil || s.Failures != 2 || s.Loads != 0 || !s.GoodAt.IsZero() || s.Source != "script" {
		t.Errorf("before the first load: %+v", s)
	}
	source.say(nil, Record{Slug: "acme", Hosts: []string{"acme.example", "-"}})
	_ = r.Refresh(within(t))
	loaded := now
	now = now.Add(time.Minute)
	if s := r.Stats(); s.Age != time.Minute || s.LastError != nil || s.Loads != 1 || s.Tenants != 1 || s.Hosts != 1 || s.Problems != 1 || s.LoadedAt != loaded {
		t.Errorf("after it: %+v", s)
	}
	source.say(ErrUnchanged)
	_ = r.Refresh(within(t))
	if s := r.Stats(); s.Age != 0 || s.LoadedAt != loaded || s.GoodAt != now || s.Loads != 1 {
		t.Errorf("confirmed: %+v", s)
	}
	source.say(errors.New("down"))
	_ = r.Refresh(within(t))
	now = now.Add(time.Second)
	if s := r.Stats(); s.Age != time.Second || s.LastError == nil || s.Failures != 3 {
		t.Errorf("failing: %+v", s)
	}
}
