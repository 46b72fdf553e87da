package registry

import (
	"testing"
	"time"
)

const revisionSQL = `
	CREATE TABLE tenants (slug TEXT PRIMARY KEY, plan TEXT, revision BIGINT NOT NULL);
	CREATE TABLE tenant_hosts (host TEXT PRIMARY KEY, slug TEXT, verified BIGINT);
	CREATE TABLE catalog_revision (revision BIGINT); INSERT INTO catalog_revision VALUES (2);
	CREATE TABLE pets (name TEXT);
	INSERT INTO tenants VALUES ('a', 'free', 1), ('b', 'free', 2), ('c', 'free', 2);
	INSERT INTO tenant_hosts VALUES ('a.example', 'a', 1)`

// rest has a source rest for as long as the test takes, or not at all.
func rest(p *pace, resting bool) {
	p.until = time.Time{}
	if resting {
		p.until = time.Now().Add(time.Hour)
	}
}

func TestSQLiteFollowsTheCatalogsRevisions(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, revisionSQL)
	var followed *sqlite // the first one; the others read everything
	follow(t, func() Source {
		s := w.source(t).(*sqlite)
		if followed == nil {
			followed = s
		}
		return s
	}, func(sql string) {
		w.exec(t, sql)
		rest(&followed.pace, true)
	}, []deltaStep{
		{"UPDATE tenants SET plan = 'basic', revision = 3 WHERE slug = 'b'; UPDATE catalog_revision SET revision = 3", false},
		{"INSERT INTO tenants VALUES ('d', 'free', 4); UPDATE catalog_revision SET revision = 4", false},
		{"INSERT INTO tenant_hosts VALUES ('d.example', 'd', 1); UPDATE tenants SET revision = 5 WHERE slug = 'd'; UPDATE catalog_revision SET revision = 5", false},
		{"DELETE FROM tenant_hosts WHERE slug = 'a'; UPDATE tenants SET revision = 6 WHERE slug = 'a'; UPDATE catalog_revision SET revision = 6", false},
		{"INSERT INTO pets VALUES ('Rex')", false},
		{"DELETE FROM tenants WHERE slug = 'b'; UPDATE catalog_revision SET revision = 7", true},
		{"UPDATE tenants SET plan = 'gold'; UPDATE catalog_revision SET revision = 1", true},
	})
}

// A change by hand has no revision; it waits for the rest to end, and no longer.
func TestAChangeWithoutARevisionIsFoundAfterTheRest(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, revisionSQL)
	s := w.source(t).(*sqlite)
	r := open(t, s, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	look := func(resting bool, plan string) {
		t.Helper()
		rest(&s.pace, resting)
		if err := r.Refresh(within(t)); err != nil {
			t.Fatal(err)
		}
		if got := r.Snapshot().BySlug(slug("a")).Plan; string(got) != plan {
			t.Errorf("the plan is %q, want %q", got, plan)
		}
	}
	w.exec(t, "UPDATE tenants SET plan = 'basic' WHERE slug = 'a'")
	look(true, "free")
	look(true, "free") // nothing was written since, but not all is known
	look(false, "basic")
	before := r.Stats().Loads
	look(false, "basic")
	if r.Stats().Loads != before {
		t.Error("what has not changed was read again")
	}
	// And in company of one that has a revision.
	w.exec(t, "UPDATE tenants SET plan = 'gold' WHERE slug = 'a'; UPDATE tenants SET plan = 'gold', revision = 3 WHERE slug = 'b'; UPDATE catalog_revision SET revision = 3")
	look(true, "basic")
	if got := r.Snapshot().BySlug(slug("b")).Plan; got != "gold" {
		t.Errorf("the other plan is %q", got)
	}
	look(false, "gold")
}

// Where reading everything is quick, nobody has to wait for a change by hand.
func TestSmallCatalogsAreReadAtOnce(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, revisionSQL)
	r := Open(Options{Source: w.source(t), Interval: time.Millisecond})
	defer r.Close()
	eventually(t, "the tenants", func() bool { return r.Snapshot().Len() == 3 })
	w.exec(t, "UPDATE tenants SET plan = 'basic' WHERE slug = 'a'")
	eventually(t, "the change", func() bool { return r.Snapshot().BySlug(slug("a")).Plan == "basic" })
}
