package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// tenantCommand is one "petstore tenant" command.
type tenantCommand struct {
	name, args, summary string
	run                 func(t *tenantRun, ctx context.Context) error
}

// tenantRun is what such a command has at hand.
type tenantRun struct {
	*backend
	env  environment
	args []string
	slug tenant.Slug // of the first argument, where there is one
	opts tenantOptions
}

type tenantOptions struct {
	name, plan, isolation, email, limits, hosts, upstreams, to, confirm, slug, output string
	noSample                                                                          bool
	set                                                                               map[string]bool
}

func tenantCommands() []tenantCommand {
	status := func(to tenant.Status) func(*tenantRun, context.Context) error {
		return func(t *tenantRun, ctx context.Context) error { return t.change(ctx, control.Patch{Status: &to}) }
	}
	return []tenantCommand{
		{"list", "", "list all tenants", (*tenantRun).listAll},
		{"create", "SLUG", "set a tenant up (--name, --plan, --email, --isolation, --upstreams, --no-sample-pet)", (*tenantRun).create},
		{"show", "SLUG", "show a tenant and its latest events", (*tenantRun).show},
		{"set", "SLUG", "change a tenant (--name, --plan, --limits, --hosts, --upstreams)", (*tenantRun).set},
		{"suspend", "SLUG", "refuse a tenant's requests and keep its data", status(tenant.Suspended)},
		{"activate", "SLUG", "serve a suspended or deactivated tenant again", status(tenant.Active)},
		{"deactivate", "SLUG", "refuse a tenant's requests and purge it after a while", status(tenant.Deactivated)},
		{"purge", "SLUG", "delete a deactivated tenant's data now (--confirm SLUG)", (*tenantRun).purge},
		{"move", "SLUG", "bring a tenant's data to another place (--to)", (*tenantRun).move},
		{"export", "SLUG", "write an archive (--output, or standard output)", (*tenantRun).export},
		{"import", "FILE", "make a tenant from an archive (--slug, --isolation)", (*tenantRun).importArchive},
	}
}

// tenantMain runs "petstore tenant COMMAND".
func tenantMain(ctx context.Context, env environment, args []string) error {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		_, _ = fmt.Fprint(env.stdout, "Usage: petstore tenant COMMAND [flags]\n\nCommands:\n")
		for _, c := range tenantCommands() {
			_, _ = fmt.Fprintf(env.stdout, "  %-18s %s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
		}
		if len(args) == 0 {
			return usageError{errors.New("expected a command after \"tenant\"")}
		}
		return nil
	}
	for _, c := range tenantCommands() {
		if c.name == args[0] {
			return c.parse(ctx, env, args[1:])
		}
	}
	return usageError{fmt.Errorf("unknown command %q", "tenant "+args[0])}
}

func (c tenantCommand) parse(ctx context.Context, env environment, args []string) error {
	var data dataConfig
	t := &tenantRun{env: env}
	o := &t.opts
	f := newFlags(env, "tenant "+c.name, strings.TrimSpace("tenant "+c.name+" "+c.args)+" [flags]")
	data.register(f)
	f.StringVar(&o.name, "name", "", "name for people")
	f.StringVar(&o.plan, "plan", "", "plan")
	f.StringVar(&o.email, "email", "", "address of the tenant's administrator, for the welcome mail")
	f.StringVar(&o.limits, "limits", "", "limits that replace the plan's, such as \"200/1h 10/1s\"")
	f.StringVar(&o.hosts, "hosts", "", "the tenant's own domains, separated by commas")
	f.StringVar(&o.upstreams, "upstreams", "", "the tenant's own backends, such as 10.20.0.7:8080, separated by commas; empty for the shared ones")
	f.StringVar(&o.to, "to", "", "where to move: shared, schema or database")
	f.StringVar(&o.confirm, "confirm", "", "the slug again, to be sure")
	f.StringVar(&o.slug, "slug", "", "slug of the imported tenant, if not the archive's")
	f.StringVar(&o.output, "output", "", "file to write, which must not exist")
	f.BoolVar(&o.noSample, "no-sample-pet", false, "leave out the pet that a tenant begins with")
	names := strings.Fields(c.args)
	rest, err := f.parse(args, names...)
	if err != nil {
		return ignoreHelp(err)
	}
	t.args, o.set, o.isolation = rest, f.given(), ""
	if o.set["isolation"] {
		o.isolation = data.isolation
	}
	if c.args == "SLUG" && c.name != "create" {
		if t.slug, err = tenant.ParseSlug(rest[0]); err != nil {
			return usageError{err}
		}
	}
	who := "cli"
	if u, err := user.Current(); err == nil {
		who += " " + u.Username
	}
	ctx = control.WithActor(ctx, control.Actor{Name: who})
	return data.with(ctx, func(b *backend) error {
		t.backend = b
		return c.run(t, ctx)
	})
}

