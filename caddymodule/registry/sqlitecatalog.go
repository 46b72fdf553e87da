package registry

import "slices"

func sqliteCatalog(run runner) (c catalog, err error) {
	for table, columns := range map[string]*[]string{"tenants": &c.tenants, "tenant_hosts": &c.hosts} {
		if *columns, err = sqliteColumns(run, table); err != nil {
			return c, err
		}
	}
	if slices.Contains(c.hosts, "verified") {
		// The time of the verification is a yes as well, but no text that is not known:
		// any text is greater than 0.
		c.verified = "(typeof(verified) = 'integer' AND verified > 0 OR verified IN ('1', 'true'))"
	}
	return c, nil
}

func sqliteColumns(run runner, table string) (columns []string, err error) {
	err = run("SELECT name FROM pragma_table_info(?)", []any{table}, noHead, func(v []any) error {
		name, _ := v[0].(string)
		columns = append(columns, name)
		return nil
	})
	return columns, err
}

func sqliteDefaultQuery(c catalog, changed string) (string, error) {
	return c.defaultQuery("group_concat(host)", changed)
}
