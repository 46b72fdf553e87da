package file

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit/sinktest"
)

// parse reads the text as the app does, from the module's name on.
func parse(text string) (*Sink, error) {
	s := new(Sink)
	err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	return s, err
}

func TestTheFileKeepsTheContractOfASink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		path := filepath.Join(t.TempDir(), "logs", "audit.jsonl")
		return sinktest.Place{
			Open: func() (audit.Sink, error) { return (&Sink{Path: path, RollSize: 4096, RollKeep: 1000}).OpenSink() },
			Read: func() []string { return ids(t, path) },
			// A folder in the file's place refuses root too.
			Break: func() func() {
				aside := path + "-aside"
				os.Rename(path, aside)
				if err := os.MkdirAll(path, 0o700); err != nil {
					t.Fatal(err)
				}
				return func() {
					os.Remove(path)
					os.Rename(aside, path)
				}
			},
		}
	})
}

// ids reads the request ids of the file and what it was rotated to, in the order
// that the chain gives, which it checks.
func ids(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 {
		if report, err := audit.VerifyFile(path); err != nil || !report.OK() {
			t.Fatalf("verifying: %+v, %v", report, err)
		}
	}
	list := make(map[int64]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var rec struct {
				Seq       int64
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatal(err)
			}
			list[rec.Seq] = rec.RequestID
		}
	}
	var got []string
	for seq := int64(1); seq <= int64(len(list)); seq++ {
		got = append(got, list[seq])
	}
	return got
}

func TestTheOptionsAreReadFromACaddyfile(t *testing.T) {
	s, err := parse("file data/audit.jsonl {\nroll_size 1MiB\nroll_keep 3\n}")
	if want := (Sink{Path: "data/audit.jsonl", RollSize: 1 << 20, RollKeep: 3}); err != nil || *s != want {
		t.Errorf("got %+v, %v; want %+v", *s, err, want)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no path", "file", "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"an empty path", `file ""`, "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"two paths", "file a b", "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"no size", "file x {\nroll_size\n}", "roll_size: expected a size, as in 64MiB"},
		{"a small size", "file x {\nroll_size 1\n}", `roll_size: bad size "1"; expected 1KiB to 1TiB`},
		{"a negative number", "file x {\nroll_keep -1\n}", `bad number "-1"`},
		{"an unknown option", "file x {\ncolour red\n}", `audit: unknown option "colour"; expected roll_size or roll_keep`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := parse(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestPlaceholdersAreReplacedAndWhatIsEmptyIsNamed(t *testing.T) {
	t.Setenv("TEST_AUDIT_FOLDER", "/var/log")
	s := &Sink{Path: "{env.TEST_AUDIT_FOLDER}/audit.jsonl"}
	if err := s.Provision(caddy.Context{}); err != nil || s.Path != "/var/log/audit.jsonl" {
		t.Errorf("path %q, %v", s.Path, err)
	}
	for name, test := range map[string]struct {
		sink Sink
		want string
	}{
		"no path":           {Sink{}, "the name of the audit file is empty"},
		"an unset variable": {Sink{Path: "{env.NOT_SET_ANYWHERE}"}, "the name of the audit file is empty"},
		"a negative size":   {Sink{Path: "x", RollSize: -1}, "roll_size and roll_keep: expected positive numbers"},
		"a negative number": {Sink{Path: "x", RollKeep: -1}, "roll_size and roll_keep: expected positive numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.sink.Provision(caddy.Context{}); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
