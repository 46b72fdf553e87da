package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
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

func TestASnapshotSurvivesSavingAsItIs(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	records, goodAt, err := decodeSnapshot(encodeSnapshot(s, "script", noon), "script")
	if err != nil || !goodAt.Equal(noon) {
		t.Fatalf("got %v, %v", goodAt, err)
	}
	again, _ := load(newParser(nil), emptySnapshot(), records...)
	if dump(again) != dump(s) {
		t.Errorf("got\n%s\nwant\n%s", dump(again), dump(s))
	}
	if records, _, err := decodeSnapshot(encodeSnapshot(emptySnapshot(), "x", noon), "x"); err != nil || records == nil || len(records) != 0 {
		t.Errorf("an empty snapshot: %v, %v", records, err)
	}
}

func TestADamagedSnapshotIsRefusedAndNamed(t *testing.T) {
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	good := encodeSnapshot(s, "script", noon)
	sealed := func(body string) []byte {
		b := append([]byte(snapshotFormat.magic), snapshotFormat.version)
		b = append(b, body...)
		sum := sha256.Sum256(b)
		return append(b, sum[:]...)
	}
	newer := bytes.Clone(good)
	newer[len(snapshotFormat.magic)] = 3
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, "expected a snapshot, found something else"},
		"foreign":       {[]byte(strings.Repeat("x", 200)), "expected a snapshot, found something else"},
		"newer":         {newer, "expected version 2, found 3"},
		"cut":           {good[:len(good)-1], "the checksum is wrong: the snapshot is damaged"},
		"longer":        {append(bytes.Clone(good), 0), "the checksum is wrong: the snapshot is damaged"},
		"other source":  {encodeSnapshot(s, "postgres elsewhere", noon), `it was made from another source: expected "script", found "postgres elsewhere"`},
		"sealed, cut":   {sealed("\x06script\x01\x05\x01"), "the snapshot ends too early"},
		"sealed, huge":  {sealed("\x06script\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "the snapshot ends too early"},
		"sealed, text":  {sealed("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "the snapshot ends too early"},
		"sealed, extra": {sealed("\x06script\x01\x00\x00"), "expected nothing after the last tenant"},
	} {
		if records, _, err := decodeSnapshot(test.data, "script"); err == nil || err.Error() != test.want || records != nil {
			t.Errorf("%s: %v, %v, want %s", name, records, err, test.want)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, _, err := decodeSnapshot(bad, "script"); err == nil {
			t.Fatalf("a changed byte %d was not noticed", i)
		}
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	s, _ := load(newParser(nil), emptySnapshot(), sample()...)
	data := encodeSnapshot(s, "script", noon)
	f.Add(data[snapshotFormat.header() : len(data)-sha256.Size])
	f.Add([]byte("\x06script\x01\x05\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append(append([]byte(snapshotFormat.magic), snapshotFormat.version), body...)
		sum := sha256.Sum256(b)
		if records, _, err := decodeSnapshot(append(b, sum[:]...), "script"); err != nil && records != nil {
			t.Fatal("records beside an error")
		}
	})
}

func TestARestartWithoutTheSourceServesTheSavedTenants(t *testing.T) {
	store := NewFileStore(filepath.Join(t.TempDir(), "tenants.snapshot"))
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
	if e := (<-events).(Loaded); !e.Restored || e.Tenants != 2 {
		t.Errorf("event %+v", e)
	}
	acme := r.Snapshot().BySlug(slug("acme"))
	source.say(nil, sample()...)
	if err := r.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	if e := (<-events).(Loaded); e.Restored || !e.First || e.AddedCount != 0 {
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
	if slugsOf(r.Snapshot()) != "globex" || !strings.Contains(problemsOf(r.Snapshot()), "no limits allowed") {
		t.Errorf("tenants %s, problems %s", slugsOf(r.Snapshot()), problemsOf(r.Snapshot()))
	}
}

func TestAStoreThatFailsIsNamedAndChangesNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		store *memoryStore
		want  string
	}{
		"cannot load":  {&memoryStore{err: errors.New("disk on fire")}, "restoring the tenants' snapshot: disk on fire"},
		"has garbage":  {&memoryStore{data: []byte("garbage")}, "restoring the tenants' snapshot: expected a snapshot, found something else"},
		"holds others": {&memoryStore{data: encodeSnapshot(emptySnapshot(), "other", noon)}, `restoring the tenants' snapshot: it was made from another source: expected "script", found "other"`},
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
		if failed, ok := (<-events).(StoreFailed); ok {
			if failed.Err.Error() != "saving the tenants' snapshot: disk full" || slugsOf(r.Snapshot()) != "acme globex" {
				t.Errorf("%v, tenants %s", failed.Err, slugsOf(r.Snapshot()))
			}
			break
		}
	}
}

// Who crashes and starts again without its source must not serve whom it had
// refused before.
// Gateways may share a store. What one of them read before it lost its source
// must not go over what another has read since.
func TestFileStoresReplaceTheirFileAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snapshot")
	s := NewFileStore(path)
	if _, err := s.Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing saved: %v", err)
	}
	for _, data := range [][]byte{[]byte("one"), []byte("two")} {
		if err := s.Save(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(t.Context()); err != nil || !reflect.DeepEqual(got, data) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if err := NewFileStore(filepath.Join(dir, "none", "x")).Save(t.Context(), nil); err == nil {
		t.Error("saved in a folder that is not there")
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
