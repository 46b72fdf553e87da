package registry

import (
	"fmt"
	"slices"
)

// revisions follows the bundled backend's catalog: each of its changes raises the
// number in catalog_revision, and leaves it in the records that it touched. That
// makes a change among many tenants cheap to read, and tells it from all the other
// writes to the same database.
//
// Somebody with a database shell knows nothing of revisions. So the source looks
// for such changes as well, only not as often.
type revisions struct {
	on     bool
	latest int64
}

// reset notes the revision after everything was read, in the same transaction.
func (v *revisions) reset(run runner, columns func(table string) ([]string, error)) error {
	v.on = false
	table, err := columns("catalog_revision")
	if err != nil {
		return err
	}
	tenants, err := columns("tenants")
	if err != nil || !slices.Contains(table, "revision") || !slices.Contains(tenants, "revision") {
		return err
	}
	v.latest, v.on, err = readRevision(run)
	return err
}

// readRevision reports false if there is not the one number that is expected.
func readRevision(run runner) (revision int64, ok bool, err error) {
	rows := 0
	err = run("SELECT revision FROM catalog_revision", nil, noHead, func(v []any) error {
		revision, ok = v[0].(int64)
		rows++
		return nil
	})
	return revision, ok && rows == 1, err
}

// changes reads the records of later revisions. It leaves it to the caller to count
// them all: the catalog removes none.
func (v *revisions) changes(run runner, query func(changed string) (string, error)) (Changes, error) {
	revision, ok, err := readRevision(run)
	if err != nil {
		return Changes{}, err
	}
	switch {
	case !ok || revision < v.latest:
		return Changes{}, ErrFull // another catalog, or an older copy
	case revision == v.latest:
		return Changes{}, ErrUnchanged // as far as the catalog knows
	}
	text, err := query(fmt.Sprintf("IN (SELECT slug FROM tenants WHERE revision > %d)", v.latest))
	if err != nil {
		return Changes{}, err
	}
	changes := Changes{Tenants: -1, Hosts: -1}
	if changes.Records, _, err = readRecords(run, text); err != nil {
		return Changes{}, err
	}
	v.latest = revision
	return changes, nil
}
