package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkColumns refuses a query whose result is not made of record fields: a
// column that nobody reads is more likely a mistake than a wish.
func checkColumns(names []string) error {
	for i, name := range names {
		if !isField(name) {
			return errUnknownField("column", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("column %q appears twice: expected each of %s at most once", name, strings.Join(fieldNames, ", "))
		}
	}
	if !slices.Contains(names, "slug") {
		return fmt.Errorf("column %q is missing: expected it and some of %s", "slug", strings.Join(fieldNames, ", "))
	}
	return nil
}

// catalog is what the default query finds in the database.
type catalog struct {
	tenants []string // columns
	hosts   []string // columns of tenant_hosts, none if there is no such table
}

// defaultQuery reads the tables tenants and tenant_hosts. It asks for the columns
// that exist, so that a catalog of an older or a smaller make is read as well;
// only slug, and host in tenant_hosts, must be there. Hosts count once they are
// verified, if that is recorded. The two expressions differ between databases:
// join makes one text of many hosts, truth turns a column into a condition.
func (c catalog) defaultQuery(join string, truth func(column string) string) (string, error) {
	if len(c.tenants) == 0 {
		return "", errors.New(`expected a table "tenants", found none`)
	}
	if len(c.hosts) > 0 && (!slices.Contains(c.hosts, "host") || !slices.Contains(c.hosts, "slug")) {
		return "", fmt.Errorf("expected columns %q and %q in table %q, found %s", "host", "slug", "tenant_hosts", strings.Join(c.hosts, ", "))
	}
	var columns []string
	for _, name := range fieldNames {
		if slices.Contains(c.tenants, name) && (name != "hosts" || len(c.hosts) == 0) {
			columns = append(columns, "t."+name)
		}
	}
	if len(c.hosts) == 0 {
		return "SELECT " + strings.Join(columns, ", ") + " FROM tenants t", nil
	}
	where := ""
	if slices.Contains(c.hosts, "verified") {
		where = " WHERE " + truth("verified")
	}
	return "SELECT " + strings.Join(columns, ", ") + ", h.hosts FROM tenants t" +
		" LEFT JOIN (SELECT slug, " + join + " AS hosts FROM tenant_hosts" + where + " GROUP BY slug) h ON h.slug = t.slug", nil
}
