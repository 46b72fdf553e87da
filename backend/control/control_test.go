package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestRepeatedCreationWithAKeyIsOneTenant(t *testing.T) {
	w := newWorld(t, options{})
	n := control.New{Slug: "acme", AdminEmail: "ada@example.com"}
	const rivals = 8
	results := make(chan control.Created, rivals)
	var wg sync.WaitGroup
	for range rivals {
		wg.Go(func() {
			for {
				created, err := w.Create(t.Context(), n, "k")
				if errors.Is(err, control.ErrBusy) {
					continue // as a client would try again
				}
				if err != nil {
					t.Error(err)
				}
				results <- created
				return
			}
		})
	}
	wg.Wait()
	close(results)
	first := <-results
	for r := range results {
		if r.Tenant.ID != first.Tenant.ID || r.SetupToken != first.SetupToken {
			t.Errorf("got %+v and %+v, expected the same twice", first, r)
		}
	}
	n.Name = "Another"
	if _, err := w.Create(t.Context(), n, "k"); !errors.Is(err, control.ErrKeyReused) {
		t.Errorf("the key with another request: got error %v, expected ErrKeyReused", err)
	}
	if _, err := w.Create(t.Context(), n, ""); !errors.Is(err, control.ErrTaken) {
		t.Errorf("the slug without a key: got error %v, expected ErrTaken", err)
	}
}

func TestMailIsTriedAgainAndNeverSentTwice(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	w.create(t, control.New{Slug: "acme", AdminEmail: "ada@example.com"})
	box := &counter{fail: 2}
	for range 2 {
		if n, err := w.Deliver(t.Context(), box); n != 0 || err == nil {
			t.Fatalf("delivered %d, %v, expected a failure", n, err)
		}
		if n, err := w.Deliver(t.Context(), box); n != 0 || err != nil {
			t.Fatalf("delivered %d, %v before the mail was due again", n, err)
		}
		clock.add(time.Hour)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := w.Deliver(t.Context(), box); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	clock.add(24 * time.Hour)
	if _, err := w.Deliver(t.Context(), box); err != nil {
		t.Fatal(err)
	}
	if len(box.mails) != 1 || box.mails[0].To != "ada@example.com" || !strings.Contains(box.mails[0].Body, "setup_") {
		t.Errorf("got mails %+v, expected one welcome", box.mails)
	}
}

func TestOneTimeTokenIsGoodOnceAndForItsTenantOnly(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	created := w.create(t, control.New{Slug: "acme"})
	other := w.create(t, control.New{Slug: "globex"})
	if _, _, err := w.Redeem(t.Context(), acme, other.SetupToken); !errors.Is(err, control.ErrToken) {
		t.Errorf("another tenant's token: got error %v, expected ErrToken", err)
	}
	var mu sync.Mutex
	var tokens []string
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, token, err := w.Redeem(t.Context(), acme, created.SetupToken)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			tokens = append(tokens, token)
		})
	}
	wg.Wait()
	if len(tokens) != 1 {
		t.Fatalf("the token was redeemed %d times, expected once", len(tokens))
	}
	keys, err := w.Keys(t.Context(), acme)
	if err != nil || len(keys) != 1 || !auth.IsAPIKey(tokens[0]) {
		t.Fatalf("got key %q and keys %+v, %v; expected one", tokens[0], keys, err)
	}
	if k := keys[0]; !slices.Equal(k.Roles, []string{petstore.RoleAdmin}) || !k.Expires.Equal(clock.now().Add(90*24*time.Hour)) {
		t.Errorf("got %+v, expected an administrator's for 90 days", k)
	}
}

