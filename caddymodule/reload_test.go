package caddymodule_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// feedGateway has its tenants from a feed that demands the credential TEST_TOKEN, as long
// as it is up.
func feedGateway(t *testing.T) (g *gateway, options string, up *atomic.Bool, token *atomic.Pointer[string]) {
	up, token = new(atomic.Bool), new(atomic.Pointer[string])
	first := "one"
	up.Store(true)
	token.Store(&first)
	feed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() || r.Header.Get("Authorization") != *token.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(tenantsJSON))
	}))
	t.Cleanup(feed.Close)
	t.Setenv("TEST_TOKEN", first)
	options = strings.Replace(appOptions, "source file {dir}/tenants.json {", "source http "+feed.URL+"/tenants {\nheader Authorization {env.TEST_TOKEN}", 1)
	return newGateway(t, options, fullSite), options, up, token
}

// What is only a setting of a source, or its secret, may change while the source is down.
func TestAReloadThatChangesASettingOfItsSourceKeepsServing(t *testing.T) {
	for name, change := range map[string]func(options string) string{
		"the interval":   func(o string) string { return strings.Replace(o, "interval 20ms", "interval 30ms", 1) },
		"max_stale":      func(o string) string { return strings.Replace(o, "interval 20ms", "interval 20ms\nmax_stale 1h", 1) },
		"a header":       func(o string) string { return strings.Replace(o, "interval 20ms", "interval 20ms\nheader X-More 1", 1) },
		"the plans":      func(o string) string { return o + "\nplan gold 7/1h" },
		"nothing at all": func(o string) string { return o },
	} {
		t.Run(name, func(t *testing.T) {
			g, options, up, _ := feedGateway(t)
			eventually(t, "the list is saved", func() bool { return g.stored() != "" })
			up.Store(false)
			if err := g.load(change(options), fullSite+"\nheader X-Step 1"); err != nil {
				t.Fatal(err)
			}
			if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
				t.Errorf("the running list is not kept: %s", answer)
			}
			// And over a restart, by what was saved.
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := g.load(options, fullSite); err != nil {
				t.Fatal(err)
			}
			if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
				t.Errorf("the saved list is not found: %s", answer)
			}
		})
	}
}

func TestARotatedPasswordOfTheSourceIsUsedAfterAReload(t *testing.T) {
	g, options, _, token := feedGateway(t)
	next := "two"
	token.Store(&next)
	t.Setenv("TEST_TOKEN", next)
	if err := g.load(options, fullSite+"\nheader X-Step 1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the feed is read by the new one", func() bool {
		return g.scrape()["registry_age_seconds{}"] < 1 && status(g.get("acme-pets.pets.test", "/")) == "200"
	})
}

func TestAReloadWithASourceThatCanNotBeReadFails(t *testing.T) {
	for name, source := range map[string]string{
		"a file that is not there": "source file {dir}/tenats.json",
		"a database that is none":  "source sqlite {dir}/identity.key",
		"a feed of nobody":         "source http http://127.0.0.1:1/",
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, appOptions, fullSite)
			_, rest, _ := strings.Cut(appOptions, "interval 20ms\n\t}")
			if err := g.load("\n"+source+rest, fullSite); err == nil || !strings.Contains(err.Error(), "the tenants can't be read") {
				t.Errorf("got %v", err)
			}
			if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
				t.Errorf("after that: %s", answer)
			}
		})
	}
}

// Caddy starts apps in random order: no request may come before the first list.
func TestNothingIsServedBeforeASlowSourcesFirstList(t *testing.T) {
	feed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(300 * time.Millisecond) // a slow one
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(tenantsJSON))
	}))
	t.Cleanup(feed.Close)
	for start := range 6 {
		t.Run(fmt.Sprint(start), func(t *testing.T) {
			options := strings.Replace(appOptions, "file {dir}/tenants.json", "http "+feed.URL, 1)
			if answer := newGateway(t, options, fullSite).get("acme-pets.pets.test", "/"); status(answer) != "200" {
				t.Errorf("the first request: %s", answer)
			}
		})
	}
}

