package caddymodule_test

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

// TestTheIdentityKeyIsRotatedUnderLoadWithoutARefusedRequest does what an
// operator does, with a verifier that learns of keys as a backend does. Its
// clock runs faster than the wall, so that the verifier's ten seconds pass.
func TestTheIdentityKeyIsRotatedUnderLoadWithoutARefusedRequest(t *testing.T) {
	options := strings.Replace(appOptions, "5/1h", "1000000/1h", 1)
	g := newGateway(t, options, fullSite)
	key := filepath.Join(g.dir, "identity.key")
	verifier := identity.NewVerifier(identity.VerifierOptions{
		Keys: identity.FileKeys(identity.JWKSPath(key)), Leeway: time.Hour,
	})
	var ahead, sent atomic.Int64
	var kids sync.Map
	stop := make(chan struct{})
	var wg sync.WaitGroup
	g.backend.check = func(statement string) {
		if _, err := verifier.Verify(statement, time.Now().Add(time.Duration(ahead.Load()))); err != nil {
			t.Errorf("the backend refuses a request: %v", err)
		}
		kids.Store(strings.Split(statement, ".")[0], true)
	}
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if ok := tryGet(g.addr, "acme-pets.pets.test"); ok {
					sent.Add(1)
				}
			}
		})
	}
	running, err := caddy.ActiveContext().AppIfConfigured("tenancy")
	if err != nil {
		t.Fatal(err)
	}
	app := running.(*tenancy.App)
	for _, step := range []func(string) (string, error){nil, identity.AddKey, identity.PromoteKey, identity.PruneKeys} {
		if step != nil {
			if _, err := step(key); err != nil {
				t.Fatal(err)
			}
			inFile, err := identity.LoadKeys(key)
			if err != nil {
				t.Fatal(err)
			}
			// No reload: Caddy takes it for no change, since the configuration is the same.
			eventually(t, "the file's keys are in force", func() bool { return slices.Equal(app.SigningKeys(), inFile.KeyIDs()) })
		}
		target := sent.Load() + 200
		eventually(t, "two hundred requests pass", func() bool { return sent.Load() >= target })
		ahead.Add(int64(11 * time.Second))
	}
	close(stop)
	wg.Wait()
	n := 0
	kids.Range(func(any, any) bool { n++; return true })
	if n != 2 {
		t.Errorf("%d keys signed; want 2", n)
	}
}

// A typing error in the path must not make a new key, which no backend knows.
func TestAReloadWithAKeyThatIsNotThereFails(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	err := g.load(strings.Replace(appOptions, "identity.key", "indentity.key", 1), fullSite)
	if err == nil || !strings.Contains(err.Error(), "indentity.key") {
		t.Errorf("got %v", err)
	}
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "200" {
		t.Errorf("after that: %s", answer)
	}
}

func TestPlaceholdersInTheIdentityAreReplacedOrNamed(t *testing.T) {
	g := newGateway(t, appOptions, fullSite)
	t.Setenv("TEST_KEY_FILE", filepath.Join(g.dir, "identity.key"))
	t.Setenv("TEST_AUDIENCE", "cats")
	block := func(key, audience, issuer string) string {
		return strings.Replace(appOptions, "identity_key {dir}/identity.key", "identity_key "+key+" {\naudience "+audience+"\nissuer "+issuer+"\n}", 1)
	}
	if err := g.load(block("{env.TEST_KEY_FILE}", "{env.TEST_AUDIENCE}", "edge-{env.TEST_AUDIENCE}"), fullSite); err != nil {
		t.Fatal(err)
	}
	g.get("acme-pets.pets.test", "/")
	verifier := identity.NewVerifier(identity.VerifierOptions{
		Keys: identity.FileKeys(identity.JWKSPath(filepath.Join(g.dir, "identity.key"))), Audience: "cats", Issuer: "edge-cats",
	})
	if _, err := verifier.Verify(g.backend.last(t).Header.Get(identity.HeaderName), time.Now()); err != nil {
		t.Errorf("what the placeholders stand for is not used: %v", err)
	}
	for name, test := range map[string][3]string{
		"key": {"{env.NOT_SET_ANYWHERE}", "a", "b"}, "audience": {"{dir}/identity.key", "{env.NOT_SET_ANYWHERE}", "b"},
		"issuer": {"{dir}/identity.key", "a", "{no.such.placeholder}"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := g.load(block(test[0], test[1], test[2]), fullSite); err == nil || !strings.Contains(err.Error(), "{") {
				t.Errorf("got %v; want the placeholder named", err)
			}
		})
	}
}
