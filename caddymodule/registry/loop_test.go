package registry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// forgetful is a script that says that nothing has changed until it is told to
// forget.
type forgetful struct {
	*script
	known bool
}

func (f *forgetful) Load(ctx context.Context) ([]Record, error) {
	if f.known {
		return nil, ErrUnchanged
	}
	f.known = true
	return f.script.Load(ctx)
}

func (f *forgetful) Forget() { f.known = false }

func TestARefreshAlwaysReads(t *testing.T) {
	source := &forgetful{script: newScript(Record{Slug: "acme"})}
	r := open(t, source, nil, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	source.say(nil, Record{Slug: "acme"}, Record{Slug: "globex"})
	for range 2 {
		if err := r.Refresh(within(t)); err != nil || slugsOf(r.Snapshot()) != "acme globex" {
			t.Errorf("tenants %s, %v", slugsOf(r.Snapshot()), err)
		}
	}
	if source.loads != 3 {
		t.Errorf("read %d times", source.loads)
	}
}

// A change that went by unseen is found after ten minutes.
func TestNowAndThenEverythingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &forgetful{script: newScript(Record{Slug: "acme"})}
		r := Open(Options{Source: source, Interval: time.Second})
		defer r.Close()
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		source.say(nil, Record{Slug: "globex"})
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := slugsOf(r.Snapshot()); got != "acme" || source.count() != 1 {
			t.Errorf("tenants %s after reading %d times", got, source.count())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := slugsOf(r.Snapshot()); got != "globex" || source.count() != 2 {
			t.Errorf("tenants %s after reading %d times", got, source.count())
		}
	})
}

// slow is a script whose Load takes its time.
type slow struct {
	*script
	takes atomic.Int64 // a time.Duration
	waits time.Duration
}

func newSlow(takes, waits time.Duration, records ...Record) *slow {
	s := &slow{script: newScript(records...), waits: waits}
	s.takes.Store(int64(takes))
	return s
}

func (s *slow) Load(ctx context.Context) ([]Record, error) {
	time.Sleep(time.Duration(s.takes.Load()))
	return s.script.Load(ctx)
}

func (s *slow) Waited() time.Duration { return s.waits }

// Reading everything again and again must leave the processor to others: a tenth of
// it, unless somebody asks for more.
func TestFullReadsArePaced(t *testing.T) {
	for name, test := range map[string]struct {
		takes, waits time.Duration
		most, least  int // reads in ten seconds, in the long run
	}{
		"quick":            {0, 0, 21, 19},
		"long":             {200 * time.Millisecond, 0, 6, 5},
		"waiting for long": {200 * time.Millisecond, 200 * time.Millisecond, 21, 18},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := newSlow(test.takes, test.waits, Record{Slug: "acme"})
				r := Open(Options{Source: source, Interval: 500 * time.Millisecond})
				defer r.Close()
				time.Sleep(time.Minute)
				synctest.Wait()
				start := source.count()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := source.count() - start; n > test.most || n < test.least {
					t.Errorf("read %d times in ten seconds, want %d to %d", n, test.least, test.most)
				}
				before := source.count()
				if err := r.Refresh(t.Context()); err != nil || source.count() == before {
					t.Errorf("a refresh did not read: %v", err)
				}
				source.say(nil, Record{Slug: "acme"}, Record{Slug: "globex"})
				source.changed <- struct{}{}
				time.Sleep(test.takes + 200*time.Millisecond)
				synctest.Wait()
				if r.Snapshot().Len() != 2 {
					t.Error("what was notified is not in force after 200 ms")
				}
			})
		})
	}
}