// A typing error in a record must cost no customer anything; what restricts is believed.
func TestARecordThatTurnsBadKeepsServing(t *testing.T) {
	const acme = `"slug":"acme-pets","name":"Acme","plan":"free","status":"active","hosts":["pets.acme.example"]`
	for name, test := range map[string]struct{ record, host, want string }{
		"an additional member":      {acme + `,"region":"eu"`, "pets.acme.example", "200"},
		"a bad name":                {strings.Replace(acme, `"Acme"`, `{}`, 1), "pets.acme.example", "200"},
		"a bad host":                {strings.Replace(acme, `["pets.acme.example"]`, `["pets.acme.example","no host"]`, 1), "pets.acme.example", "200"},
		"bad limits":                {acme + `,"limits":"many"`, "pets.acme.example", "200"},
		"a bad plan":                {strings.Replace(acme, `"free"`, `"F r e e"`, 1), "pets.acme.example", "200"},
		"a bad upstream":            {acme + `,"upstreams":["nowhere"]`, "pets.acme.example", "503"},
		"an issuer without keys":    {acme + `,"issuer":"https://a.example"`, "pets.acme.example", "503"},
		"keys on this machine":      {acme + `,"issuer":"https://a.example","jwks":"http://127.0.0.1:1/"`, "pets.acme.example", "503"},
		"suspended, and bad limits": {strings.Replace(acme, "active", "suspended", 1) + `,"limits":"many"`, "pets.acme.example", "404"},
		"suspended, bad in all":     {`"slug":"acme-pets","status":"suspended","name":7.5,"plan":[],"hosts":7,"limits":{}`, "acme-pets.pets.test", "404"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, strings.Replace(appOptions, "5/1h", "1000/1h", 1), fullSite)
			g.write("tenants.json", strings.Replace(tenantsJSON, acme, test.record+`,"created_at":"2026-01-01T00:00:00Z"`, 1))
			before := g.scrape()["registry_loads_total{}"]
			eventually(t, "the record is read", func() bool {
				return g.scrape()["registry_loads_total{}"] > before || status(g.get(test.host, "/")) == test.want && test.want != "200"
			})
			if answer := g.get(test.host, "/"); status(answer) != test.want {
				t.Errorf("got %s; want %s", answer, test.want)
			}
			if answer := g.get("fluffy-friends.pets.test", "/"); status(answer) != "200" {
				t.Errorf("another tenant: %s", answer)
			}
		})
	}
}

// An empty or ruined list is a failure of the source, not the wish of all customers.
func TestAListThatLosesAllItsTenantsIsAFailure(t *testing.T) {
	many := []string{}
	for n := range 40 {
		many = append(many, fmt.Sprintf(`{"slug":"shop-%d","plan":"premium"}`, n))
	}
	list := `{"tenants":[` + strings.Join(many, ",") + `]}`
	for name, bad := range map[string]string{
		"no slugs":    strings.ReplaceAll(list, `"slug":"shop-`, `"slug":"Shop `),
		"a tenth off": strings.NewReplacer(`"shop-1"`, `"SHOP 1"`, `"shop-2"`, `"SHOP 2"`, `"shop-3"`, `"SHOP 3"`, `"shop-4"`, `"SHOP 4"`).Replace(list),
		"no list":     `{}`,
		"no JSON":     `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, appOptions, fullSite)
			g.write("tenants.json", list)
			eventually(t, "the list is read", func() bool { return status(g.get("shop-1.pets.test", "/")) == "200" })
			eventually(t, "it is saved", func() bool { return g.stored() != "" })
			failures := g.scrape()["registry_refresh_errors_total{}"]
			g.write("tenants.json", bad)
			eventually(t, "the poll counts as failed", func() bool { return g.scrape()["registry_refresh_errors_total{}"] > failures })
			g.restart(appOptions, fullSite, func() {})
			if answer := g.get("shop-1.pets.test", "/"); status(answer) != "200" {
				t.Errorf("after a restart: %s", answer)
			}
		})
	}
}

// Before a first list nothing is known, and the log must not say that it is kept.
func TestTheLogSaysWhenThereIsNoListYet(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(g.dir, "caddy.log")
	file := strings.Replace(g.caddyfile(strings.Replace(appOptions, "tenants.json", "none.json", 1), fullSite), "output discard", "output file "+log, 1)
	if err := g.loadFile(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log says so", func() bool {
		f, err := os.Open(log)
		if err != nil {
			return false
		}
		defer f.Close()
		said := false
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.Contains(lines.Text(), "last_good") || strings.Contains(lines.Text(), "keeping the last good") {
				t.Fatalf("it speaks of a list that there is not: %s", lines.Text())
			}
			said = said || strings.Contains(lines.Text(), "there is no last good list yet")
		}
		return said
	})
}
