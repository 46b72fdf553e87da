package caddymodule_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// stored returns the kept snapshot's file, or "".
func (g *gateway) stored() string {
	files, _ := filepath.Glob(filepath.Join(g.dir, "caddy", "tenancy", "tenants-*.snapshot"))
	if len(files) != 1 {
		return ""
	}
	return files[0]
}

// restart ends Caddy and starts it again, as far as one process can.
func (g *gateway) restart(options, site string, between func()) {
	g.t.Helper()
	if err := caddy.Stop(); err != nil {
		g.t.Fatal(err)
	}
	between()
	if err := g.load(options, site); err != nil {
		g.t.Fatal(err)
	}
}

func TestAGatewayStartsWithTheLastGoodTenantsWhileTheSourceIsGone(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	eventually(t, "the snapshot is kept", func() bool { return g.stored() != "" })
	g.restart(appOptions, limited, func() {
		if err := os.Remove(filepath.Join(g.dir, "tenants.json")); err != nil {
			t.Fatal(err)
		}
	})
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Errorf("a known tenant: %s", answer)
	}
	if answer := g.get("sleepy.pets.test", "/"); status(answer) != "404" {
		t.Errorf("a suspended tenant: %s", answer)
	}
	g.write("tenants.json", strings.Replace(tenantsJSON, `"free","status":"active"`, `"free","status":"suspended"`, 1))
	eventually(t, "the source is in force again", func() bool { return status(g.get("acme-pets.pets.test", "/")) == "404" })
}

func TestADamagedSnapshotIsNotBelieved(t *testing.T) {
	g := newGateway(t, appOptions, limited)
	eventually(t, "the snapshot is kept", func() bool { return g.stored() != "" })
	g.restart(appOptions, limited, func() {
		data, err := os.ReadFile(g.stored())
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(g.stored(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(g.dir, "tenants.json")); err != nil {
			t.Fatal(err)
		}
	})
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "503" {
		t.Error(answer)
	}
}

func TestAListThatIsTooOldIsNotServed(t *testing.T) {
	options := strings.Replace(appOptions, "interval 20ms", "interval 20ms\nmax_stale 300ms", 1)
	g := newGateway(t, options, limited)
	if answer := g.get("fluffy-friends.pets.test", "/"); status(answer) != "200" {
		t.Fatal(answer)
	}
	g.write("tenants.json", "no longer readable")
	eventually(t, "known and unknown tenants get 503", func() bool {
		return status(g.get("fluffy-friends.pets.test", "/")) == "503" && status(g.get("nobody.pets.test", "/")) == "503"
	})
	g.write("tenants.json", tenantsJSON)
	eventually(t, "tenants are served again", func() bool { return status(g.get("fluffy-friends.pets.test", "/")) == "200" })
}

func TestTenantsComeFromAFeedThatNeedsACredential(t *testing.T) {
	var suspended atomic.Bool
	feed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		text := tenantsJSON
		if suspended.Load() {
			text = strings.Replace(text, `"free","status":"active"`, `"free","status":"suspended"`, 1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(text))
	}))
	defer feed.Close()
	t.Setenv("FEED_TOKEN", "s3cret")
	options := strings.Replace(appOptions, "source file {dir}/tenants.json {", "source http "+feed.URL+" {\nheader Authorization \"Bearer {env.FEED_TOKEN}\"", 1)
	g := newGateway(t, options, limited)
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Fatal(answer)
	}
	suspended.Store(true)
	eventually(t, "a change in the feed is in force", func() bool { return status(g.get("acme-pets.pets.test", "/")) == "404" })
	js, err := adapt(g.caddyfile(options, limited))
	if err != nil || strings.Contains(string(js), "s3cret") {
		t.Errorf("the adapted configuration holds the secret: %s, %v", js, err)
	}
}