func TestStatusChangesOnlyAlongItsLife(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	w.create(t, control.New{Slug: "acme"})
	change := func(to tenant.Status) (control.Tenant, error) {
		return w.Change(t.Context(), acme, control.Patch{Status: &to})
	}
	for _, to := range []tenant.Status{tenant.Purged, tenant.Provisioning, 0} {
		if _, err := change(to); !errors.Is(err, control.ErrState) {
			t.Errorf("from active to %s: got error %v, expected ErrState", to, err)
		}
	}
	if err := w.Purge(t.Context(), acme, "acme"); !errors.Is(err, control.ErrState) {
		t.Errorf("purging an active tenant: got error %v, expected ErrState", err)
	}
	for _, to := range []tenant.Status{tenant.Suspended, tenant.Active, tenant.Deactivated, tenant.Active, tenant.Deactivated} {
		if _, err := change(to); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.PurgeDue(t.Context()); n != 0 || err != nil {
		t.Errorf("purged %d before its time, %v", n, err)
	}
	if err := w.Purge(t.Context(), acme, "acne"); !errors.Is(err, petstore.ErrInvalid) {
		t.Errorf("purging without the slug repeated: got error %v", err)
	}
	clock.add(31 * 24 * time.Hour)
	if n, err := w.PurgeDue(t.Context()); n != 1 || err != nil {
		t.Errorf("purged %d, %v, expected one", n, err)
	}
	if _, err := change(tenant.Active); !errors.Is(err, control.ErrState) {
		t.Errorf("reviving a purged tenant: got error %v", err)
	}
	if _, err := w.Create(t.Context(), control.New{Slug: "acme"}, ""); !errors.Is(err, control.ErrTaken) {
		t.Errorf("the slug of a purged tenant: got error %v, expected ErrTaken", err)
	}
}

func TestHostHasOneOwnerAndIsHeldAfterItIsGivenUp(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	w.create(t, control.New{Slug: "acme"})
	w.create(t, control.New{Slug: "globex"})
	globex := tenant.MustSlug("globex")
	hosts := func(slug tenant.Slug, list ...string) error {
		_, err := w.Change(t.Context(), slug, control.Patch{Hosts: &list})
		return err
	}
	if err := hosts(acme, "Shop.Acme.Example.", "www.acme.example"); err != nil {
		t.Fatal(err)
	}
	if got := must(w.Get(t.Context(), acme)).Hosts; fmt.Sprint(got) != "[shop.acme.example www.acme.example]" {
		t.Errorf("got hosts %v", got)
	}
	if err := hosts(globex, "shop.acme.example"); !errors.Is(err, control.ErrTaken) {
		t.Errorf("another's host: got error %v, expected ErrTaken", err)
	}
	for _, h := range []string{"pets.example", "admin.pets.example", "x.globex.pets.example", "example", "1.2.3.4", "a b.example", "*.acme.example", "a.example:443"} {
		if err := hosts(globex, h); !errors.Is(err, petstore.ErrInvalid) {
			t.Errorf("host %q: got error %v, expected *Invalid", h, err)
		}
	}
	if err := hosts(acme, "www.acme.example"); err != nil {
		t.Fatal(err)
	}
	if err := hosts(globex, "shop.acme.example"); !errors.Is(err, control.ErrTaken) {
		t.Errorf("a host that was just given up: got error %v, expected ErrTaken", err)
	}
	if err := hosts(acme, "shop.acme.example"); err != nil {
		t.Errorf("its tenant claiming it back: %v", err)
	}
	if err := hosts(acme); err != nil {
		t.Fatal(err)
	}
	clock.add(8 * 24 * time.Hour)
	if err := hosts(globex, "shop.acme.example"); err != nil {
		t.Errorf("after the hold: %v", err)
	}
}

func TestConfigurationIsTypedAndInForceAtOnce(t *testing.T) {
	dir := t.TempDir()
	w, other := worldIn(t, dir, options{}), worldIn(t, dir, options{})
	w.create(t, control.New{Slug: "acme"})
	for name, values := range map[string][]string{
		"page_size":            {"0", "101", `"5"`, "1.5", "null", "1e1000"},
		"include_deleted_pets": {"0", `"true"`, "null"},
		"allowed_species":      {`"cat"`, `[1]`, `["cat","cat"]`, `[""]`, "null", `[null]`},
	} {
		for _, v := range values {
			if _, err := w.SetConfig(t.Context(), acme, name, json.RawMessage(v)); !errors.Is(err, petstore.ErrInvalid) {
				t.Errorf("%s = %s: got error %v, expected *Invalid", name, v, err)
			}
		}
	}
	if _, err := w.SetConfig(t.Context(), acme, "colour", json.RawMessage("1")); !errors.Is(err, control.ErrNoKey) {
		t.Errorf("an unknown key: got error %v, expected ErrNoKey", err)
	}
	for name, v := range map[string]string{"page_size": "7", "include_deleted_pets": "true", "allowed_species": `["cat","a=b\nc"]`} {
		_, err := w.SetConfig(t.Context(), acme, name, json.RawMessage(v))
		if name == "allowed_species" {
			if !errors.Is(err, petstore.ErrInvalid) {
				t.Errorf("a species with a line break: got error %v", err)
			}
			_, err = w.SetConfig(t.Context(), acme, name, json.RawMessage(`["cat","a=b"]`))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other.refresh(t)
	got := other.directory.Lookup(acme).Config
	if got.PageSize != 7 || !got.IncludeDeletedPets || fmt.Sprint(got.AllowedSpecies) != "[cat a=b]" {
		t.Errorf("another process sees %+v", got)
	}
	if after, err := w.SetConfig(t.Context(), acme, "page_size", nil); err != nil || after.PageSize != petstore.DefaultPage {
		t.Errorf("giving back the default: got %+v, %v", after, err)
	}
}

func TestEveryActionHasItsEventAndNoFailedOneHas(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	ctx := control.WithActor(t.Context(), control.Actor{Name: "operator", RequestID: "r1"})
	plan, bad := "premium", "gold"
	if _, err := w.Change(ctx, acme, control.Patch{Plan: &plan}); err != nil {
		t.Fatal(err)
	}
	purged := tenant.Purged
	if _, err := w.Change(ctx, acme, control.Patch{Plan: &bad}); err == nil {
		t.Error("an unknown plan was accepted")
	}
	if _, err := w.Change(ctx, acme, control.Patch{Status: &purged}); err == nil {
		t.Error("an impossible status was accepted")
	}
	events, err := w.Events(t.Context(), acme, 10)
	if err != nil || len(events) != 3 {
		t.Fatalf("got events %+v, %v, expected three", events, err)
	}
	e := events[0]
	if e.Actor != "operator" || e.RequestID != "r1" || e.Action != "tenant.change" ||
		!strings.Contains(string(e.Before), `"free"`) || !strings.Contains(string(e.After), `"premium"`) {
		t.Errorf("got event %+v", e)
	}
}
