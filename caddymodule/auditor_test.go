package caddymodule_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

// eventTrap is an event handler that a test can look into.
type eventTrap struct{}

var trapped = make(chan caddy.Event, 16)

func (eventTrap) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.trap", New: func() caddy.Module { return new(eventTrap) }}
}

func (eventTrap) Handle(_ context.Context, e caddy.Event) error {
	trapped <- e
	return nil
}

func (*eventTrap) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func init() { caddy.RegisterModule(eventTrap{}) }

const conflictSite = "tenant {\nhost pets.test\nheader\n}\nrespond ok"

func TestAnAttemptToCrossOverRaisesOneEvent(t *testing.T) {
	g := newGateway(t, appOptions, conflictSite)
	cf := strings.Replace(g.caddyfile(appOptions, conflictSite), "grace_period 1ns", "grace_period 1ns\nevents {\non tenancy_crossing trap\n}", 1)
	if err := g.loadFile(cf); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		g.get("acme-pets.pets.test", "/", "X-Tenant-ID: fluffy-friends")
	}
	e := <-trapped
	if claimed := fmt.Sprint(e.Data["claimed"]); e.Data["type"] != audit.TypeConflict || !strings.Contains(claimed, "header=fluffy-friends") {
		t.Errorf("event data %v", e.Data)
	}
	if n := len(trapped); n > 0 {
		t.Errorf("%d more events for a flood", n)
	}
}

func TestTheAuditFileHoldsAGoodChainAndFloodsAreCountedIntoOneRecord(t *testing.T) {
	g := newGateway(t, strings.Replace(appOptions, "{dir}/audit.jsonl", "{dir}/new/folder/audit.jsonl {\nroll_size 1MiB\nroll_keep 2\n}", 1), conflictSite)
	for range 200 {
		g.get("acme-pets.pets.test", "/", "X-Tenant-ID: fluffy-friends")
	}
	// Closing the recorder writes what it still counts.
	if err := g.load(strings.Replace(appOptions, "audit file {dir}/audit.jsonl", "", 1), conflictSite); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(g.dir, "new", "folder", "audit.jsonl")
	report, err := audit.VerifyFile(path)
	if err != nil || !report.OK() || report.Records < 1 || report.Records > 20 {
		t.Fatalf("%+v, %v", report, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "fluffy-friends", "fluffy-fiends!", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.VerifyFile(path); err != nil || report.OK() {
		t.Errorf("a changed record went unnoticed: %+v, %v", report, err)
	}
}

func TestMistakesInAuditAreNamed(t *testing.T) {
	g := newGateway(t, appOptions, conflictSite)
	for _, test := range []struct{ line, want string }{
		{"audit", "expected 'file PATH', 'log' or 'http URL'"},
		{"audit syslog", `unknown type "syslog"; expected file, http or log`},
		{"audit log x", "expected 'file PATH', 'log' or 'http URL'"},
		{"audit log {\ncolour red\n}", `unknown option "colour"; 'audit log' has none`},
		{"audit http", "expected 'file PATH', 'log' or 'http URL'"},
		{"audit http http://a/ http://b/", "expected 'file PATH', 'log' or 'http URL'"},
		{"audit http http://a/\naudit http http://b/", "each at most once"},
		{"audit http http://a/ {\ncolour red\n}", `unknown option "colour"; 'audit http' has none`},
		{"audit http 127.0.0.1:9000/audit", `expected a URL as in "http://host/audit"`},
		{"audit http ftp://host/", `expected a URL as in "http://host/audit"`},
		{"audit http {env.NOT_SET_ANYWHERE}", "the URL of the audit receiver is empty"},
		{"audit http nonsense{env.NOT_SET_ANYWHERE}", `expected a URL as in "http://host/audit"`},
		{"audit log\naudit log", "each at most once"},
		{"audit file x {\nroll_size 1\n}", `bad size "1"; expected 1KiB to 1TiB`},
		{"audit file x {\nroll_keep -1\n}", `bad number "-1"`},
		{"audit file x {\ncolour red\n}", `unknown option "colour"; expected roll_size or roll_keep`},
		{"audit file {env.NOT_SET_ANYWHERE}", "the name of the audit file is empty"},
	} {
		err := g.load(strings.Replace(appOptions, "audit file {dir}/audit.jsonl", test.line, 1), conflictSite)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q:\n got %v\nwant %q", test.line, err, test.want)
		}
	}
	options := strings.NewReplacer("identity_key {dir}/identity.key", "", "audit file {dir}/audit.jsonl", "audit http http://127.0.0.1:9/").Replace(appOptions)
	if err := g.load(options, conflictSite); err == nil || !strings.Contains(err.Error(), "no key to sign with; expected 'identity_key FILE'") {
		t.Errorf("without a key: %v", err)
	}
}
