package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// The program under test is this test binary, run again as petstore.
const asProgram = "PETSTORE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program is petstore in a process of its own.
type program struct {
	cmd *exec.Cmd
	log *lockedBuffer
}

func runProgram(t *testing.T, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{exec.CommandContext(t.Context(), exe, args...), &lockedBuffer{}}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as a power cut would, as far as it is concerned.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
}

// address waits until the server serves.
func (p *program) address(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(p.log.String()) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
				return "http://" + entry.Address
			}
		}
	}
	t.Fatalf("the server did not start: %s", p.log.String())
	return ""
}

// gateway signs identities as the gateway does.
type gateway struct{ signer *identity.Signer }

func newGateway(t *testing.T, dir string) gateway {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	keys, err := identity.LoadOrCreateKeys(filepath.Join(dir, "identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := identity.NewSigner(identity.SignerOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return gateway{signer}
}

// call sends a request through a tenant's site, or as the operator when token
// is not empty. An error is a connection that broke.
func (g gateway) call(ctx context.Context, method, url, slug, token, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	} else {
		t := &tenant.Tenant{ID: slug, Slug: tenant.MustSlug(slug), Plan: "free", Status: tenant.Active}
		signed, err := g.signer.SignUser(t, "ann", []string{"editor"}, time.Now())
		if err != nil {
			return 0, "", err
		}
		r.Header.Set(identity.HeaderName, signed)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// acknowledged is what the server said it had done.
type acknowledged struct {
	mu   sync.Mutex
	pets map[string][]string // ids by tenant
}

func (a *acknowledged) add(slug, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pets[slug] = append(a.pets[slug], id)
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, ids := range a.pets {
		n += len(ids)
	}
	return n
}

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	const rounds, seed = 5, 20260101
	random := rand.New(rand.NewPCG(seed, 1))
	dir := filepath.Join(t.TempDir(), "data")
	g := newGateway(t, dir)
	said := &acknowledged{pets: map[string][]string{}}
	var token string
	for round := range rounds {
		p := runProgram(t, "serve", "--listen", "127.0.0.1:0", "--data", dir)
		address := p.address(t)
		token = readToken(t, dir)
		check(t, g, address, said)
		var mover *program
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w, isolation := range []string{"shared", "schema", "database"} {
			slug := fmt.Sprintf("r%d-w%d", round, w)
			wg.Go(func() { work(ctx, g, address, token, slug, isolation, said) })
		}
		if round > 0 {
			// Another process moves a tenant, and is killed as well.
			to := []string{"schema", "database", "shared"}[round%3]
			mover = runProgram(t, "tenant", "move", fmt.Sprintf("r%d-w0", round-1), "--to", to, "--data", dir)
		}
		// At a random moment, but not before something is there to be lost.
		before := said.count()
		waitFor(t, func() bool { return said.count() > before })
		pause := time.NewTimer(time.Duration(random.IntN(700)) * time.Millisecond)
		<-pause.C
		if mover != nil {
			mover.kill()
		}
		p.kill()
		cancel()
		wg.Wait()
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".db") {
				err = sqldb.CheckIntegrity(t.Context(), path)
			}
			return err
		})
		if err != nil {
			t.Fatalf("round %d of seed %d: %v", round, seed, err)
		}
	}
	p := runProgram(t, "serve", "--listen", "127.0.0.1:0", "--data", dir)
	address := p.address(t)
	check(t, g, address, said)
	noHalfTenant(t, g, address, token)
	total := 0
	for _, ids := range said.pets {
		total += len(ids)
	}
	if total < rounds {
		t.Errorf("only %d writes were acknowledged: the test shows nothing", total)
	}
	t.Logf("%d acknowledged pets of %d tenants are all there", total, len(said.pets))
}

func readToken(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// work creates a tenant and writes pets until the connection breaks.
func work(ctx context.Context, g gateway, address, token, slug, isolation string, said *acknowledged) {
	status, _, err := g.call(ctx, "POST", address+"/api/admin/tenants", "", token, `{"slug":"`+slug+`","isolation":"`+isolation+`"}`)
	if err != nil || status != 201 {
		return
	}
	said.add(slug, "sample")
	for {
		status, body, err := g.call(ctx, "POST", address+"/api/pets", slug, "", `{"name":"Rex","species":"dog"}`)
		if err != nil {
			return
		}
		var pet struct{ ID string }
		if status == 201 && json.Unmarshal([]byte(body), &pet) == nil {
			said.add(slug, pet.ID)
		}
	}
}

// check demands that everything acknowledged is there. A tenant in the middle
// of a move that was cut off is read as well.
func check(t *testing.T, g gateway, address string, said *acknowledged) {
	t.Helper()
	for slug, ids := range said.pets {
		for _, id := range ids {
			status, body, err := g.call(t.Context(), "GET", address+"/api/pets/"+id, slug, "", "")
			if err != nil || status != 200 {
				t.Fatalf("pet %q of tenant %q was acknowledged and is answered with %d %s, %v", id, slug, status, body, err)
			}
		}
	}
}

// noHalfTenant waits until every tenant is finished; none may be visible
// before.
func noHalfTenant(t *testing.T, g gateway, address, token string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, body, err := g.call(t.Context(), "GET", address+"/api/admin/tenants?limit=1000", "", token, "")
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Tenants []struct{ Slug, Status string }
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		half := 0
		for _, one := range list.Tenants {
			if one.Status != "active" {
				half++
				continue
			}
			if status, body, err := g.call(t.Context(), "GET", address+"/api/pets/sample", one.Slug, "", ""); err != nil || status != 200 {
				t.Fatalf("tenant %q is active and half: %d %s, %v", one.Slug, status, body, err)
			}
		}
		if half == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d tenants were not finished: %s", half, body)
		}
	}
}

func TestMigrationThatIsKilledIsResumed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var out bytes.Buffer
	petstore := func(args ...string) {
		t.Helper()
		out.Reset()
		if code := run(t.Context(), append(args, "--data", dir), environ(nil), &out, &out); code != exitOK {
			t.Fatalf("%v: exit code %d, %s", args, code, out.String())
		}
	}
	for i := range 6 {
		petstore("tenant", "create", fmt.Sprint("t-", i), "--isolation", "schema")
	}
	// As if an older program had made them: the catalog's record is what a run
	// goes by, and migrating again what is there already changes nothing.
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(dir, "petstore.db"), sqldb.SQLiteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool().ExecContext(t.Context(), "UPDATE schema_status SET version = 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p := runProgram(t, "migrate", "up", "--parallel", "1", "--data", dir)
		for !strings.Contains(p.log.String(), "1/") && p.cmd.ProcessState == nil && !strings.Contains(p.log.String(), "up to date") {
			time.Sleep(time.Millisecond)
		}
		p.kill()
	}
	petstore("migrate", "up")
	petstore("migrate", "status")
	if !strings.Contains(out.String(), "0 of 7 to migrate") {
		t.Errorf("got %s", out.String())
	}
}
