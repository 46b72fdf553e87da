package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a place where tenants are kept, with the means to change and to break
// it that the tests of every source need.
type world interface {
	// source returns a new source that reads the place.
	source(t *testing.T) Source
	// put makes the records the place's content, whether it was there before or not.
	put(t *testing.T, records ...Record)
	// spoil makes the place's content unreadable, and remove takes it away, both
	// until the next put.
	spoil(t *testing.T)
	remove(t *testing.T)
}

// conform is what every source must do, wherever the tenants are.
func conform(t *testing.T, newWorld func(t *testing.T) world) {
	acme := Record{ID: "t-1", Slug: "acme", Name: "Acme, Inc. \"Ä\" 'x'", Plan: "free", Status: "active", Limits: "200/1h 10/1s",
		Hosts: []string{"acme.example", "www.acme.example"}, Created: noon}
	globex := Record{ID: "t-2", Slug: "globex", Status: "suspended"}
	initech := Record{ID: "t-3", Slug: "initech", Status: "active", Created: noon.Add(-time.Hour)}

	cases := map[string]func(t *testing.T, w world, s Source){
		"every field is read": func(t *testing.T, w world, s Source) {
			w.put(t, acme, globex)
			expect(t, s, acme, globex)
		},
		"an empty list is no failure": func(t *testing.T, w world, s Source) {
			w.put(t)
			expect(t, s)
		},
		"what has not changed is not read again": func(t *testing.T, w world, s Source) {
			w.put(t, acme)
			expect(t, s, acme)
			for range 3 {
				if _, err := s.Load(within(t)); !errors.Is(err, ErrUnchanged) {
					t.Errorf("error = %v", err)
				}
			}
		},
		"each kind of change is seen": func(t *testing.T, w world, s Source) {
			w.put(t, acme, globex)
			expect(t, s, acme, globex)
			changed := globex
			changed.Status = "active"
			w.put(t, acme, changed)
			expect(t, s, acme, changed)
			w.put(t, acme, changed, initech)
			expect(t, s, acme, changed, initech)
			w.put(t, changed)
			expect(t, s, changed)
			changed.Hosts = []string{"globex.example"}
			w.put(t, changed)
			expect(t, s, changed)
		},
		"what is not there yet may come later": func(t *testing.T, w world, s Source) {
			w.remove(t)
			refuse(t, s)
			w.put(t, acme)
			expect(t, s, acme)
		},
		"after it was away, all is read": func(t *testing.T, w world, s Source) {
			w.put(t, acme)
			expect(t, s, acme)
			w.remove(t)
			refuse(t, s)
			refuse(t, s)
			w.put(t, acme)
			expect(t, s, acme)
			w.put(t, globex)
			expect(t, s, globex)
		},
		"after it was unreadable, all is read": func(t *testing.T, w world, s Source) {
			w.put(t, acme)
			expect(t, s, acme)
			w.spoil(t)
			refuse(t, s)
			refuse(t, s)
			w.put(t, acme, globex)
			expect(t, s, acme, globex)
		},
		"an ended context ends the look": func(t *testing.T, w world, s Source) {
			w.put(t, acme)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			// A source may be done before it looks at the context.
			if records, err := s.Load(ctx); err == nil && len(records) != 1 || err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, %v", records, err)
			}
			w.put(t, acme, globex)
			expect(t, s, acme, globex)
		},
		"a registry follows through every failure": func(t *testing.T, w world, s Source) {
			w.put(t, acme)
			r := Open(Options{Source: &unclosed{s}, Interval: time.Millisecond})
			defer r.Close()
			shows := func(slugs string) {
				t.Helper()
				eventually(t, slugs, func() bool { return slugsOf(r.Snapshot()) == slugs })
			}
			shows("acme")
			for _, harm := range []func(*testing.T){w.remove, w.spoil} {
				before := r.Stats().Failures
				harm(t)
				eventually(t, "a failure", func() bool { return r.Stats().Failures > before })
				shows("acme")
				w.put(t, acme, globex)
				shows("acme globex")
				w.put(t, acme)
				shows("acme")
			}
		},
		"closing twice is harmless": func(t *testing.T, w world, s Source) {
			w.put(t, acme)
			expect(t, s, acme)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.source(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, w, s)
		})
	}
}

// unclosed leaves the closing to the test.
type unclosed struct{ Source }

func (unclosed) Close() error { return nil }

// expect waits until the source has something new, since a file's time of change
// is coarse, and compares it.
func expect(t *testing.T, s Source, want ...Record) {
	t.Helper()
	var got []Record
	eventually(t, "records", func() bool {
		var err error
		got, err = s.Load(within(t))
		if err != nil && !errors.Is(err, ErrUnchanged) {
			t.Fatalf("Load: %v", err)
		}
		return err == nil
	})
	for i := range got {
		if got[i].Row != i+1 {
			t.Errorf("record %d is in row %d", i, got[i].Row)
		}
		got[i].Row, got[i].Line = 0, 0
		got[i].Created = got[i].Created.UTC()
		slices.Sort(got[i].Hosts)
	}
	slices.SortFunc(got, func(a, b Record) int { return strings.Compare(a.Slug, b.Slug) })
	if len(got) != len(want) {
		t.Fatalf("got %d records %+v, want %d", len(got), got, len(want))
	}
	for i := range want {
		if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
			t.Errorf("got  %s\nwant %s", g, w)
		}
	}
}

// refuse expects an error that names the source.
func refuse(t *testing.T, s Source) {
	t.Helper()
	var records []Record
	err := ErrUnchanged
	eventually(t, "an error", func() bool { // a long poll's comes by itself
		records, err = s.Load(within(t))
		return !errors.Is(err, ErrUnchanged)
	})
	if err == nil || records != nil {
		t.Fatalf("got %v, %v, want an error", records, err)
	}
	if !strings.HasPrefix(err.Error(), "reading tenants from ") {
		t.Errorf("the error does not say where: %v", err)
	}
}