func (t *tenantRun) listAll(ctx context.Context) error {
	table := tabwriter.NewWriter(t.env.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SLUG\tPLAN\tSTATUS\tISOLATION\tNAME")
	for after := ""; ; {
		const page = 500
		list, err := t.catalog.List(ctx, after, page)
		if err != nil {
			return err
		}
		for _, one := range list {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%q\n", one.Slug, one.Plan, one.Status, one.Isolation, one.Name)
			after = one.Slug.String()
		}
		if len(list) < page {
			return table.Flush()
		}
	}
}

func (t *tenantRun) create(ctx context.Context) error {
	o := t.opts
	created, err := t.catalog.Create(ctx, control.New{
		Slug: t.args[0], Name: o.name, Plan: o.plan, Isolation: o.isolation, AdminEmail: o.email, NoSamplePet: o.noSample, Upstreams: words(o.upstreams),
	}, "")
	return t.printCreated(created, err)
}

func (t *tenantRun) printCreated(created control.Created, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.env.stdout, "tenant %q is %s on plan %s, in %s\none-time token: %s\n",
		created.Tenant.Slug, created.Tenant.Status, created.Tenant.Plan, created.Tenant.Isolation, created.SetupToken)
	return err
}

func (t *tenantRun) show(ctx context.Context) error {
	one, err := t.catalog.Get(ctx, t.slug)
	if err != nil {
		return err
	}
	events, err := t.catalog.Events(ctx, t.slug, 20)
	if err != nil {
		return err
	}
	out := json.NewEncoder(t.env.stdout)
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{
		"id": one.ID, "slug": one.Slug, "name": one.Name, "plan": one.Plan, "status": one.Status, "limits": one.Limits,
		"isolation": one.Isolation, "hosts": one.Hosts, "upstreams": one.Upstreams, "created_at": one.CreatedAt, "updated_at": one.UpdatedAt, "events": events,
	})
}

func (t *tenantRun) set(ctx context.Context) error {
	var p control.Patch
	o := &t.opts
	if o.set["name"] {
		p.Name = &o.name
	}
	if o.set["plan"] {
		p.Plan = &o.plan
	}
	if o.set["limits"] {
		p.Limits = &o.limits
	}
	if o.set["hosts"] {
		hosts := words(o.hosts)
		p.Hosts = &hosts
	}
	if o.set["upstreams"] {
		upstreams := words(o.upstreams)
		p.Upstreams = &upstreams
	}
	if p == (control.Patch{}) {
		return usageError{errors.New("expected something to change: --name, --plan, --limits, --hosts or --upstreams")}
	}
	return t.change(ctx, p)
}

// words splits a list at commas and spaces.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func (t *tenantRun) change(ctx context.Context, p control.Patch) error {
	after, err := t.catalog.Change(ctx, t.slug, p)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("tenant %q is %s on plan %s", after.Slug, after.Status, after.Plan)
	if !after.PurgeAt.IsZero() {
		line += ", to be purged at " + after.PurgeAt.Format(time.RFC3339)
	}
	_, err = fmt.Fprintln(t.env.stdout, line)
	return err
}

func (t *tenantRun) purge(ctx context.Context) error {
	if err := t.catalog.Purge(ctx, t.slug, t.opts.confirm); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.env.stdout, "tenant %q is purged\n", t.slug)
	return err
}

func (t *tenantRun) move(ctx context.Context) error {
	to, err := petstore.ParseIsolation(t.opts.to)
	if err != nil {
		return usageError{fmt.Errorf("reading --to: %w", err)}
	}
	// A run that was cut off before is finished or undone first.
	if _, err := t.catalog.ResumeMoves(ctx); err != nil {
		return err
	}
	if err := t.catalog.Move(ctx, t.slug, to); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.env.stdout, "tenant %q is in %s\n", t.slug, to)
	return err
}

func (t *tenantRun) export(ctx context.Context) error {
	if t.opts.output == "" {
		return t.catalog.Export(ctx, t.slug, t.env.stdout)
	}
	return writeNew(t.opts.output, func(w io.Writer) error { return t.catalog.Export(ctx, t.slug, w) })
}

func (t *tenantRun) importArchive(ctx context.Context) error {
	f, err := os.Open(t.args[0])
	if err != nil {
		return fmt.Errorf("opening the archive: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	return t.printCreated(t.catalog.Import(ctx, f, t.opts.slug, t.opts.isolation))
}
