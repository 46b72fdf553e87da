package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestTheCaddyfileIsRead(t *testing.T) {
	var m Postgres
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser("postgres {env.PLACE} {\nquery `SELECT slug FROM t`\ninterval 1s\nmax_stale 1h\n}"))
	if err != nil {
		t.Fatal(err)
	}
	interval, maxStale, err := m.Pace()
	if err != nil || m.Address != "{env.PLACE}" || m.Query != "SELECT slug FROM t" || interval != time.Second || maxStale != time.Hour {
		t.Errorf("got %+v, %v", m, err)
	}
	for text, want := range map[string]string{
		"postgres":                       "source: expected a type (sqlite, postgres, file or http) and an address",
		"postgres a b":                   "source: expected a type",
		"postgres a {\nquery\n}":         "query: expected one SQL statement in quotes or backticks",
		"postgres a {\ninterval soon\n}": "interval: bad duration \"soon\"",
		"postgres a {\nheader X y\n}":    "source: unknown option \"header\"; expected query, interval or max_stale",
		"postgres a {\nlong_poll 30s\n}": "source: unknown option \"long_poll\"",
	} {
		t.Run(text, func(t *testing.T) {
			if err := new(Postgres).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestPlaceholdersInTheAddressAreReplaced(t *testing.T) {
	t.Setenv("PLACE", "host=h port=5433 dbname=db")
	m := &Postgres{Address: "{env.PLACE}"}
	if err := m.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	s, err := m.OpenSource()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if strings.Contains(s.String(), "env.PLACE") || !strings.HasPrefix(s.String(), "postgres h") {
		t.Errorf("named %q", s)
	}
	t.Setenv("PLACE", "")
	if err := m.Provision(caddy.Context{}); err == nil || err.Error() != "the address of the source \"postgres\" is empty" {
		t.Errorf("error = %v", err)
	}
}
