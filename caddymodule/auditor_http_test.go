package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// auditReceiver takes deliveries as a backend does: it verifies them with the
// keys that the gateway has published.
type auditReceiver struct {
	*httptest.Server
	mu       sync.Mutex
	verifier *identity.Verifier
	down     bool
	requests int
	refused  []error
	kids     map[string]bool
	ids      map[string]bool
	claimed  []string
}

func newAuditReceiver(t testing.TB) *auditReceiver {
	r := &auditReceiver{kids: make(map[string]bool), ids: make(map[string]bool), down: true}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *auditReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if r.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	token := req.Header.Get("Tenant-Audit")
	if err == nil {
		err = r.verifier.VerifyAudit(token, body, time.Now())
	}
	var list struct {
		Records []struct {
			ID      string
			Claimed []string
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err != nil {
		r.refused = append(r.refused, err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.kids[strings.Split(token, ".")[0]] = true
	for _, rec := range list.Records {
		if !r.ids[rec.ID] {
			r.ids[rec.ID] = true
			r.claimed = append(r.claimed, strings.Join(rec.Claimed, " "))
		}
	}
}

// open lets deliveries in, signed by the keys of this file.
func (r *auditReceiver) open(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verifier = identity.NewVerifier(identity.VerifierOptions{Keys: identity.FileKeys(identity.JWKSPath(key))})
	r.down = false
}

// see runs f while nothing comes.
func (r *auditReceiver) see(f func() bool) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return f()
	}
}

func TestAuditRecordsAreDeliveredSignedAfterReloadsAndRotation(t *testing.T) {
	rcv := newAuditReceiver(t)
	t.Setenv("TEST_AUDIT_URL", rcv.URL+"/audit")
	options := strings.Replace(appOptions, "audit file {dir}/audit.jsonl", "audit http {env.TEST_AUDIT_URL}", 1)
	g := newGateway(t, options, conflictSite)
	key := filepath.Join(g.dir, "identity.key")
	attempt := func() {
		if answer := g.get("acme-pets.pets.test", "/", "X-Tenant-ID: fluffy-friends"); status(answer) != "404" {
			t.Errorf("an attempt gets %s", answer)
		}
	}
	attempt()
	eventually(t, "a delivery is tried", rcv.see(func() bool { return rcv.requests > 0 }))
	for i, step := range []func(string) (string, error){identity.AddKey, identity.PromoteKey, identity.PruneKeys} {
		if _, err := step(key); err != nil {
			t.Fatal(err)
		}
		if err := g.load(options, conflictSite+fmt.Sprintf("\nheader X-Step %d", i)); err != nil {
			t.Fatal(err)
		}
		attempt()
	}
	rcv.open(key)
	eventually(t, "all records arrive", rcv.see(func() bool { return len(rcv.ids) >= 4 }))
	rcv.mu.Lock()
	defer rcv.mu.Unlock()
	instances := make(map[string]bool)
	for id := range rcv.ids {
		instance, _, _ := strings.Cut(id, "-")
		instances[instance] = true
	}
	if len(rcv.ids) != 4 || len(instances) != 1 || len(rcv.kids) != 1 || len(rcv.refused) != 0 {
		t.Errorf("records %v, %d recorders, %d keys, refused %v; want 4 records of one recorder, signed by the new key", rcv.ids, len(instances), len(rcv.kids), rcv.refused)
	}
	for _, claimed := range rcv.claimed {
		if claimed != "host=acme-pets header=fluffy-friends" {
			t.Errorf("a record claims %q", claimed)
		}
	}
}

func TestAReceiverThatIsDownKeepsNothingFromTheFile(t *testing.T) {
	rcv := newAuditReceiver(t)
	options := strings.Replace(appOptions, "audit file {dir}/audit.jsonl", "audit file {dir}/audit.jsonl\naudit http "+rcv.URL, 1)
	g := newGateway(t, options, conflictSite)
	for range 3 {
		g.get("acme-pets.pets.test", "/", "X-Tenant-ID: fluffy-friends")
	}
	eventually(t, "the attempts are in the file", func() bool { return strings.Count(g.read("audit.jsonl"), "tenant_conflict") == 3 })
	// Without the receiver another trail goes on in the same file, and what
	// waited for the old one is tried a last time.
	rcv.open(filepath.Join(g.dir, "identity.key"))
	if err := g.load(appOptions, conflictSite); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all records arrive", rcv.see(func() bool { return len(rcv.ids) == 3 }))
}

func TestValidatingAConfigurationDialsNoReceiver(t *testing.T) {
	rcv := newAuditReceiver(t)
	g := newGateway(t, appOptions, conflictSite)
	options := strings.Replace(appOptions, "audit file {dir}/audit.jsonl", "audit http "+rcv.URL, 1)
	if err := g.validate(options, conflictSite); err != nil {
		t.Fatal(err)
	}
	if !rcv.see(func() bool { return rcv.requests == 0 })() {
		t.Error("the receiver was asked")
	}
}

// read returns the text of a file in the gateway's folder, "" if there is none.
func (g *gateway) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(g.dir, name))
	return string(b)
}
