package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// auditMain runs "petstore audit": attempts to cross from one tenant to
// another, the newest first, as a table or one JSON object a line.
func auditMain(ctx context.Context, env environment, args []string) error {
	var data dataConfig
	var slug, since, before string
	var q control.AccessQuery
	var asJSON bool
	f := newFlags(env, "audit", "audit [flags]")
	data.register(f)
	f.StringVar(&slug, "tenant", "", "only what names this tenant: asked for, claimed, or the caller's own")
	f.StringVar(&q.Type, "type", "", "only this type, such as cross_tenant_access_attempt or tenant_conflict")
	f.StringVar(&since, "since", "", "only from this time on, as in 2030-01-31T12:00:00Z, or as long ago as 24h")
	f.StringVar(&before, "before", "", "only before this time, likewise")
	f.IntVar(&q.Limit, "limit", 100, "at most so many")
	f.BoolVar(&asJSON, "json", false, "print JSON, one object a line, with every field")
	if _, err := f.parse(args); err != nil {
		return ignoreHelp(err)
	}
	if q.Limit < 1 {
		return usageError{fmt.Errorf("reading --limit %d: expected at least 1", q.Limit)}
	}
	var err error
	if slug != "" {
		if q.Tenant, err = tenant.ParseSlug(slug); err != nil {
			return usageError{fmt.Errorf("reading --tenant: %w", err)}
		}
	}
	now := time.Now()
	if q.Since, err = timeOrAge(since, now); err != nil {
		return usageError{fmt.Errorf("reading --since %q: %w", since, err)}
	}
	if q.Before, err = timeOrAge(before, now); err != nil {
		return usageError{fmt.Errorf("reading --before %q: %w", before, err)}
	}
	return data.with(ctx, func(b *backend) error {
		show, flush := accessTable(env)
		if asJSON {
			show, flush = json.NewEncoder(env.stdout).Encode, func() error { return nil }
		}
		if err := eachAccess(ctx, b.catalog, q, show); err != nil {
			return err
		}
		return flush()
	})
}

// timeOrAge reads a time, or how long before now it is; "" is the zero time.
func timeOrAge(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(s); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("expected a time as in 2030-01-31T12:00:00Z, or a duration as in 24h")
	}
	return t, nil
}

// eachAccess reads page after page, so that a long list needs little memory.
func eachAccess(ctx context.Context, c *control.Catalog, q control.AccessQuery, show func(any) error) error {
	const page = 500
	for left := q.Limit; left > 0; {
		q.Limit = min(left, page)
		list, next, err := c.ListAccess(ctx, q)
		if err != nil {
			return err
		}
		for _, a := range list {
			if err := show(a); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		left, q.After = left-len(list), next
	}
	return nil
}

// accessTable prints what fits a line. Values are quoted where an attacker can
// have chosen them: nothing reaches the terminal unescaped.
func accessTable(env environment) (show func(any) error, flush func() error) {
	table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(table, "TIME\tCOUNT\tTYPE\tCLIENT\tTENANT\tUSER\tOF TENANT\tCLAIMED\tREQUEST")
	show = func(v any) error {
		if err != nil {
			return err
		}
		a := v.(control.Access)
		_, err = fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%q\t%q\n", a.At.Format(time.RFC3339), a.Count,
			quoted(a.Type), quoted(a.ClientIP), quoted(a.Tenant), quoted(a.User), quoted(a.UserTenant), a.Claimed, a.Method+" "+a.Host+a.Path)
		return err
	}
	return show, table.Flush
}

// quoted is s as it is when it is a plain word, else in quotes; "" is a hyphen.
func quoted(s string) string {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Sprintf("%q", s)
		}
	}
	if s == "" {
		return "-"
	}
	return s
}
