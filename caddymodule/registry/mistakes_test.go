package registry

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the messages of testdata/mistakes anew")

// Every mistake has a fixture, and beside it what is said about it: the error if
// nothing could be read, else the tenants that are served and the problems.
func TestEveryMistakeIsNamed(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/mistakes/*.*")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, path := range paths {
		if filepath.Ext(path) == ".want" {
			continue
		}
		tested++
		t.Run(filepath.Base(path), func(t *testing.T) {
			got := outcome(t, mistakeSource(t, path)) + "\n"
			want, err := os.ReadFile(path + ".want")
			if *update {
				want, err = []byte(got), os.WriteFile(path+".want", []byte(got), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	if tested < 50 {
		t.Errorf("only %d mistakes were tried", tested)
	}
}

func mistakeSource(t *testing.T, path string) Source {
	t.Helper()
	if filepath.Ext(path) != ".sql" {
		s, err := NewFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(t.TempDir(), "tenants.db")
	db := openWritable(t, database)
	if _, err := db.Exec(string(script)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	query := ""
	if line, _, _ := strings.Cut(string(script), "\n"); strings.HasPrefix(line, "-- query: ") {
		query = strings.TrimPrefix(line, "-- query: ")
	}
	s, err := NewSQLite(database, query)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func outcome(t *testing.T, s Source) string {
	t.Helper()
	defer s.Close()
	records, err := s.Load(within(t))
	if err != nil {
		_, cause, _ := strings.Cut(err.Error(), `": `) // after the path
		return "error: " + cause
	}
	snapshot, _ := newParser(nil).build(emptySnapshot(), records, noon)
	return strings.TrimSpace("served: " + slugsOf(snapshot) + "\n" + problemsOf(snapshot))
}
