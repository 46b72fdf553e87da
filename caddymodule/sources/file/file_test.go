package file

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.yaml.in/yaml/v3"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/jsonrows"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
)

// place is a file in a folder of the test's own.
type place struct{ path string }

func newPlace(t *testing.T, name string) place { return place{filepath.Join(t.TempDir(), name)} }

func (p place) open(t *testing.T) *source {
	t.Helper()
	s, err := newSource(p.path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write replaces the file as editors and deployment tools do.
func (p place) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(p.path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.path+".new", p.path); err != nil {
		t.Fatal(err)
	}
}

func encode(t *testing.T, name string, records []registry.Record) string {
	t.Helper()
	list := []map[string]any{}
	for _, r := range records {
		m := map[string]any{"slug": r.Slug, "id": r.ID, "name": r.Name, "plan": r.Plan, "status": r.Status, "limits": r.Limits,
			"issuer": r.Issuer, "jwks": r.JWKS, "hosts": r.Hosts, "upstreams": r.Upstreams}
		if !r.Created.IsZero() {
			m["created_at"] = r.Created
		}
		for name, value := range m {
			if value == "" {
				delete(m, name)
			}
		}
		list = append(list, m)
	}
	marshal := json.Marshal
	if filepath.Ext(name) != ".json" {
		marshal = yaml.Marshal
	}
	data, err := marshal(map[string]any{"tenants": list})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFilesConform(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tenants.json", "tenants.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sourcetest.Run(t, func(t *testing.T) sourcetest.World {
				p := newPlace(t, name)
				return sourcetest.World{
					Open:      func(t *testing.T) registry.Source { return p.open(t) },
					Put:       func(t *testing.T, records ...registry.Record) { p.write(t, encode(t, name, records)) },
					Spoil:     func(t *testing.T) { p.write(t, "{{{ no list") },
					Remove:    func(t *testing.T) { _ = os.Remove(p.path) },
					SaysEmpty: true,
				}
			})
		})
	}
}

// load returns the slugs that a Load brings, or why it brings none.
func load(t *testing.T, s registry.Source) string {
	t.Helper()
	records, err := s.Load(t.Context())
	if errors.Is(err, registry.ErrUnchanged) {
		return "unchanged"
	}
	if err != nil {
		return "error: " + err.Error()
	}
	var slugs []string
	for _, r := range records {
		slugs = append(slugs, r.Slug)
	}
	return strings.Join(slugs, " ")
}

func TestAFileIsReadWhateverOfItHasChanged(t *testing.T) {
	t.Parallel()
	before, after := `{"tenants": [{"slug": "acme"}]}`, `{"tenants": [{"slug": "ajax"}]}` // of one size
	noon := time.Now().Add(-time.Hour).Truncate(time.Second)
	for name, test := range map[string]struct {
		change  func(t *testing.T, p place)
		changed func(os.FileInfo) time.Time
		want    string
	}{
		"replaced with the same size and time": {func(t *testing.T, p place) {
			p.write(t, after)
			if err := os.Chtimes(p.path, noon, noon); err != nil {
				t.Fatal(err)
			}
		}, nil, "ajax"},
		"rewritten in place with the same size and time": {func(t *testing.T, p place) {
			if err := os.WriteFile(p.path, []byte(after), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(p.path, noon, noon); err != nil {
				t.Fatal(err)
			}
		}, nil, "ajax"},
		"the same, replaced where nothing but the inode tells": {func(t *testing.T, p place) {
			p.write(t, after)
			if err := os.Chtimes(p.path, noon, noon); err != nil {
				t.Fatal(err)
			}
		}, func(os.FileInfo) time.Time { return time.Time{} }, "ajax"},
		"another size": {func(t *testing.T, p place) { p.write(t, `[{"slug": "globex"}]`) }, nil, "globex"},
		"touched": {func(t *testing.T, p place) {
			if err := os.Chtimes(p.path, noon, noon.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}, nil, "unchanged"},
		"replaced by an equal one": {func(t *testing.T, p place) { p.write(t, before) }, nil, "unchanged"},
		"left alone":               {func(*testing.T, place) {}, nil, "unchanged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "tenants.json")
			p.write(t, before)
			if err := os.Chtimes(p.path, noon, noon); err != nil {
				t.Fatal(err)
			}
			s := p.open(t)
			if test.changed != nil {
				s.changed = test.changed
			}
			if got := load(t, s); got != "acme" {
				t.Fatal(got)
			}
			test.change(t, p)
			if got := load(t, s); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if got := load(t, s); got != "unchanged" {
				t.Errorf("once more: %s", got)
			}
		})
	}
}

// Where the system tells nothing that a program cannot set, the content decides, now
// and then.
func TestWithoutATimeOfChangeTheHashDecides(t *testing.T) {
	t.Parallel()
	noon := time.Now().Add(-time.Hour).Truncate(time.Second)
	p := newPlace(t, "tenants.json")
	put := func(text string) {
		if err := os.WriteFile(p.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p.path, noon, noon); err != nil {
			t.Fatal(err)
		}
	}
	s := p.open(t)
	s.changed = func(os.FileInfo) time.Time { return time.Time{} }
	put(`[{"slug": "acme"}]`)
	if got := load(t, s); got != "acme" {
		t.Fatal(got)
	}
	put(`[{"slug": "ajax"}]`)
	if got := load(t, s); got != "unchanged" {
		t.Fatalf("at once: %s", got)
	}
	s.last.at = s.last.at.Add(-rereadAfter)
	if got := load(t, s); got != "ajax" {
		t.Errorf("after a while: %s", got)
	}
	s.last.at = s.last.at.Add(-rereadAfter)
	if got := load(t, s); got != "unchanged" {
		t.Errorf("once more: %s", got)
	}
}

func TestAFileRewrittenInPlaceIsReadOnceItIsWhole(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "tenants.json")
	p.write(t, `[{"slug": "acme"}]`)
	s := p.open(t)
	if got := load(t, s); got != "acme" {
		t.Fatal(got)
	}
	text := `[{"slug": "acme"}, {"slug": "globex"}]`
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range []string{"", text[:20], text[20 : len(text)-1]} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		if got := load(t, s); !strings.HasPrefix(got, `error: reading tenants from file "`+p.path+`": line 1: `) {
			t.Errorf("after %q: %s", part, got)
		}
	}
	if _, err := f.WriteString(text[len(text)-1:]); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s); got != "acme globex" {
		t.Error(got)
	}
}

