package registry

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryStore is a store that fails when told to.
type memoryStore struct {
	mu    sync.Mutex
	data  []byte
	err   error
	saves int
}

func (s *memoryStore) Save(_ context.Context, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves++
	if s.err == nil {
		s.data = data
	}
	return s.err
}

func (s *memoryStore) Load(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil && s.err == nil {
		return nil, fs.ErrNotExist
	}
	return s.data, s.err
}

func (s *memoryStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves
}

func sample() []Record {
	return []Record{
		{ID: "t-1", Slug: "acme", Name: "Acme Ä", Plan: "free", Status: "active", Limits: "5/1s", Hosts: []string{"a.example", "b.example"}, Row: 1},
		{ID: "t-2", Slug: "globex", Status: "suspended", Row: 2},
	}
}

// encodeSnapshot makes the bytes that a registry of that source saves, and
// decodeSnapshot the snapshot that one begins with.
func encodeSnapshot(s *Snapshot, source string, goodAt time.Time) []byte {
	data, err := seal(heading{"the tenants' snapshot", source, goodAt}, newParser(nil).save(s))
	if err != nil {
		panic(err)
	}
	return data
}

func decodeSnapshot(data []byte, source string) (*Snapshot, time.Time, error) {
	goodAt, decode, err := unseal(data, heading{What: "the tenants' snapshot", Source: source})
	if err != nil {
		return nil, time.Time{}, err
	}
	got, err := newParser(nil).restore(decode, goodAt)
	return got.value, goodAt, err
}

func TestASnapshotSurvivesSavingAsItIs(t *testing.T) {
	records := append(sample(),
		Record{Slug: "hooli", Issuer: "https://i.example", JWKS: "https://i.example/keys", Upstreams: []string{"10.0.0.1:80"}},
		Record{Slug: "initech", Issuer: "https://i.example", JWKS: "https://other.example/keys"},
		Record{Slug: "umbrella", Upstreams: []string{"wrong"}, Plan: "No Plan"})
	s, _ := load(newParser(nil), emptySnapshot(), records...)
	got, goodAt, err := decodeSnapshot(encodeSnapshot(s, "script", noon), "script")
	if err != nil || !goodAt.Equal(noon) || !got.LoadedAt().Equal(noon) {
		t.Fatalf("got %v, %v", goodAt, err)
	}
	if tenantsOf(got) != tenantsOf(s) {
		t.Errorf("got\n%s\nwant\n%s", dump(got), dump(s))
	}
	if got.BySlug(slug("initech")).Fault == "" || got.BySlug(slug("hooli")).Fault != "" || got.BySlug(slug("umbrella")).Fault == "" {
		t.Errorf("who is closed has changed:\n%s", dump(got))
	}
	if none, _, err := decodeSnapshot(encodeSnapshot(emptySnapshot(), "x", noon), "x"); err != nil || none.Len() != 0 {
		t.Errorf("an empty snapshot: %v, %v", none, err)
	}
}

// tenantsOf is a dump without the problems, which are not saved.
func tenantsOf(s *Snapshot) string { return strings.TrimSuffix(dump(s), problemsOf(s)) }

func TestADamagedSnapshotIsRefusedAndNamed(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	good := encodeSnapshot(s, "script", noon)
	sealedText, _ := seal(heading{"the tenants' snapshot", "script", noon}, "text")
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "expected a snapshot of this version, found something else"},
		"foreign":       {[]byte(strings.Repeat("x", 200)), "expected a snapshot of this version, found something else"},
		"older":         {[]byte("tenancy-snapshot\x02" + string(good)), "expected a snapshot of this version, found something else"},
		"cut":           {good[:len(good)-1], "the checksum is wrong: the snapshot is damaged"},
		"cut early":     {good[:len(sealedLine)+7], "expected a snapshot of this version, found something else"},
		"longer":        {append(bytes.Clone(good), 0), "the checksum is wrong: the snapshot is damaged"},
		"other source":  {encodeSnapshot(s, "postgres elsewhere", noon), `expected the tenants' snapshot of "script", found the tenants' snapshot of "postgres elsewhere"`},
		"other thing":   {encodeCredentials(NewCredentials(), "script", noon), `expected the tenants' snapshot of "script", found the credentials of "script"`},
		"other content": {sealedText, "gob: decoding into local type"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, err := decodeSnapshot(test.data, "script"); err == nil || !strings.HasPrefix(err.Error(), test.want) || got != nil {
				t.Errorf("%v, %v, want %s", got, err, test.want)
			}
		})
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, _, err := decodeSnapshot(bad, "script"); err == nil {
			t.Fatalf("a changed byte %d was not noticed", i)
		}
	}
}

// fileStore is a store in a file, as Caddy's storage is one.
type fileStore string

func (s fileStore) Load(context.Context) ([]byte, error) { return os.ReadFile(string(s)) }
func (s fileStore) Save(_ context.Context, data []byte) error {
	return os.WriteFile(string(s), data, 0o600)
}

