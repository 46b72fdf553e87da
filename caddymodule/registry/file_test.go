package registry

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type fileWorld struct{ path string }

func newFileWorld(name string) func(t *testing.T) world {
	return func(t *testing.T) world { return &fileWorld{filepath.Join(t.TempDir(), name)} }
}

func (w *fileWorld) source(t *testing.T) Source {
	s, err := NewFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encode(t *testing.T, path string, records []Record) []byte {
	t.Helper()
	list := []map[string]any{}
	for _, r := range records {
		m := map[string]any{"slug": r.Slug}
		for name, value := range map[string]string{"id": r.ID, "name": r.Name, "plan": r.Plan, "status": r.Status, "limits": r.Limits} {
			if value != "" {
				m[name] = value
			}
		}
		if r.Hosts != nil {
			m["hosts"] = r.Hosts
		}
		if !r.Created.IsZero() {
			m["created_at"] = r.Created
		}
		list = append(list, m)
	}
	marshal := json.Marshal
	if filepath.Ext(path) != ".json" {
		marshal = yaml.Marshal
	}
	data, err := marshal(map[string]any{"tenants": list})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *fileWorld) put(t *testing.T, records ...Record) {
	t.Helper()
	w.write(t, encode(t, w.path, records))
}

// write replaces the file as editors and deployment tools do.
func (w *fileWorld) write(t *testing.T, data []byte) {
	t.Helper()
	if err := os.WriteFile(w.path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		t.Fatal(err)
	}
}

func (w *fileWorld) remove(t *testing.T) {
	if err := os.Remove(w.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func (w *fileWorld) spoil(t *testing.T) { w.write(t, []byte("{{{ no list")) }

func TestJSONFilesConform(t *testing.T) {
	t.Parallel()
	conform(t, newFileWorld("tenants.json"))
}
func TestYAMLFilesConform(t *testing.T) {
	t.Parallel()
	conform(t, newFileWorld("tenants.yaml"))
}

func TestAFileRewrittenInPlaceIsReadOnceItIsWhole(t *testing.T) {
	t.Parallel()
	w := newFileWorld("tenants.json")(t).(*fileWorld)
	w.put(t, Record{Slug: "acme"})
	s := w.source(t)
	expect(t, s, Record{Slug: "acme"})
	data := encode(t, w.path, []Record{{Slug: "acme"}, {Slug: "globex"}})

	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range [][]byte{nil, data[:len(data)/2], data[len(data)/2 : len(data)-1]} {
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		refuse(t, s)
	}
	if _, err := f.Write(data[len(data)-1:]); err != nil {
		t.Fatal(err)
	}
	expect(t, s, Record{Slug: "acme"}, Record{Slug: "globex"})
}

// A YAML text cut between two records is whole to a parser; only waiting for the
// writer to finish helps.
func TestAFileThatIsBeingWrittenIsLeftAloneForAWhile(t *testing.T) {
	w := newFileWorld("tenants.yaml")(t).(*fileWorld)
	s := w.source(t)
	start := time.Now()
	w.put(t, Record{Slug: "acme"}, Record{Slug: "globex"})
	expect(t, s, Record{Slug: "acme"}, Record{Slug: "globex"})
	if since := time.Since(start); since < settleTime/2 {
		t.Errorf("a file written just now was read after %v", since)
	}
}

func TestATouchedFileIsUnchangedAndAnEqualOneToo(t *testing.T) {
	w := newFileWorld("tenants.json")(t).(*fileWorld)
	w.put(t, Record{Slug: "acme"})
	s := w.source(t)
	expect(t, s, Record{Slug: "acme"})
	if err := os.Chtimes(w.path, time.Time{}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(within(t)); !errors.Is(err, ErrUnchanged) {
		t.Errorf("touched: %v", err)
	}
	w.put(t, Record{Slug: "acme"})
	if _, err := s.Load(within(t)); !errors.Is(err, ErrUnchanged) {
		t.Errorf("replaced by an equal one: %v", err)
	}
}

func TestABadFileIsNotParsedAgainUntilItChanges(t *testing.T) {
	w := newFileWorld("tenants.json")(t).(*fileWorld)
	w.spoil(t)
	s := w.source(t).(*file)
	parsed := 0
	parse := s.parse
	s.parse = func(data []byte) ([]Record, error) { parsed++; return parse(data) }
	refuse(t, s)
	refuse(t, s)
	if parsed != 1 {
		t.Errorf("parsed %d times", parsed)
	}
	w.put(t, Record{Slug: "acme"})
	expect(t, s, Record{Slug: "acme"})
}

func TestFilesThatCannotBeReadAsAWhole(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, MaxYAMLSize+1); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "folder.json")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		huge:                            `reading tenants from file "` + huge + `": expected at most 67108864 bytes, found 67108865`,
		folder:                          `reading tenants from file "` + folder + `": expected a regular file`,
		filepath.Join(dir, "none.json"): `reading tenants from file "` + filepath.Join(dir, "none.json") + `": no such file or directory`,
	} {
		s, err := NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(within(t)); err == nil || err.Error() != want {
			t.Errorf("error = %v\nwant    %s", err, want)
		}
	}
}

func TestNewFileWantsAKnownExtension(t *testing.T) {
	for _, path := range []string{"", "tenants", "tenants.toml", "json"} {
		if _, err := NewFile(path); err == nil || !strings.Contains(err.Error(), "expected a name that ends in .json, .yaml or .yml") {
			t.Errorf("NewFile(%q) error = %v", path, err)
		}
	}
	for _, path := range []string{"a.json", "a.YAML", "b.yml"} {
		if s, err := NewFile(path); err != nil || s.String() != "file "+path {
			t.Errorf("NewFile(%q) = %v, %v", path, s, err)
		}
	}
}

// A registry that follows a file reads all of it only when it has to, and holds
// what somebody who reads all of it holds.
func TestOnlyTheRecordsThatChangedAreReadFromAJSONFile(t *testing.T) {
	w := newFileWorld("tenants.json")(t).(*fileWorld)
	put := func(records ...string) func() {
		return func() { w.write(t, []byte("{\"tenants\": [\n"+strings.Join(records, ",\n")+"\n]}\n")) }
	}
	a, b, c := `{"slug": "a", "hosts": ["a.example"]}`, `{"slug": "b", "id": "7"}`, `{"slug": "c"}`
	put(a, b, c)()
	r := open(t, w.source(t), nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for name, step := range []struct {
		change func()
		full   bool
		fails  bool
	}{
		{put(a, `{"slug": "b", "id": "7", "plan": "free"}`, c), false, false},
		{put(a, c), false, false},
		{put(c, a), false, false},
		{put(c, b, a), false, false},
		{put(b, `{"slug": "a"}`, `{"slug": "c", "hosts": ["a.example"]}`), false, false},
		{put(a, b, c), false, false},
		{func() { w.write(t, []byte(`{"tenants": [`+a+`, `)) }, false, true},
		{put(a, b), true, false},                             // after a failure
		{put(a, b, `{"slug": "d", "id": "7"}`), true, false}, // the id is b's
		{put(a, b, c), true, false},                          // because of the fault that was there
		{put(a, b, `{"slug": "c", "status": "odd"}`), true, false},
		{put(a, b), true, false},
		{put(a, b, `{"slug": "B"}`), true, false},
		{put(a, b), true, false},
		{put(a, b, b), true, false},
		{put(b, a), true, false},
		{put(), false, false},
		{put(a), false, false},
	} {
		before := r.Stats()
		eventually(t, "a new look", func() bool { // a file's time of change is coarse
			step.change()
			err := r.Refresh(within(t))
			if (err != nil) != step.fails {
				t.Fatalf("step %d: error = %v", name, err)
			}
			return r.Stats().Loads > before.Loads || err != nil
		})
		if full := r.Stats().FullLoads > before.FullLoads; full != step.full {
			t.Errorf("step %d: read everything: %v", name, full)
		}
		if step.fails {
			continue
		}
		records, err := w.source(t).Load(within(t))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := newParser(nil).build(emptySnapshot(), records, noon)
		if got := dump(r.Snapshot()); got != dump(want) {
			t.Errorf("step %d: got\n%s\nwant\n%s", name, got, dump(want))
		}
	}
}
