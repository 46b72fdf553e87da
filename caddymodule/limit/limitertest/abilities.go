package limitertest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
)

// abilities are the stories of the optional interfaces that the limiter implements.
func (s Suite) abilities(t *testing.T) (stories []story) {
	l, _ := s.New(t)
	if _, ok := l.(limit.Saver); ok {
		stories = append(stories,
			story{"a restart gives nobody a fresh quota", saves},
			story{"an unusable snapshot changes nothing", refusesSnapshots})
	}
	if _, ok := l.(limit.Checker); ok {
		stories = append(stories, story{"a store that works is checked without an error", checks})
	}
	if _, ok := l.(limit.Counted); ok {
		stories = append(stories, story{"what is asked of the store is counted", counts})
	}
	if l, ok := l.(limit.Shared); ok && l.Shared() {
		stories = append(stories, story{"two limiters on one store share their counts", shares})
	}
	return stories
}

func (f *fixture) snapshot(l limit.Limiter) []byte {
	f.Helper()
	var buf bytes.Buffer
	if err := l.(limit.Saver).Snapshot(&buf); err != nil {
		f.Fatal(err)
	}
	return buf.Bytes()
}

// fresh returns another limiter, with nothing consumed.
func (f *fixture) fresh() *fixture {
	g := *f
	g.l, g.clock = f.suite.New(f.T)
	return &g
}

func saves(f *fixture) {
	p := f.policy("10/1h tenant:20/1h 5/concurrent")
	for range 4 {
		f.take(p, 1) // their requests end with the process
	}
	f.clock.Advance(time.Minute)
	next := f.fresh()
	if err := next.l.(limit.Saver).Restore(bytes.NewReader(f.snapshot(f.l))); err != nil {
		f.Fatal(err)
	}
	before, after := f.take(f.policy("10/1h tenant:20/1h"), 1), next.take(p, 1)
	for i := range 2 {
		if before.States[i].Remaining != after.States[i].Remaining {
			f.Errorf("limit %d: %d left after a restart, expected %d", i, after.States[i].Remaining, before.States[i].Remaining)
		}
	}
	if left := after.States[2].Remaining; left != 4 {
		f.Errorf("%d slots left after a restart, expected 4", left)
	}
}

func refusesSnapshots(f *fixture) {
	p := f.policy("10/1h")
	f.take(p, 1)
	good := f.snapshot(f.l)
	for what, data := range map[string][]byte{
		"nothing": nil, "something else": []byte("{}"), "cut short": good[:len(good)-1], "followed by more": append(bytes.Clone(good), 0),
	} {
		f.Run(what, func(t *testing.T) {
			next := f.fresh()
			next.T = t
			if err := next.l.(limit.Saver).Restore(bytes.NewReader(data)); !errors.Is(err, limit.ErrSnapshot) {
				t.Errorf("Restore says %v, expected ErrSnapshot", err)
			}
			if left := next.take(p, 1).States[0].Remaining; left != 9 {
				t.Errorf("%d left, expected 9", left)
			}
		})
	}
}

func checks(f *fixture) {
	if _, err := f.l.(limit.Checker).Check(f.Context()); err != nil {
		f.Error(err)
	}
}

func counts(f *fixture) {
	l := f.l.(limit.Counted)
	before := l.StoreStats()
	for range 5 {
		f.take(f.policy("100/1h"), 1)
	}
	if after := l.StoreStats(); after.Calls <= before.Calls || after.Failures != before.Failures {
		f.Errorf("%+v after five requests, %+v before", after, before)
	}
}

func shares(f *fixture) {
	if f.suite.Peer == nil {
		f.Fatal("the limiter says that it is shared; expected the suite to have a Peer")
	}
	p := f.policy("10/1h")
	first := f.take(p, 1)
	peer := *f
	peer.l = f.suite.Peer(f.T)
	if second := peer.take(p, 1); second.States[0].Remaining >= first.States[0].Remaining {
		f.Errorf("%d left at the second limiter after %d at the first", second.States[0].Remaining, first.States[0].Remaining)
	}
}
