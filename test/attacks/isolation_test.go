package attacks

import (
	"bufio"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

var randomRequests = flag.Int64("requests", 0, "how many random requests are made; 0 is as many as fit in 15 s")

// marked is a backend that answers each tenant with a mark of its own, by the
// signed identity, and nothing else that names a tenant.
type marked struct {
	verifier atomic.Pointer[identity.Verifier] // nil until the stack runs
	marks    map[string]string
	wrong    atomic.Pointer[string]
}

func (m *marked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	verifier := m.verifier.Load()
	if verifier == nil {
		return
	}
	signed, plain := r.Header.Values(identity.HeaderName), r.Header.Values(identity.HeaderTenant)
	if len(signed) != 1 || len(plain) != 1 {
		m.note(fmt.Sprintf("%d identities, %s %q", len(signed), identity.HeaderTenant, plain))
		return
	}
	claims, err := verifier.Verify(signed[0], time.Now())
	if err != nil || claims.Tenant.String() != plain[0] || claims.User != "" && claims.User != "demo" {
		m.note(fmt.Sprintf("%s %q, an identity of %q, user %q: %v", identity.HeaderTenant, plain, claims.Tenant, claims.User, err))
		return
	}
	_, _ = io.WriteString(w, m.marks[claims.Tenant.String()])
}

func (m *marked) note(text string) { m.wrong.CompareAndSwap(nil, &text) }

// Requests are put together at random from every way to name a tenant and from
// what names another one. A client gets the mark of the tenant that it asked
// for, or none: any byte of another's would be a leak.
func TestNoRandomRequestGetsAForeignByte(t *testing.T) {
	m := &marked{marks: make(map[string]string)}
	for _, slug := range []string{acme, fluffy, harness.Paws} {
		m.marks[slug] = "mark-" + rand.Text()
	}
	backend := httptest.NewServer(m)
	t.Cleanup(backend.Close)
	stack := harness.StartStack(t, harness.Options{Caddyfile: func(text string) string {
		text = plain(t)(text)
		text = replace(t, "plan basic 1000/1h", "plan basic 1000000000/1h", "plan premium 10000/1h", "plan premium 1000000000/1h", "plan free 1000000/1h", "plan free 1000000000/1h",
			"tenant host petstore.localhost", "tenant {\n\t\thost petstore.localhost\n\t\theader X-Tenant-ID\n\t}",
			"\treverse_proxy 127.0.0.1:{$BACKEND_PORT:9000}", "\treverse_proxy "+backend.Listener.Addr().String())(text)
		return text + "\nhttp://petstore.localhost {\n\ttenant {\n\t\tpath\n\t\theader X-Tenant-ID\n\t}\n\ttenant_rate_limit\n\ttenant_identity\n\treverse_proxy " + backend.Listener.Addr().String() + "\n}\n"
	}})
	m.verifier.Store(identity.NewVerifier(identity.VerifierOptions{Keys: identity.FileKeys(stack.Path("data/identity.jwks.json"))}))
	p := &puzzle{slugs: slices.Sorted(maps.Keys(m.marks)), port: stack.HTTP, tokens: make(map[string]string)}
	for _, slug := range p.slugs {
		p.tokens[slug] = stack.Token(slug, "editor")
		body := `{"hosts":["www.` + slug + `.example"]}`
		if res := stack.Control(http.MethodPatch, "/api/admin/tenants/"+slug, body); res.Status != http.StatusOK {
			t.Fatalf("a domain for %q: %d %s", slug, res.Status, res.Body)
		}
	}
	harness.Eventually(t, patience, "the domains to be served", func() bool {
		for _, slug := range p.slugs {
			if res := stack.Plain("GET", stack.HTTP, "/", "", "Host", "www."+slug+".example"); res.Body != m.marks[slug] {
				return false
			}
		}
		return true
	})

	seed := uint64(time.Now().UnixNano())
	end := time.Now().Add(15 * time.Second)
	var sent, served, refused atomic.Int64
	var work sync.WaitGroup
	for i := range 4 {
		rng := mathrand.New(mathrand.NewPCG(seed, uint64(i)))
		work.Go(func() {
			for !t.Failed() && m.wrong.Load() == nil {
				if n := sent.Load(); *randomRequests > 0 && n >= *randomRequests || *randomRequests == 0 && time.Now().After(end) {
					return
				}
				if err := p.round(t, rng, m.marks, &sent, &served, &refused); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	work.Wait()
	if text := m.wrong.Load(); text != nil {
		t.Errorf("seed %d: the backend got %s", seed, *text)
	}
	if sent.Load() < 1000 || served.Load() < sent.Load()/4 || refused.Load() < sent.Load()/20 {
		t.Errorf("%d requests, %d served and %d refused: that shows little", sent.Load(), served.Load(), refused.Load())
	}
	t.Logf("%d random requests, %d served and %d refused", sent.Load(), served.Load(), refused.Load())
}

// round sends requests over one connection, some at a time, and compares each
// answer with what was asked for.
func (p *puzzle) round(t *testing.T, rng *mathrand.Rand, marks map[string]string, sent, served, refused *atomic.Int64) error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(p.port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReaderSize(conn, 64<<10)
	for range 50 {
		conn.SetDeadline(time.Now().Add(patience))
		var batch strings.Builder
		list := make([]asked, 16)
		for i := range list {
			list[i] = p.ask(rng)
			batch.WriteString(list[i].text)
		}
		if _, err := io.WriteString(conn, batch.String()); err != nil {
			return err
		}
		for _, a := range list {
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				return fmt.Errorf("reading the answer to\n%s\n%w", a.text, err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			sent.Add(1)
			switch {
			case a.slug != "" && string(body) == marks[a.slug]:
				served.Add(1)
			case a.slug == "" && res.StatusCode == http.StatusNotFound && !strings.Contains(string(body), "mark-"):
				refused.Add(1)
			default:
				t.Errorf("%s\nis answered %d %q; want tenant %q", a.text, res.StatusCode, body, a.slug)
			}
		}
	}
	return nil
}
