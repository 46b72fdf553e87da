package sqlrows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// Dialect is what engines differ in; all but Columns are pieces of SQL.
type Dialect struct {
	// Columns is a query for the names of the columns of a table that may be read,
	// with %s for the table's name. It yields none if there is no such table.
	Columns string
	// Hosts makes one text of the column host of many rows.
	Hosts string
	// Verified is the condition for a row with a column verified to count: it is true,
	// or the time of the verification.
	Verified string
	// Server is a text that is another one when another server answers: one that took
	// over may lack what the last one had counted.
	Server string
	// Hidden is a query for a truth: whether there may be rows that are not shown.
	Hidden string
}

// catalog is what is found of the tables that the bundled backend has.
type catalog struct {
	Dialect

	tenants, hosts, revision []string // columns
}

func (d Dialect) catalog(run Runner) (c catalog, err error) {
	c.Dialect = d
	for table, columns := range map[string]*[]string{"tenants": &c.tenants, "tenant_hosts": &c.hosts, "catalog_revision": &c.revision} {
		if *columns, err = d.columns(run, table); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (d Dialect) columns(run Runner, table string) (columns []string, err error) {
	err = run.rows(fmt.Sprintf(d.Columns, table), func(v []any) error {
		name, _ := v[0].(string)
		columns = append(columns, name)
		return nil
	})
	return columns, err
}

// bundled reports whether the tables are the bundled backend's, of any version.
func (c catalog) bundled() bool { return slices.Contains(c.revision, "revision") }

// counts reports whether every change of them is counted, whoever makes it.
func (c catalog) counts() bool {
	return c.bundled() && slices.Contains(c.revision, "credentials") && slices.Contains(c.tenants, "revision")
}

// mark is how far a catalog has counted; the zero value is of one that does not.
type mark struct {
	counts bool
	number int64
	server string
}

// mark reads a number of a catalog that counts.
func (d Dialect) mark(run Runner, column string) (mark, error) {
	values, err := run.one("SELECT " + column + ", " + d.Server + " FROM catalog_revision")
	if err != nil {
		return mark{}, err
	}
	number, ok := values[0].(int64)
	return mark{counts: ok, number: number, server: fmt.Sprint(values[1])}, nil
}

// query reads the tables tenants and tenant_hosts. It asks for the columns that
// exist, so that a catalog of an older or a smaller make is read as well; only slug,
// and host in tenant_hosts, must be there. Hosts count once they are verified, if
// that is recorded. Changed is a condition for the tenants, empty for all.
func (c catalog) query(changed string) (string, error) {
	if len(c.tenants) == 0 {
		return "", errors.New(`expected a table "tenants", found none`)
	}
	withHosts := len(c.hosts) > 0
	if withHosts && (!slices.Contains(c.hosts, "host") || !slices.Contains(c.hosts, "slug")) {
		return "", fmt.Errorf("expected columns %q and %q in table %q, found %s", "host", "slug", "tenant_hosts", strings.Join(c.hosts, ", "))
	}
	var columns, conditions []string
	for _, name := range registry.FieldNames() {
		if slices.Contains(c.tenants, name) && (name != "hosts" || !withHosts) {
			columns = append(columns, "t."+name)
		}
	}
	from := " FROM tenants t"
	if withHosts {
		columns = append(columns, "h.hosts")
		if slices.Contains(c.hosts, "verified") {
			conditions = append(conditions, c.Verified)
		}
		if changed != "" {
			conditions = append(conditions, "slug IN (SELECT slug FROM tenants WHERE "+changed+")")
		}
		from += " LEFT JOIN (SELECT slug, " + c.Hosts + " AS hosts FROM tenant_hosts" + where(conditions...) + " GROUP BY slug) h ON h.slug = t.slug"
	}
	if changed != "" {
		from += where(changed)
	}
	return "SELECT " + strings.Join(columns, ", ") + from, nil
}

func where(conditions ...string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}
