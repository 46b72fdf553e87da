package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // to hold the database the way another program would

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// failures reads how often the gateway failed to read its source.
func failures(t *testing.T, s *harness.Stack) float64 {
	t.Helper()
	return metric(t, s, "caddy_tenancy_registry_refresh_errors_total")
}

// metric reads one series without labels of the gateway's.
func metric(t *testing.T, s *harness.Stack, name string) float64 {
	t.Helper()
	for line := range strings.Lines(s.Plain(http.MethodGet, s.Admin, "/metrics", "").Body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("the gateway has no metric %q", name)
	return 0
}

// served fails unless a known tenant is served and an unknown one is not.
func served(t *testing.T, s *harness.Stack, when string) {
	t.Helper()
	if res := s.Get(harness.Acme, "/"); res.Status != http.StatusOK {
		t.Errorf("%s: a tenant gets status %d; want 200", when, res.Status)
	}
	if res := s.Get("no-such-shop", "/"); res.Status != http.StatusNotFound {
		t.Errorf("%s: an unknown tenant gets status %d; want 404", when, res.Status)
	}
}

// The recorder stands for the backend in these tests: what is broken here is
// the catalog alone.

func TestLockedCatalogDisturbsNobody(t *testing.T) {
	s := harness.StartStack(t, harness.Options{Recorder: harness.StartRecorder(t)})
	db, err := sql.Open("sqlite", "file:"+s.Path("data/petstore.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(context.Background(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	age := func() float64 { return metric(t, s, "caddy_tenancy_registry_age_seconds") }
	for range 20 {
		served(t, s, "locked")
	}
	if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, inForce, "the index to be fresh again", func() bool { return age() < 1 })
	served(t, s, "unlocked")
}

func TestLastGoodIndexIsKeptWhileTheCatalogIsGone(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"garbage": func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"without the table": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", "file:"+path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE other (n)"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.StartStack(t, harness.Options{Recorder: harness.StartRecorder(t)})
			// Its owner closes the file first, so that it is whole without a log.
			s.Petstore.Stop()
			path := s.Path("data/petstore.db")
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, suffix := range []string{"-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
			before := failures(t, s)
			breakIt(t, path)
			harness.Eventually(t, inForce, "the gateway to notice", func() bool { return failures(t, s) > before+1 })
			served(t, s, name)
			if !strings.Contains(s.Gateway.Log(), "petstore.db") {
				t.Error("the log does not name the source that failed")
			}
			if out, err := s.Reload(); err != nil {
				t.Errorf("reloading meanwhile: %v\n%s", err, out)
			}
			served(t, s, name+", reloaded")

			for _, suffix := range []string{"", "-wal", "-shm"} {
				_ = os.Remove(path + suffix)
			}
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			s.Petstore.Start()
			harness.Eventually(t, harness.StartTimeout, "the pet store to answer", func() bool {
				return !s.Petstore.Ended() && strings.Count(s.Petstore.Log(), `"msg":"serving"`) == 2
			})
			res := s.Control(http.MethodPost, "/api/admin/tenants", `{"slug":"late-shop","name":"Late","plan":"free"}`)
			if res.Status != http.StatusCreated {
				t.Fatalf("creating a tenant: status %d\n%s", res.Status, res.Body)
			}
			harness.Eventually(t, inForce, "a tenant of the mended catalog to be served", func() bool {
				return s.Get("late-shop", "/").Status == http.StatusOK
			})
		})
	}
}
