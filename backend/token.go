package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/issuer"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// mintToken prints a bearer token for a user of a tenant, and nothing else, so
// that it can stand in another command's line.
func mintToken(_ context.Context, env environment, args []string) error {
	var dir, slug, user, roles string
	var ttl time.Duration
	f := newFlags(env, "token", "token --tenant SLUG [flags]")
	f.StringVar(&dir, "data", "data", "folder with the issuer's key")
	f.StringVar(&slug, "tenant", "", "the user's tenant; required")
	f.StringVar(&user, "user", "demo", "the user's name")
	f.StringVar(&roles, "role", issuer.Editor, "the user's roles, separated by commas: editor, admin")
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
