package control_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// onBothEngines runs a test on a fresh catalog of each engine.
func onBothEngines(t *testing.T, o control.Options, f func(t *testing.T, c *control.Catalog)) {
	o.Plans, o.BaseDomain = []tenant.Plan{"free"}, "pets.example"
	run := func(t *testing.T) {
		c, err := control.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		f(t, c)
	}
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqldb.OpenSQLite(t.Context(), t.TempDir()+"/petstore.db", sqldb.SQLiteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		o.DB = db
		run(t)
	})
	t.Run("postgres", func(t *testing.T) {
		url := harness.StartPostgres(t).URL()
		owner, err := sqldb.OpenPostgresTool(url, sqldb.PostgresOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer owner.Close()
		db, err := sqldb.OpenPostgres(url, sqldb.PostgresOptions{Connections: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		o.DB, o.Owner = db, owner
		run(t)
	})
}

// attempt is a record that breaks no rule.
func attempt(id string, at time.Time) control.Access {
	return control.Access{ID: id, At: at, Type: "tenant_conflict", Count: 1}
}

func saved(t *testing.T, c *control.Catalog, want int, records ...control.Access) {
	t.Helper()
	if n, err := c.SaveAccess(t.Context(), records); err != nil || n != want {
		t.Fatalf("saved %d, %v; expected %d", n, err, want)
	}
}

// ids are those of a query's records, page after page.
func ids(t *testing.T, c *control.Catalog, q control.AccessQuery) string {
	t.Helper()
	var all []string
	for {
		list, next, err := c.ListAccess(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			all = append(all, a.ID)
		}
		if next == "" {
			return strings.Join(all, " ")
		}
		if len(list) != q.Limit {
			t.Fatalf("%d records and a next page; expected %d", len(list), q.Limit)
		}
		q.After = next
	}
}

func TestAccessRecordsAreKeptOnceAndAsTheyCame(t *testing.T) {
	clock := newClock()
	onBothEngines(t, control.Options{Now: clock.now}, func(t *testing.T, c *control.Catalog) {
		at := clock.now().Add(-time.Minute).Truncate(time.Millisecond)
		full := control.Access{
			ID: "x-1", At: at, Last: at.Add(time.Second), Type: "t", Reason: "r", Tenant: "acme", UserTenant: "globex", User: "u\u202e\n\x00", Claimed: []string{"host=a", "header=b"},
			Method: "GET", Host: "h", Path: "/p'; DROP TABLE access_audit; --", ClientIP: "::1", RequestID: "q", Count: 7,
		}
		saved(t, c, 2, full, attempt("x-2", at))
		changed := full
		changed.Type = "changed"
		saved(t, c, 1, changed, attempt("x-3", at)) // again, with another behind it
		saved(t, c, 0)
		list, next, err := c.ListAccess(t.Context(), control.AccessQuery{Limit: 10})
		if err != nil || next != "" || len(list) != 3 {
			t.Fatalf("got %d records, %q, %v", len(list), next, err)
		}
		full.User, full.ReceivedAt = "u\u202e\n\ufffd", clock.now().UTC().Truncate(time.Microsecond)
		if got := list[2]; fmt.Sprint(got) != fmt.Sprint(full) {
			t.Errorf("got  %+v\nwant %+v", got, full)
		}
	})
}

func TestAccessRecordsAreFoundByTenantTypeAndTimeNewestFirst(t *testing.T) {
	clock := newClock()
	onBothEngines(t, control.Options{Now: clock.now}, func(t *testing.T, c *control.Catalog) {
		var records []control.Access
		for i := range 9 { // three at each of three moments
			a := attempt(fmt.Sprint("r-", i), clock.now().Add(time.Duration(i/3)*time.Second))
			a.Type = []string{"tenant_conflict", "cross_tenant_access_attempt"}[i%2]
			records = append(records, a)
		}
		records[1].Tenant, records[1].UserTenant = "acme", "globex"
		records[4].Claimed = []string{"host=acme", "header=initech"}
		records[7].UserTenant, records[7].Tenant = "acme", "Not A Slug%"
		records[8].Tenant = "acme-pets"
		slices.Reverse(records) // their order of arrival does not matter
		saved(t, c, 9, records...)
		second := clock.now().Add(time.Second)
		for _, test := range []struct {
			q    control.AccessQuery
			want string
		}{
			{control.AccessQuery{}, "r-8 r-7 r-6 r-5 r-4 r-3 r-2 r-1 r-0"},
			{control.AccessQuery{Tenant: tenant.MustSlug("acme")}, "r-7 r-4 r-1"},
			{control.AccessQuery{Tenant: tenant.MustSlug("initech")}, "r-4"},
			{control.AccessQuery{Tenant: tenant.MustSlug("pets")}, ""},
			{control.AccessQuery{Type: "cross_tenant_access_attempt"}, "r-7 r-5 r-3 r-1"},
			{control.AccessQuery{Since: second}, "r-8 r-7 r-6 r-5 r-4 r-3"},
			{control.AccessQuery{Before: second}, "r-2 r-1 r-0"},
			{control.AccessQuery{Since: second, Before: second.Add(time.Second), Type: "tenant_conflict", Tenant: tenant.MustSlug("acme")}, "r-4"},
		} {
			for _, limit := range []int{1, 2, 9, 100} {
				test.q.Limit = limit
				if got := ids(t, c, test.q); got != test.want {
					t.Errorf("%+v: got %q, expected %q", test.q, got, test.want)
				}
			}
		}
		for _, after := range []string{"x", ".r-1", "1.", "1", "x.r-1", "1.\x00", "1." + strings.Repeat("x", 200)} {
			_, _, err := c.ListAccess(t.Context(), control.AccessQuery{After: after, Limit: 1})
			if got := invalid(t, err); got != "after" {
				t.Errorf("cursor %q: %s", after, got)
			}
		}
	})
}

func TestAccessRecordsThatBreakARuleAreNamedAndNoneIsSaved(t *testing.T) {
	w := newWorld(t, options{})
	now := time.Now()
	long := strings.Repeat("x", 1025)
	bad := func(change func(*control.Access)) control.Access {
		a := attempt("bad", now)
		change(&a)
		return a
	}
	for field, a := range map[string]control.Access{
		"records[1].id":      bad(func(a *control.Access) { a.ID = "" }),
		"records[1].id ":     bad(func(a *control.Access) { a.ID = "a b" }),
		"records[1].id  ":    bad(func(a *control.Access) { a.ID = strings.Repeat("x", 129) }),
		"records[1].time":    bad(func(a *control.Access) { a.At = time.Time{} }),
		"records[1].last":    bad(func(a *control.Access) { a.Last = time.Unix(-5, 0) }),
		"records[1].type":    bad(func(a *control.Access) { a.Type = "" }),
		"records[1].count":   bad(func(a *control.Access) { a.Count = 0 }),
		"records[1].count ":  bad(func(a *control.Access) { a.Count = 1 << 53 }),
		"records[1].claimed": bad(func(a *control.Access) { a.Claimed = make([]string, 17) }),
		"records[1]":         bad(func(a *control.Access) { a.Path = long }),
		"records[1] ":        bad(func(a *control.Access) { a.Claimed = []string{"", long} }),
	} {
		_, err := w.SaveAccess(t.Context(), []control.Access{attempt("good", now), a})
		if got := invalid(t, err); got != strings.TrimSpace(field) {
			t.Errorf("got %q, expected %q", got, strings.TrimSpace(field))
		}
	}
	_, err := w.SaveAccess(t.Context(), make([]control.Access, control.MaxAccess+1))
	if got := invalid(t, err); got != "records" {
		t.Errorf("too many: %q", got)
	}
	if got := ids(t, w.Catalog, control.AccessQuery{Limit: 10}); got != "" {
		t.Errorf("saved %q", got)
	}
}

func TestAccessRecordsAreBoundedByNumberAndAgeAndAdministratorsActionsAreNot(t *testing.T) {
	clock := newClock()
	onBothEngines(t, control.Options{Now: clock.now, AccessKeep: 150, AccessAge: time.Hour}, func(t *testing.T, c *control.Catalog) {
		if _, err := c.Revoke(t.Context(), control.Revocation{Subject: "ann"}); err != nil {
			t.Fatal(err)
		}
		trim := func(want int) {
			t.Helper()
			if n, err := c.TrimAccess(t.Context()); err != nil || n != want {
				t.Fatalf("trimmed %d, %v; expected %d", n, err, want)
			}
		}
		// A flood trims by itself, without the background.
		for i := range 12 {
			var batch []control.Access
			for j := range 100 {
				batch = append(batch, attempt(fmt.Sprintf("f-%02d-%02d", i, j), clock.now().Add(time.Duration(i)*time.Second)))
			}
			saved(t, c, 100, batch...)
		}
		if n := len(strings.Fields(ids(t, c, control.AccessQuery{Limit: 1000}))); n != 150+200 {
			t.Errorf("%d records are kept; expected 150 of the first thousand and 200 after it", n)
		}
		trim(200)
		trim(0)
		if got := ids(t, c, control.AccessQuery{Limit: 100}); !strings.HasPrefix(got, "f-11-99 ") || !strings.HasSuffix(got, " f-10-50") {
			t.Errorf("kept %s", got)
		}
		clock.add(time.Hour + 10500*time.Millisecond)
		trim(50) // those of second 10
		clock.add(time.Hour)
		trim(100)
		if got := ids(t, c, control.AccessQuery{Limit: 10}); got != "" {
			t.Errorf("kept %q", got)
		}
		events, err := c.Events(t.Context(), tenant.Slug{}, 10)
		if err != nil || len(events) != 1 {
			t.Errorf("administrators' actions: %v, %v; expected one", events, err)
		}
	})
}

func TestSavingAccessRecordsSaysWhenTheStorageIsAway(t *testing.T) {
	dir := t.TempDir()
	w, err := open(t.Context(), dir, options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.SaveAccess(t.Context(), []control.Access{attempt("a", time.Now())}); err == nil || errors.Is(err, petstore.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
