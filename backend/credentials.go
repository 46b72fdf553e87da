package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/issuer"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// keyArgs are the arguments of the "petstore key" commands.
var keyArgs = map[string][]string{
	"create": {"SLUG", "NAME"},
	"list":   {"SLUG"},
	"revoke": {"SLUG", "ID"},
}

// keyMain runs "petstore key create|list|revoke".
func keyMain(ctx context.Context, env environment, args []string) error {
	var data dataConfig
	var roles string
	var ttl time.Duration
	command := ""
	if len(args) > 0 && keyArgs[args[0]] != nil {
		command, args = args[0], args[1:]
	}
	f := newFlags(env, "key", "key create SLUG NAME | list SLUG | revoke SLUG ID [flags]")
	data.register(f)
	f.StringVar(&roles, "role", "", "create: the key's roles, separated by commas: editor, admin")
	f.DurationVar(&ttl, "ttl", 0, "create: how long the key is good for, such as 720h; 0 has no end")
	names := keyArgs[command]
	if command == "" {
		names = []string{"create, list or revoke"}
	}
	rest, err := f.parse(args, names...)
	if err != nil {
		return ignoreHelp(err)
	}
	if command == "" {
		return usageError{fmt.Errorf("unknown command %q; expected create, list or revoke", "key "+rest[0])}
	}
	slug, err := tenant.ParseSlug(rest[0])
	if err != nil {
		return usageError{err}
	}
	if ttl < 0 {
		return usageError{errors.New("reading --ttl: expected 0 or more")}
	}
	ctx = control.WithActor(ctx, control.Actor{Name: "cli"})
	return data.with(ctx, func(b *backend) error {
		switch command {
		case "create":
			return createKey(ctx, env, b.catalog, slug, rest[1], roles, ttl)
		case "list":
			return listKeys(ctx, env, b.catalog, slug)
		}
		if err := b.catalog.RevokeKey(ctx, slug, rest[1]); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.stdout, "key %s is revoked\n", rest[1])
		return err
	})
}

// createKey prints the key, and nothing else, to standard output: it can be
// sent straight to where secrets are kept. It is not shown again.
func createKey(ctx context.Context, env environment, c *control.Catalog, slug tenant.Slug, name, roles string, ttl time.Duration) error {
	n := control.NewKey{Name: name}
	if roles != "" {
		n.Roles = strings.Split(roles, ",")
	}
	if ttl > 0 {
		n.Expires = time.Now().Add(ttl)
	}
	made, key, err := c.CreateKey(ctx, slug, n)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(env.stderr, "key %s of tenant %q, shown this once:\n", made.ID, slug)
	_, err = fmt.Fprintln(env.stdout, key)
	return err
}

func listKeys(ctx context.Context, env environment, c *control.Catalog, slug tenant.Slug) error {
	keys, err := c.Keys(ctx, slug)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tNAME\tROLES\tCREATED\tEXPIRES\tSTATE")
	for _, k := range keys {
		expires, state := "never", "good"
		if !k.Expires.IsZero() {
			expires = k.Expires.Format(time.RFC3339)
		}
		switch {
		case !k.Revoked.IsZero():
			state = "revoked at " + k.Revoked.Format(time.RFC3339)
		case !k.Expires.IsZero() && !k.Expires.After(time.Now()):
			state = "expired"
		}
		_, _ = fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%s\n", k.ID, k.Name, strings.Join(k.Roles, ","), k.CreatedAt.Format(time.RFC3339), expires, state)
	}
	return table.Flush()
}

// mintToken prints a bearer token for a user of a tenant, and nothing else, so
// that it can stand in another command's line.
func mintToken(_ context.Context, env environment, args []string) error {
	var dir, slug, user, roles string
	var ttl time.Duration
	f := newFlags(env, "token", "token --tenant SLUG [flags]")
	f.StringVar(&dir, "data", "data", "folder with the issuer's key")
	f.StringVar(&slug, "tenant", "", "the user's tenant; required")
	f.StringVar(&user, "user", "demo", "the user's name")
	f.StringVar(&roles, "role", petstore.RoleEditor, "the user's roles, separated by commas: editor, admin")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for, at most 24h")
	if _, err := f.parse(args); err != nil {
		return ignoreHelp(err)
	}
	name, err := tenant.ParseSlug(slug)
	if err != nil {
		return usageError{fmt.Errorf("reading --tenant: %w", err)}
	}
	g := issuer.Grant{Tenant: name, User: user, TTL: ttl}
	if roles != "" {
		g.Roles = strings.Split(roles, ",")
	}
	i, err := issuer.Open(dir)
	if err != nil {
		return err
	}
	token, err := i.Mint(g, rand.Text(), time.Now())
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(env.stdout, token)
	return err
}
