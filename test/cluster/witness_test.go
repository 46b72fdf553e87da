package cluster

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// witness stands between the gateways and the pet stores. It compares what
// each request says of its tenant with what its client asked for, tells the
// client what it saw, counts, and passes the request on.
type witness struct {
	ports    []int
	verifier *identity.Verifier

	mu     sync.Mutex
	seen   map[string]int // requests for seenPath by tenant
	wrong  []string
	wrongs int
}

// Clients say whom they mean; no gateway knows these headers.
const (
	askedHeader = "X-Asked" // the tenant, or nobody, and the user
	sawHeader   = "X-Saw"   // the tenant, in the witness's answer
	planHeader  = "X-Saw-Plan"
	nobody      = "-"
	// seenPath is answered by the witness itself, whatever the stores do.
	seenPath = "/seen"
)

// startWitness listens on one port before each store.
func startWitness(t *testing.T, jwks string, stores ...int) *witness {
	t.Helper()
	w := &witness{
		verifier: identity.NewVerifier(identity.VerifierOptions{Keys: identity.FileKeys(jwks)}),
		seen:     make(map[string]int),
	}
	for _, port := range stores {
		target := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
		transport := &http.Transport{MaxIdleConnsPerHost: 64}
		proxy := &httputil.ReverseProxy{
			Transport: transport,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host
			},
			// Only while a store is restarted, and after a client that left.
			ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: w.before(proxy)}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() {
			server.Close()
			transport.CloseIdleConnections()
		})
		w.ports = append(w.ports, l.Addr().(*net.TCPAddr).Port)
	}
	return w
}

func (w *witness) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		slug, plan := w.look(r)
		rw.Header().Set(sawHeader, slug)
		rw.Header().Set(planHeader, plan)
		if r.URL.Path == seenPath {
			w.mu.Lock()
			w.seen[slug]++
			w.mu.Unlock()
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// look returns the tenant and the plan of a request by its signed identity, and
// notes what does not fit together.
func (w *witness) look(r *http.Request) (slug, plan string) {
	plain, signed := r.Header.Values(identity.HeaderTenant), r.Header.Values(identity.HeaderName)
	if len(plain) != 1 || len(signed) != 1 {
		w.note("%s %s came with %s %q and %d identities", r.Method, r.URL, identity.HeaderTenant, plain, len(signed))
		return "?", "?"
	}
	claims, err := w.verifier.Verify(signed[0], time.Now())
	if err != nil {
		w.note("%s %s for %q: its identity: %v", r.Method, r.URL, plain[0], err)
		return "?", "?"
	}
	slug, plan = claims.Tenant.String(), string(claims.Plan)
	if asked := r.Header.Get(askedHeader); plain[0] != slug || asked != slug+"/"+claims.User || r.Header.Get(identity.HeaderPlan) != plan {
		w.note("%s %s: its client asked for tenant and user %q; the backend is told %s %q, plan %q, and an identity of tenant %q, plan %q, user %q",
			r.Method, r.URL, asked, identity.HeaderTenant, plain[0], r.Header.Get(identity.HeaderPlan), slug, plan, claims.User)
	}
	return slug, plan
}

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrongs++; len(w.wrong) < 20 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

// admitted is how many requests for seenPath of a tenant were let through.
func (w *witness) admitted(slug string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[slug]
}

// testify fails the test for everything that was wrong.
func (w *witness) testify(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.wrong {
		t.Error(text)
	}
	if w.wrongs > len(w.wrong) {
		t.Errorf("and %d more requests like these", w.wrongs-len(w.wrong))
	}
}
