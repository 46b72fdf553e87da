package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// migrate runs "petstore migrate up|status|plan".
func migrate(ctx context.Context, env environment, args []string) error {
	var data dataConfig
	var o control.MigrateOptions
	var only string
	f := newFlags(env, "migrate", "migrate up|status|plan [flags]")
	data.register(f)
	f.IntVar(&o.Parallel, "parallel", 4, "tenants that are migrated at one time")
	f.IntVar(&o.Canary, "canary", 0, "places to migrate first; if one fails, the rest is left alone")
	f.StringVar(&only, "only", "", "slugs, separated by commas, of the tenants to migrate")
	rest, err := f.parse(args, "up, status or plan")
	if err != nil {
		return ignoreHelp(err)
	}
	if o.Parallel < 1 || o.Canary < 0 {
		return usageError{errors.New("expected --parallel of at least 1 and --canary of at least 0")}
	}
	for _, s := range strings.FieldsFunc(only, func(r rune) bool { return r == ',' }) {
		slug, err := tenant.ParseSlug(s)
		if err != nil {
			return usageError{fmt.Errorf("reading --only: %w", err)}
		}
		o.Only = append(o.Only, slug)
	}
	return data.with(ctx, func(b *backend) error {
		switch rest[0] {
		case "up":
			return migrateUp(ctx, env, b, o)
		case "status":
			return printPlaces(ctx, env.stdout, b, false)
		case "plan":
			return printPlaces(ctx, env.stdout, b, true)
		}
		return usageError{fmt.Errorf("unknown command %q: expected up, status or plan", "migrate "+rest[0])}
	})
}

func migrateUp(ctx context.Context, env environment, b *backend, o control.MigrateOptions) error {
	last := 0
	o.Progress = func(done, total int, p control.Place) {
		last = done
		result := fmt.Sprintf("version %d", p.Version)
		if p.Failure != "" {
			result = "FAILED: " + p.Failure
		}
		_, _ = fmt.Fprintf(env.stdout, "%d/%d %s: %s\n", done, total, p.Name, result)
	}
	if err := b.catalog.Migrate(ctx, o); err != nil {
		return err
	}
	_, err := fmt.Fprintf(env.stdout, "%d migrated, all up to date at version %d\n", last, b.store.Target())
	return err
}

func printPlaces(ctx context.Context, w io.Writer, b *backend, pendingOnly bool) error {
	places, err := b.catalog.Places(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "PLACE\tISOLATION\tVERSION\tTARGET\tSTATE")
	pending := 0
	for _, p := range places {
		state := "up to date"
		if p.Pending() {
			pending++
			state = "pending"
		}
		if p.Failure != "" {
			state = "failed: " + p.Failure
		}
		if p.Pending() || !pendingOnly {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", p.Name, p.Isolation, p.Version, p.Target, state)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d of %d to migrate\n", pending, len(places))
	return err
}
