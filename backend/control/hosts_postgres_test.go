package control_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// The same life of a domain as on SQLite, where transactions run one after the
// other and nothing can come between.
func TestADomainsLifeOnPostgres(t *testing.T) {
	url := harness.StartPostgres(t).URL()
	owner, err := sqldb.OpenPostgresTool(url, sqldb.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	db, err := sqldb.OpenPostgres(url, sqldb.PostgresOptions{Connections: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	h := &hostWorld{t: t, zone: newZone(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	catalog, err := control.Open(t.Context(), control.Options{
		DB: db, Owner: owner, Plans: []tenant.Plan{"free"}, BaseDomain: "pets.example", Now: func() time.Time { return h.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.world = &world{Catalog: catalog, db: db}
	h.checker = &control.HostChecker{Catalog: catalog, Resolver: h.zone}
	err = db.Update(t.Context(), func(tx sqldb.Conn) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO tenants (id, slug, skeleton, name, plan, status, isolation, created_at, updated_at, revision)
			VALUES ('t1', 'acme', 'acme', 'acme', 'free', 'active', 'shared', 1, 1, 1), ('t2', 'globex', 'globex', 'globex', 'free', 'active', 'shared', 1, 1, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	tokens := claimAtOnce(t, catalog, 8)
	for token := range tokens {
		if len(tokens) != 1 {
			t.Fatalf("%d claims of one tenant to one host; one token is %s", len(tokens), token)
		}
	}
	claim, rival := h.claim(acme, own), h.claim(globex, own)
	h.zone.prove(claim)
	h.after(0)
	if h.hosts(acme) != own || !h.state(acme, own).Routed {
		t.Fatalf("proven: %q, %+v", h.hosts(acme), h.state(acme, own))
	}
	h.zone.prove(rival)
	for range 12 {
		h.after(7 * time.Hour)
	}
	if h.hosts(acme) != "" || h.hosts(globex) != "" {
		t.Errorf("without its proof: acme has %q, globex has %q", h.hosts(acme), h.hosts(globex))
	}
	if _, _, err := h.ClaimHost(t.Context(), globex, own, false); err != nil {
		t.Errorf("a claim that is there already: %v", err)
	}
	if err := h.ReleaseHost(t.Context(), globex, own); err != nil {
		t.Error(err)
	}
	if _, _, err := h.ClaimHost(t.Context(), globex, own, false); !errors.Is(err, control.ErrTaken) {
		t.Errorf("a new claim while it is held: %v", err)
	}
	h.zone.prove(h.claim(acme, own))
	h.after(time.Minute)
	if h.hosts(acme) != own {
		t.Errorf("claimed again by who had it: %s", h.hosts(acme))
	}
}

// claimAtOnce claims the host for acme by several calls at one time and returns
// the tokens.
func claimAtOnce(t *testing.T, catalog *control.Catalog, calls int) map[string]bool {
	t.Helper()
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		tokens = make(map[string]bool)
	)
	for range calls {
		all.Go(func() {
			claim, _, err := catalog.ClaimHost(context.Background(), acme, strings.ToUpper(own), false)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("claiming: %v", err)
			}
			tokens[claim.Token] = true
		})
	}
	all.Wait()
	return tokens
}