func TestARestartWithoutTheSourceServesTheSavedTenants(t *testing.T) {
	store := fileStore(filepath.Join(t.TempDir(), "tenants.snapshot"))
	source := newScript(sample()...)
	now := noon
	options := Options{Source: source, Store: store, Interval: time.Hour, Now: func() time.Time { return now }}
	r := Open(options)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	want := dump(r.Snapshot())
	_ = r.Close() // saves what was not saved yet

	now = noon.Add(time.Hour)
	source.say(errors.New("down"))
	options.MaxStale = 2 * time.Hour
	r = Open(options)
	defer r.Close()
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := dump(r.Snapshot()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if s := r.Stats(); s.Age != time.Hour || s.Loads != 0 || s.LastError == nil || !s.LoadedAt.Equal(noon) {
		t.Errorf("stats %+v", s)
	}
	events := make(chan Event, 10)
	defer r.Subscribe(func(e Event) { events <- e })()
	if e := (<-events).(Loaded); !e.Restored || e.Snapshot.Len() != 2 {
		t.Errorf("event %+v", e)
	}
	acme := r.Snapshot().BySlug(slug("acme"))
	source.say(nil, sample()...)
	if err := r.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := (<-events).(Loaded); e.Restored || !e.First || e.Added != 0 {
		t.Errorf("event %+v", e)
	}
	if r.Snapshot().BySlug(slug("acme")) != acme || r.Stats().Age != 0 {
		t.Error("the first load did not build on the restored snapshot")
	}
}

func TestASavedSnapshotIsCheckedLikeAnySource(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	store := &memoryStore{data: encodeSnapshot(s, "script", noon)}
	source := newScript()
	source.say(errors.New("down"))
	r := Open(Options{Source: source, Store: store, Interval: time.Hour, Check: checkLimits})
	defer r.Close()
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	if slugsOf(r.Snapshot()) != "acme globex" || r.Snapshot().BySlug(slug("acme")).Limits != "" || !strings.Contains(problemsOf(r.Snapshot()), "no limits allowed") {
		t.Errorf("tenants %s, problems %s", slugsOf(r.Snapshot()), problemsOf(r.Snapshot()))
	}
}

func TestAStoreThatFailsIsNamedAndChangesNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		store *memoryStore
		want  string
	}{
		"cannot load":  {&memoryStore{err: errors.New("disk on fire")}, "restoring the tenants' snapshot: disk on fire"},
		"has garbage":  {&memoryStore{data: []byte("garbage")}, "restoring the tenants' snapshot: expected a snapshot of this version, found something else"},
		"holds others": {&memoryStore{data: encodeSnapshot(emptySnapshot(), "other", noon)}, `restoring the tenants' snapshot: expected the tenants' snapshot of "script", found the tenants' snapshot of "other"`},
	} {
		source := newScript()
		source.say(errors.New("down"))
		r := Open(Options{Source: source, Store: test.store, Interval: time.Hour})
		if err := r.Refresh(within(t)); err == nil || r.Snapshot().Len() != 0 {
			t.Errorf("%s: %v", name, err)
		}
		events := make(chan Event, 10)
		r.Subscribe(func(e Event) { events <- e }) // late, and told all the same
		if _, ok := (<-events).(Failed); !ok {
			t.Errorf("%s: the source's failure came not first", name)
		}
		if failed := (<-events).(StoreFailed); failed.Err.Error() != test.want {
			t.Errorf("%s: %v", name, failed.Err)
		}
		_ = r.Close()
	}

	store := &memoryStore{err: errors.New("disk full")}
	r := Open(Options{Source: newScript(sample()...), Store: store, Interval: time.Hour})
	defer r.Close()
	events := make(chan Event, 10)
	defer r.Subscribe(func(e Event) { events <- e })()
	for {
		if failed, ok := (<-events).(StoreFailed); ok && !strings.HasPrefix(failed.Err.Error(), "restoring ") {
			if failed.Err.Error() != "saving the tenants' snapshot: disk full" || slugsOf(r.Snapshot()) != "acme globex" {
				t.Errorf("%v, tenants %s", failed.Err, slugsOf(r.Snapshot()))
			}
			break
		}
	}
}

func TestASnapshotGrowsStaleOnlyWhenALimitIsSet(t *testing.T) {
	source := newScript(sample()...)
	now := noon
	clock := func() time.Time { return now }
	limited := Open(Options{Source: source, Interval: time.Hour, MaxStale: time.Minute, Now: clock})
	defer limited.Close()
	unlimited := Open(Options{Source: newScript(), Interval: time.Hour, Now: clock})
	defer unlimited.Close()
	if err := errors.Join(limited.WaitFirst(within(t)), unlimited.WaitFirst(within(t))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		wait  time.Duration
		err   error
		stale bool
	}{
		{time.Minute, errors.New("down"), false},
		{1, errors.New("down"), true},
		{0, ErrUnchanged, false},
		{time.Hour, errors.New("down"), true},
		{0, nil, false},
	} {
		now = now.Add(step.wait)
		source.say(step.err, sample()...)
		_ = limited.Refresh(within(t))
		if limited.Stale() != step.stale {
			t.Errorf("after %v with %v: stale is %v", step.wait, step.err, limited.Stale())
		}
		if unlimited.Stale() {
			t.Error("stale without a limit")
		}
	}
}
