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
	if v.latest, err = readRevision(run); err != nil {
		return err
	}
	v.on = true
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

// changes reads the records of later revisions. The query is the one for the
// tenants whose slugs another query yields.
func (v *revisions) changes(run runner, query func(changed string) (string, error)) (Changes, error) {
	revision, err := readRevision(run)
	if err != nil {
		return Changes{}, err
	}
	switch {
	case revision < v.latest:
		return Changes{}, ErrFull // another catalog, or an older copy
	case revision == v.latest:
		return Changes{}, ErrUnchanged // as far as the catalog knows
	}
	changed, err := query(fmt.Sprintf("SELECT slug FROM tenants WHERE revision > %d", v.latest))
	if err != nil {
		return Changes{}, err
	}
	values, err := readRow(run, "SELECT count(*) FROM tenants")
	if err != nil {
		return Changes{}, err
	}
	count, _ := values[0].(int64)
	changes := Changes{Tenants: int(count), Hosts: -1}
	if changes.Records, _, err = readRecords(run, changed); err != nil {
		return Changes{}, err
	}
	v.latest = revision
	return changes, nil
}
