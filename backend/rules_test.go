package main

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatTheProgramWritesIsItsOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := &operatorShell{t: t, dir: dir}
	for _, i := range []string{"shared", "schema", "database"} {
		o.do(0, "tenant", "create", "in-"+i, "--isolation", i, "--email", "ada@example.com")
	}
	start(t, "--data", dir)
	waitFor(t, func() bool {
		mails, err := filepath.Glob(filepath.Join(dir, "outbox", "*.eml"))
		return err == nil && len(mails) == 3
	})
	backup := filepath.Join(t.TempDir(), "backup")
	o.do(0, "backup", backup)
	for _, root := range []string{dir, backup} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || strings.HasSuffix(path, ".jwks.json") { // public keys
				return err
			}
			info, err := d.Info()
			if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
				t.Errorf("%q has mode %o, expected %o", path, info.Mode().Perm(), want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAnOperatorAddsToTheNamesThatNoTenantMayHave(t *testing.T) {
	list := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(list, []byte("# our brands\nglobex  soy1ent\nsoylent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "soylent") // before it was on the list
	o.env = map[string]string{"PETSTORE_RESERVED_NAMES": list}
	for _, name := range []string{"globex", "gl0bex", "metrics", "postmaster", "metr1cs"} {
		if got := o.do(1, "tenant", "create", name); !strings.Contains(got, "reserved") {
			t.Errorf("%s: got %s", name, got)
		}
	}
	o.do(0, "tenant", "create", "globex-pets")
	o.do(0, "tenant", "suspend", "soylent") // whoever has a name keeps it
	s := startIn(t, o.env, "--data", o.dir)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.address+"/api/admin/tenants", strings.NewReader(`{"slug":"globex"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+readToken(t, o.dir))
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d, expected 400", resp.StatusCode)
	}
	o.env["PETSTORE_RESERVED_NAMES"] = filepath.Join(t.TempDir(), "none")
	o.do(2, "tenant", "list")
}

func TestBackendsThatNoGatewayWouldDialAreRefusedUnlessListed(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "acme")
	for _, address := range []string{"127.0.0.1:2019", "localhost:80", "[::1]:80", "169.254.169.254:80", "metadata.google.internal:80", "[::ffff:127.0.0.1]:80"} {
		if got := o.do(1, "tenant", "set", "acme", "--upstreams", "10.0.0.1:80,"+address); !strings.Contains(got, "upstreams[1]") {
			t.Errorf("%s: got %s", address, got)
		}
		if got := o.do(1, "tenant", "create", "globex", "--upstreams", address); !strings.Contains(got, "upstreams[0]") {
			t.Errorf("%s: got %s", address, got)
		}
	}
	o.do(0, "tenant", "set", "acme", "--upstreams", "127.0.0.1:9000", "--upstreams-allow", "127.0.0.1,10.0.0.0/8")
	o.do(1, "tenant", "set", "acme", "--upstreams", "192.0.2.1:9000", "--upstreams-allow", "127.0.0.1,10.0.0.0/8")
	o.do(2, "tenant", "list", "--upstreams-allow", "10.0.0.1/8")
}

func TestAServerFollowsATenantThatACommandMoves(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	g := newGateway(t, o.dir)
	s := start(t, "--data", o.dir)
	for _, own := range []string{"schema", "database"} {
		t.Run(own, func(t *testing.T) {
			slug := "in-" + own
			o.do(0, "tenant", "create", slug, "--isolation", own)
			written := 1 // the sample
			call := func(method, path, body string, want int) string {
				t.Helper()
				status, answer, err := g.call(t.Context(), method, s.address+path, slug, "", body)
				if err != nil || status != want {
					t.Fatalf("%s %s: got %d %s, %v", method, path, status, answer, err)
				}
				return answer
			}
			write := func() {
				t.Helper()
				call("POST", "/api/pets", `{"name":"Rex","species":"dog"}`, 201)
				written++
				if got := strings.Count(call("GET", "/api/pets?limit=100", "", 200), `"id"`); got != written {
					t.Errorf("%d pets are read, %d were acknowledged", got, written)
				}
			}
			waitFor(t, func() bool { // until the server knows of the tenant
				status, _, err := g.call(t.Context(), "GET", s.address+"/api/pets", slug, "", "")
				return err == nil && status == 200
			})
			write()
			for _, to := range []string{"shared", own, "shared", own} {
				o.do(0, "tenant", "move", slug, "--to", to)
				write()
			}
		})
	}
}