// A YAML text cut between two records is whole to a parser; only waiting for the
// writer to finish helps.
func TestAFileThatIsBeingWrittenIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "tenants.yaml")
	s := p.open(t)
	start := time.Now()
	p.write(t, "[{slug: acme}, {slug: globex}]")
	if got := load(t, s); got != "acme globex" {
		t.Error(got)
	}
	if since := time.Since(start); since < settleTime/2 {
		t.Errorf("a file written just now was read after %v", since)
	}
}

func TestABadFileIsNotParsedAgainUntilItChanges(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "tenants.json")
	p.write(t, "{")
	s := p.open(t)
	parsed := 0
	parse := s.parse
	s.parse = func(data []byte) (*jsonrows.Document, error) { parsed++; return parse(data) }
	for range 3 {
		if got := load(t, s); !strings.HasPrefix(got, "error: ") {
			t.Error(got)
		}
	}
	if parsed != 1 {
		t.Errorf("parsed %d times", parsed)
	}
	p.write(t, `[{"slug": "acme"}]`)
	if got := load(t, s); got != "acme" {
		t.Error(got)
	}
}

func TestFilesThatCannotBeReadAsAWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("huge.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(in("huge.yaml"), maxYAML+1); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in("folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("delta.json"), []byte(`{"tenants": [], "delta": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"huge.yaml":   "expected at most 67108864 bytes, found 67108865",
		"folder.json": "expected a regular file",
		"none.json":   "no such file or directory",
		"delta.json":  "expected the whole list, found a delta",
	} {
		t.Run(name, func(t *testing.T) {
			want := `error: reading tenants from file "` + in(name) + `": ` + want
			if got := load(t, place{in(name)}.open(t)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestTheModuleIsConfiguredByACaddyfile(t *testing.T) {
	t.Setenv("TENANTS_FOLDER", "/srv")
	for name, test := range map[string]struct{ text, want string }{
		"path only":         {"file tenants.yaml", "file tenants.yaml"},
		"a placeholder":     {"file {env.TENANTS_FOLDER}/tenants.json", "file /srv/tenants.json"},
		"options":           {"file a.yml {\ninterval 20ms\nmax_stale 1h\n}", "file a.yml"},
		"no path":           {"file", "source file: expected the path of a file"},
		"two paths":         {"file a.json b.json", "source file: expected the path of a file"},
		"an unknown option": {"file a.json {\nquery x\n}", `source: unknown option "query"; expected interval or max_stale`},
		"no duration":       {"file a.json {\ninterval soon\n}", `interval: bad duration "soon"`},
		"nothing left":      {"file {env.NOT_SET_ANYWHERE}", `tenancy: the address of the source "file" is empty`},
		"another kind":      {"file tenants.toml", `reading file source "tenants.toml": expected a name that ends in .json, .yaml or .yml`},
		"no extension":      {"file json", `reading file source "json": expected a name`},
	} {
		t.Run(name, func(t *testing.T) {
			module := new(Source)
			err := module.UnmarshalCaddyfile(caddyfile.NewTestDispenser(test.text))
			if err == nil {
				err = module.Provision(caddy.Context{})
			}
			var got string
			if err != nil {
				got = err.Error()
			} else if s, err := module.OpenSource(); err != nil {
				got = err.Error()
			} else {
				got = s.String()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if name == "options" && (time.Duration(module.Interval) != 20*time.Millisecond || time.Duration(module.MaxStale) != time.Hour) {
				t.Errorf("%+v", module)
			}
		})
	}
}
