package caddymodule

import (
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
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
	addr := atomic.Pointer[string]{}
	first := g.addr
	addr.Store(&first)
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
				if ok := tryGet(*addr.Load(), "acme-pets.pets.test"); ok {
					sent.Add(1)
				}
			}
		})
	}
	for i, step := range []func(string) (string, error){nil, identity.AddKey, identity.PromoteKey, identity.PruneKeys} {
		if step != nil {
			if _, err := step(key); err != nil {
				t.Fatal(err)
			}
			if err := g.load(options, fullSite+"\nheader X-Step "+string(rune('0'+i))); err != nil {
				t.Fatal(err)
			}
			here := g.addr
			addr.Store(&here)
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
