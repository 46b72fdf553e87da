package lifetime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// begin begins the exchange of a request of an active tenant's.
func begin(t *testing.T, r *http.Request) *Exchange {
	t.Helper()
	list := listOf(t, "active")
	x := new(Exchange)
	t.Cleanup(x.Begin(httptest.NewRecorder(), r, list.BySlug(tenant.MustSlug("acme-pets")), list, new(Streams), func() *registry.Snapshot { return list }))
	return x
}

// closedBody is one whose reading fails in a server's own words once it is closed.
type closedBody struct{ io.Reader }

func (closedBody) Read([]byte) (int, error) { return 0, errors.New("body closed by handler") }
func (closedBody) Close() error             { return nil }

// The proxy gives up and closes the body when the backend fails.
func TestABodyThatTheProxyClosedIsNotBrokenByTheClient(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", closedBody{})
	x := begin(t, r)
	_ = r.Body.Close()
	if _, err := r.Body.Read(nil); err == nil || errors.Is(err, context.Canceled) || x.fault.Load() != nil {
		t.Errorf("it counts as broken by the client: %v", err)
	}
}

// Servers of HTTP/3 let a body pass that is shorter than its client said.
func TestABodyOfAnotherLengthThanItsClientSaidIsBroken(t *testing.T) {
	for name, test := range map[string]struct {
		length int64
		broken bool
	}{"as said": {3, false}, "not said": {-1, false}, "shorter": {4, true}, "longer": {2, true}} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("abc"))
			r.ContentLength = test.length
			x := begin(t, r)
			_, err := io.ReadAll(r.Body)
			if broken := errors.Is(err, context.Canceled) && x.fault.Load() != nil; broken != test.broken || (err != nil) != test.broken {
				t.Errorf("broken: %v, %v; want %v", broken, err, test.broken)
			}
		})
	}
}

// The context of a request of HTTP/3 ends with an error of the connection's, for which a
// proxy would blame the backend.
func TestAClientThatLeftIsTheCauseWhateverTheProtocolSays(t *testing.T) {
	whole, leave := context.WithCancelCause(context.Background())
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(whole)
	r.ProtoMajor = 3
	begin(t, r)
	leave(errors.New("the connection is closed"))
	<-r.Context().Done()
	if cause := context.Cause(r.Context()); !errors.Is(cause, context.Canceled) {
		t.Errorf("the cause is %v", cause)
	}
}

// A credential is revoked while the answer is on its way, and the body too.
func TestALongAnswerEndsWithItsCallersCredential(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("abc"))
	x := begin(t, r)
	now, revoked := new(registry.Credentials), false
	x.EndWithCredential(func(*registry.Credentials) bool { return !revoked }, func() *registry.Credentials { return now })
	if _, err := x.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	now = new(registry.Credentials)
	if _, err := x.Write([]byte("after another change")); err != nil {
		t.Fatal(err)
	}
	revoked = true
	if _, err := x.ReadFrom(strings.NewReader("second")); !errors.Is(err, errCredentialEnded) {
		t.Errorf("the answer goes on: %v", err)
	}
	if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, errCredentialEnded) {
		t.Errorf("the body is read on: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("the answer ends as if it were whole")
		}
	}()
	_ = x.Finish(r, nil)
}
