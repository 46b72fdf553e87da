package registry

import (
	"fmt"
	"slices"
	"time"
)

// revisions follows the bundled backend's catalog in SQLite: each of its changes
// raises the number in catalog_revision, and leaves it in the records that it
// touched. That makes a change among many tenants cheap to read, and tells it
// from all the other writes to the same file.
//
// Somebody with a database shell knows nothing of revisions. So after any write
// everything is read as well, but only after a rest of ten times what that takes:
// at once where it takes milliseconds, and where it takes a second not so often
// that it is all the gateway does.
type revisions struct {
	on     bool
	latest int64
	rest   time.Time // until when not everything is read
}

const restShare = 10

// resting reports whether changes are to be read by their revision now.
func (v *revisions) resting() bool { return v.on && time.Now().Before(v.rest) }

// reset notes the revision after a full read that took so long, in the same
// transaction.
func (v *revisions) reset(run runner, took time.Duration) error {
	v.on = false
	table, err := sqliteColumns(run, "catalog_revision")
	if err != nil {
		return err
	}
	tenants, err := sqliteColumns(run, "tenants")
	if err != nil || !slices.Contains(table, "revision") || !slices.Contains(tenants, "revision") {
		return err
	}
	if v.latest, err = readRevision(run); err != nil {
		return err
	}
	v.on, v.rest = true, time.Now().Add(restShare*took)
	return nil
}

func readRevision(run runner) (int64, error) {
	values, err := readRow(run, "SELECT revision FROM catalog_revision")
	if err != nil {
		return 0, err
	}
	revision, ok := values[0].(int64)
	if !ok {
		return 0, fmt.Errorf("reading the catalog's revision: expected an integer, found %s", describe(values[0]))
	}
	return revision, nil
}

// changes reads the records of later revisions.
func (v *revisions) changes(run runner) (Changes, error) {
	revision, err := readRevision(run)
	if err != nil {
		return Changes{}, err
	}
	switch {
	case revision < v.latest:
		return Changes{}, ErrFull // another catalog, or an older copy
	case revision == v.latest:
		return Changes{}, ErrUnchanged // as far as the catalog knows; the rest tells
	}
	c, err := sqliteCatalog(run)
	if err != nil {
		return Changes{}, err
	}
	query, err := c.defaultQuery("group_concat(host)", fmt.Sprintf("SELECT slug FROM tenants WHERE revision > %d", v.latest))
	if err != nil {
		return Changes{}, err
	}
	values, err := readRow(run, "SELECT count(*) FROM tenants")
	if err != nil {
		return Changes{}, err
	}
	count, _ := values[0].(int64)
	changes := Changes{Tenants: int(count), Hosts: -1}
	if changes.Records, _, err = readRecords(run, query); err != nil {
		return Changes{}, err
	}
	v.latest = revision
	return changes, nil
}
