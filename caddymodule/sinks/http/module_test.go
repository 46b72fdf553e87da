package http

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit/sinktest"
)

// receiver is a backend that takes each record once.
type receiver struct {
	mu     sync.Mutex
	broken bool
	hold   chan struct{} // when not nil, nothing is answered until it is closed
	known  map[string]bool
	ids    []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var list struct {
		Records []struct {
			ID        string `json:"id"`
			RequestID string `json:"request_id"`
		}
	}
	err := json.NewDecoder(req.Body).Decode(&list)
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		<-hold
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken || err != nil || req.Header.Get("Tenant-Audit") == "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for _, rec := range list.Records {
		if !r.known[rec.ID] {
			r.known[rec.ID] = true
			r.ids = append(r.ids, rec.RequestID)
		}
	}
}

func (r *receiver) set(f func()) { r.mu.Lock(); defer r.mu.Unlock(); f() }

func TestDeliveriesKeepTheContractOfASink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		rcv := &receiver{known: make(map[string]bool)}
		server := httptest.NewServer(rcv)
		t.Cleanup(server.Close)
		return sinktest.Place{
			Open: (&Sink{URL: server.URL}).OpenSink,
			Read: func() (ids []string) { rcv.set(func() { ids = append(ids, rcv.ids...) }); return ids },
			Break: func() func() {
				rcv.set(func() { rcv.broken = true })
				return func() { rcv.set(func() { rcv.broken = false }) }
			},
			Hang: func() func() {
				hold := make(chan struct{})
				rcv.set(func() { rcv.hold = hold })
				return func() { rcv.set(func() { rcv.hold = nil }); close(hold) }
			},
		}
	})
}

func TestMistakesAreNamed(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing wrong", "http https://backend.internal/audit", ""},
		{"a placeholder", "http {env.NOT_SET_ANYWHERE}", ""}, // known when it is provisioned
		{"no URL", "http", "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"an empty URL", `http ""`, "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"two URLs", "http http://a/ http://b/", "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"an option", "http http://a/ {\ncolour red\n}", `audit: unknown option "colour"; 'audit http' has none`},
		{"no scheme", "http 127.0.0.1:9000/audit", `expected a URL as in "http://host/audit"`},
		{"another scheme", "http ftp://host/", `expected a URL as in "http://host/audit"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := new(Sink).UnmarshalCaddyfile(caddyfile.NewTestDispenser(test.text))
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestPlaceholdersAreReplacedAndWhatIsWrongIsNamed(t *testing.T) {
	t.Setenv("TEST_AUDIT_HOST", "backend.internal")
	for _, test := range []struct{ name, url, becomes, want string }{
		{"a set variable", "http://{env.TEST_AUDIT_HOST}/audit", "http://backend.internal/audit", ""},
		{"none", "", "", "the URL of the audit receiver is empty"},
		{"an unset variable", "{env.NOT_SET_ANYWHERE}", "", "the URL of the audit receiver is empty"},
		{"no URL", "nonsense{env.NOT_SET_ANYWHERE}", "nonsense", `expected a URL as in "http://host/audit"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &Sink{URL: test.url}
			err := s.Provision(caddy.Context{})
			if s.URL != test.becomes || (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("URL %q, %v; want %q, %q", s.URL, err, test.becomes, test.want)
			}
		})
	}
}
