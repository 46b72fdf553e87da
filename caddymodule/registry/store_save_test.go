package registry

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheLatestSnapshotIsSavedInTheEnd(t *testing.T) {
	store := &memoryStore{}
	source := newScript(sample()...)
	r := Open(Options{Source: source, Store: store, Interval: time.Hour})
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"One", "Two", "Three"} {
		records := sample()
		records[0].Name = name
		source.say(nil, records...)
		if err := r.Refresh(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.Close()
	saved, _, err := decodeSnapshot(store.data, "script")
	if acme := saved.BySlug(slug("acme")); err != nil || saved.Len() != 2 || acme == nil || acme.Name != "Three" {
		t.Errorf("saved %+v, %v", saved, err)
	}
	if store.saves > 2 {
		t.Errorf("four snapshots at once made %d saves", store.saves)
	}
}

func TestWhatIsRefusedFromNowOnIsSavedAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		change func([]Record) []Record
		soon   bool
	}{
		"a suspension": {func(r []Record) []Record { r[0].Status = "suspended"; return r }, true},
		"a removal":    {func(r []Record) []Record { return r[1:] }, true},
		"a lost host":  {func(r []Record) []Record { r[0].Hosts = r[0].Hosts[1:]; return r }, true},
		"another issuer": {func(r []Record) []Record {
			r[0].Issuer, r[0].JWKS = "https://i.example", "https://i.example/k"
			return r
		}, true},
		"another name":     {func(r []Record) []Record { r[0].Name = "Other"; return r }, false},
		"one more host":    {func(r []Record) []Record { r[0].Hosts = append(r[0].Hosts, "c.example"); return r }, false},
		"a reactivation":   {func(r []Record) []Record { r[1].Status = "active"; return r }, false},
		"one more, active": {func(r []Record) []Record { return append(r, Record{Slug: "initech", Row: 3}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, source := &memoryStore{}, newScript(sample()...)
				r := Open(Options{Source: source, Store: store, Interval: time.Hour})
				defer r.Close()
				synctest.Wait()
				before := store.count()
				source.say(nil, test.change(sample())...)
				if err := r.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if soon := store.count() > before; soon != test.soon {
					t.Errorf("saved at once: %t, want %t", soon, test.soon)
				}
				time.Sleep(saveGap)
				synctest.Wait()
				data, _ := store.Load(t.Context())
				saved, _, err := decodeSnapshot(data, "script")
				if err != nil || dump(saved) != dump(r.Snapshot()) {
					t.Errorf("saved in the end, with %v:\n%s\nwant\n%s", err, dump(saved), dump(r.Snapshot()))
				}
			})
		})
	}
}

func TestAnOutdatedSnapshotIsNotSavedOverALaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		gateway := func() (*script, *Registry) {
			source := newScript(sample()...)
			r := Open(Options{Source: source, Store: store, Interval: time.Hour})
			synctest.Wait()
			return source, r
		}
		saved := func() string {
			data, _ := store.Load(t.Context())
			s, _, err := decodeSnapshot(data, "script")
			if err != nil {
				t.Fatal(err)
			}
			return s.BySlug(slug("acme")).Name + " " + s.BySlug(slug("acme")).Status.String()
		}
		cut, one := gateway()
		whole, other := gateway()
		defer one.Close()
		defer other.Close()

		named := sample()
		named[0].Name = "Renamed"
		cut.say(nil, named...)
		if err := one.Refresh(t.Context()); err != nil { // waits for saveGap
			t.Fatal(err)
		}
		cut.say(errors.New("down"))
		time.Sleep(time.Second)
		suspended := sample()
		suspended[0].Name, suspended[0].Status = "Renamed", "suspended"
		whole.say(nil, suspended...)
		if err := other.Refresh(t.Context()); err != nil { // is saved at once
			t.Fatal(err)
		}
		synctest.Wait()
		if got := saved(); got != "Renamed suspended" {
			t.Fatalf("saved %q", got)
		}
		time.Sleep(2 * saveGap)
		synctest.Wait()
		if got := saved(); got != "Renamed suspended" {
			t.Errorf("the gateway without its source saved %q over it", got)
		}

		// One whose clock is ahead keeps nobody from saving.
		ahead, _ := load(newParser(nil), emptySnapshot(), sample()...)
		_ = store.Save(t.Context(), encodeSnapshot(ahead, "script", time.Now().Add(time.Hour)))
		suspended[0].Name = "Last"
		whole.say(nil, suspended...)
		if err := other.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * saveGap)
		synctest.Wait()
		if got := saved(); got != "Last suspended" {
			t.Errorf("saved %q", got)
		}
	})
}

func TestAnUnchangedSnapshotIsSavedAgainNowAndThen(t *testing.T) {
	w := &snapshotWriter[Snapshot]{next: make(chan unsaved[Snapshot], 1)}
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	w.write(s, noon, false)
	<-w.next
	w.write(s, noon.Add(saveAnyway-1), false)
	if len(w.next) != 0 {
		t.Error("saved too early")
	}
	w.write(s, noon.Add(saveAnyway), false)
	if got := <-w.next; got.value != s || !got.goodAt.Equal(noon.Add(saveAnyway)) {
		t.Errorf("got %+v", got)
	}
}