// Who reads little may read at once.
func TestASingleChangeDoesNotWaitForThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newSlow(0, 0, Record{Slug: "acme"})
		source.changed = nil
		r := Open(Options{Source: source, Interval: 100 * time.Millisecond})
		defer r.Close()
		time.Sleep(20 * time.Second)
		source.takes.Store(int64(50 * time.Millisecond))
		for i := range 5 {
			source.say(nil, Record{Slug: fmt.Sprint("t", i)})
			time.Sleep(250 * time.Millisecond)
			synctest.Wait()
			if got := slugsOf(r.Snapshot()); got != fmt.Sprint("t", i) {
				t.Errorf("after 250 ms there is %s", got)
			}
		}
	})
}

func TestAFailingSourceIsPolledLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newScript()
		source.say(errors.New("down"))
		r := Open(Options{Source: source, Interval: 100 * time.Millisecond})
		defer r.Close()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := source.count(); n < 12 || n > 16 {
			t.Errorf("polled %d times in twenty seconds", n)
		}
		source.say(nil, Record{Slug: "acme"})
		time.Sleep(maxBackoff)
		synctest.Wait()
		if r.Snapshot().Len() != 1 {
			t.Error("back for two seconds, and not read")
		}
		before := source.count()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := source.count() - before; n < 9 {
			t.Errorf("polled %d times in a second after that", n)
		}
	})
}

// A reload that changes only how the same source is read keeps serving, also if
// the source is down just then.
func TestASeedIsServedAtOnce(t *testing.T) {
	now := noon
	clock := func() time.Time { return now }
	first := Open(Options{Source: newScript(sample()...), Interval: time.Hour, Now: clock})
	defer first.Close()
	if err := first.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	now = noon.Add(time.Minute)
	if err := first.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	now = noon.Add(2 * time.Minute)
	source := newScript()
	source.say(errors.New("down"))
	store := &memoryStore{data: []byte("garbage")}
	second := Open(Options{Source: source, Interval: time.Hour, Now: clock, MaxStale: 90 * time.Second, Store: store, Seed: first.Snapshot(), SeedGoodAt: first.GoodAt()})
	defer second.Close()
	if second.Snapshot() != first.Snapshot() || second.WaitFirst(within(t)) != nil || second.Stale() || second.Age() != time.Minute {
		t.Errorf("not served at once: %d tenants, age %v", second.Snapshot().Len(), second.Age())
	}
	events := make(chan Event, 10)
	defer second.Subscribe(func(e Event) { events <- e })()
	if e := (<-events).(Failed); e.LoadedAt != noon.Add(time.Minute) {
		t.Errorf("first event %+v", e)
	}
	if second.Snapshot() != first.Snapshot() || !second.Snapshot().LoadedAt().Equal(noon) {
		t.Error("the failure cost the seed")
	}
	source.say(nil, sample()...)
	if err := second.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := (<-events).(Loaded); !e.First || e.Added+e.Changed+e.Removed != 0 || second.Snapshot() != first.Snapshot() {
		t.Errorf("then %+v", e)
	}
}

func TestASeedOfCredentialsIsServedAtOnce(t *testing.T) {
	seed := sampleCredentials()
	seed.at = noon
	s := &credentialScript{err: errors.New("down")}
	f := OpenCredentials(CredentialOptions{Source: s, Seed: seed, SeedGoodAt: noon, Now: func() time.Time { return noon.Add(time.Second) }})
	defer f.Close()
	if f.Current() != seed || f.WaitFirst(within(t)) != nil || f.Age() != time.Second {
		t.Errorf("not served at once: %v, age %v", f.Current(), f.Age())
	}
	s.say(sampleCredentials(), nil)
	if err := f.Refresh(within(t)); err != nil || f.Current() != seed {
		t.Errorf("the same again: %v", err)
	}
}

func TestALookupAllocatesNothing(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	acme := slug("acme")
	if n := testing.AllocsPerRun(100, func() {
		if s.BySlug(acme) == nil || s.ByHost("a.example") == nil || s.ByHost("nobody.example") != nil || s.BySlug(tenant.Slug{}) != nil {
			t.Error("wrong answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
