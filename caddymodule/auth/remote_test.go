package auth

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func jwksOf(ids ...string) string {
	var keys []string
	for _, id := range ids {
		keys = append(keys, `{"kty":"OKP","crv":"Ed25519","kid":"`+id+`","x":"`+base64url(edKey.Public())+`"}`)
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// issuer is a JWKS endpoint whose behaviour a test changes.
type issuer struct {
	*httptest.Server
	answer atomic.Pointer[http.HandlerFunc]
	gets   atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.gets.Add(1)
		(*i.answer.Load())(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) set(f http.HandlerFunc) { i.answer.Store(&f) }

func (i *issuer) publish(text string) {
	i.set(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
}

func openHTTP(t testing.TB, url string, o RemoteOptions) *Remote {
	t.Helper()
	f, err := HTTPFetcher(url, HTTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := OpenRemote(f, o)
	t.Cleanup(func() { r.Close() })
	return r
}

// twoOfOneID is a set of two keys with one id.
var twoOfOneID = strings.TrimSuffix(jwksOf("evil"), "]}") + "," + strings.TrimPrefix(
	strings.Replace(jwksOf("evil"), base64url(edKey.Public()), b64(strings.Repeat("x", 32)), 1), `{"keys":[`)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) advance(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

func TestAKeyThatWasAddedStartsAndOneThatWasRemovedStops(t *testing.T) {
	i := newIssuer(t)
	i.publish(jwksOf("ed"))
	src := openHTTP(t, i.URL, RemoteOptions{Every: 2 * time.Millisecond, minInterval: time.Hour})
	v := verifierOf(t, Options{Keys: src})
	token := signed(t, claims(""))
	verify := func() string { _, err := v.Verify(t.Context(), token, now); return Reason(err) }
	eventually(t, "the first keys", func() bool { return verify() == "" })
	i.publish(jwksOf("other"))
	eventually(t, "the token to stop", func() bool { return verify() == reasonKey })
	i.publish(jwksOf("other", "ed"))
	eventually(t, "the token to start", func() bool { return verify() == "" })
	before, fetches := src.Keys(), src.Stats().Fetches
	eventually(t, "more fetches", func() bool { return src.Stats().Fetches > fetches+3 })
	if src.Keys() != before {
		t.Error("the same text gave another set")
	}
}

func TestAnUnknownKeyIDIsLookedUpOnceAnInterval(t *testing.T) {
	i := newIssuer(t)
	i.publish(jwksOf("old"))
	c := &clock{now: now}
	src := openHTTP(t, i.URL, RemoteOptions{Every: time.Hour, minInterval: 10 * time.Second, now: c.Now})
	v := verifierOf(t, Options{Keys: src})
	eventually(t, "the first keys", func() bool { return src.Keys() != nil })
	flood := func(n int) {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for k := range n {
					token := sign(t, "EdDSA", fmt.Sprintf(`{"alg":"EdDSA","kid":"no-%d-%d"}`, w, k), claims(""), edKey)
					if _, err := v.Verify(t.Context(), token, now); Reason(err) != reasonKey {
						t.Errorf("got %v", err)
					}
				}
			})
		}
		wg.Wait()
	}
	flood(50)
	if n := i.gets.Load(); n != 1 {
		t.Errorf("%d fetches within the interval of the first, want 1", n)
	}
	c.advance(11 * time.Second)
	flood(50)
	if n := i.gets.Load(); n != 2 {
		t.Errorf("%d fetches after one more interval, want 2", n)
	}
	i.publish(jwksOf("old", "ed"))
	c.advance(11 * time.Second)
	if _, err := v.Verify(t.Context(), signed(t, claims("")), now); err != nil {
		t.Errorf("a key published since is not found at the first token that names it: %v", err)
	}
}

func TestAnEndpointThatFailsLeavesTheLastGoodKeys(t *testing.T) {
	i := newIssuer(t)
	i.publish(jwksOf("ed"))
	c := &clock{now: now}
	src := openHTTP(t, i.URL, RemoteOptions{Every: time.Hour, minInterval: time.Nanosecond, timeout: 50 * time.Millisecond, now: c.Now})
	v := verifierOf(t, Options{Keys: src, CacheSize: -1})
	token := signed(t, claims(""))
	eventually(t, "the first keys", func() bool { return src.Keys() != nil })
	good := src.Keys()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 8 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, jwksOf("evil"))
		},
		"404":       http.NotFound,
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"garbage":   func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>\xff") },
		"empty":     func(w http.ResponseWriter, _ *http.Request) {},
		"duplicate": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, twoOfOneID) },
		"100 MB": func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
					return
				}
			}
			io.WriteString(w, jwksOf("evil"))
		},
		"8 MB compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		},
		"hangs": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hangs later": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"keys":[`)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, jwksOf())
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			i.set(answer)
			c.advance(time.Second)
			failures := src.Stats().Failures
			src.Renew(t.Context())
			if s := src.Stats(); s.Failures != failures+1 || s.LastError == nil {
				t.Errorf("no failure counted: %+v", s)
			}
			if src.Keys() != good {
				t.Error("the keys changed")
			}
			if _, err := v.Verify(t.Context(), token, now); err != nil {
				t.Errorf("a token of the last good keys: %v", err)
			}
		})
	}
	i.publish(jwksOf("ed", "new"))
	c.advance(time.Second)
	if set := src.Renew(t.Context()); set.Len() != 2 || src.Stats().LastError != nil {
		t.Errorf("after recovery: %d keys, %+v", set.Len(), src.Stats())
	}
}

// Whoever's key was stolen withdraws it; while that cannot be read, it must not
// be believed for ever.
func TestKeysThatWereNotReadForTooLongAreNoKeys(t *testing.T) {
	i := newIssuer(t)
	i.publish(jwksOf("ed"))
	c := &clock{now: now}
	src := openHTTP(t, i.URL, RemoteOptions{Every: time.Hour, MaxStale: time.Minute, minInterval: time.Nanosecond, now: c.Now})
	v := verifierOf(t, Options{Keys: src})
	token := signed(t, claims(""))
	eventually(t, "the first keys", func() bool { return src.Keys() != nil })
	verify := func() error { _, err := v.Verify(t.Context(), token, now); return err }
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	i.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) })
	c.advance(time.Minute)
	src.Renew(t.Context())
	if err := verify(); err != nil || src.Stats().Age != time.Minute {
		t.Errorf("after a minute: %v, age %v", err, src.Stats().Age)
	}
	c.advance(time.Nanosecond)
	if err := verify(); !errors.Is(err, ErrNoKeys) || src.Keys() != nil {
		t.Errorf("after more: %v; want ErrNoKeys, also for a token that is remembered", err)
	}
	i.publish(jwksOf("ed"))
	c.advance(time.Second)
	if err := verify(); err != nil || src.Stats().Age != 0 {
		t.Errorf("after recovery: %v, age %v", err, src.Stats().Age)
	}
	if r := OpenRemote(keysFetcher{}, RemoteOptions{}); r.o.MaxStale != 24*time.Hour || r.Close() != nil {
		t.Errorf("without the option keys are believed for %v; want 24h", r.o.MaxStale)
	}
}

// A tenant's own record must not have the gateway ask its neighbours.
func TestKeySetsAreFetchedFromWhereItIsAllowed(t *testing.T) {
	i := newIssuer(t)
	i.publish(jwksOf("ed"))
	var asked []string
	allow := func(refused string) HTTPOptions {
		asked = nil
		check := func(address string) error {
			if asked = append(asked, address); strings.HasPrefix(address, refused) && refused != "" {
				return errors.New("not there")
			}
			return nil
		}
		return HTTPOptions{Allowed: check, Control: func(_, address string, _ syscall.RawConn) error { return check(address) }}
	}
	_, port, _ := net.SplitHostPort(i.Listener.Addr().String())
	t.Run("allowed", func(t *testing.T) {
		f, err := HTTPFetcher("http://LocalHost:"+port, allow(""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Fetch(t.Context()); err != nil || !slices.Contains(asked, "localhost:"+port) || !slices.Contains(asked, "127.0.0.1:"+port) {
			t.Errorf("asked about %q: %v; want the name and the address", asked, err)
		}
	})
	t.Run("a name that is refused", func(t *testing.T) {
		if _, err := HTTPFetcher("https://localhost/jwks", allow("localhost:443")); err == nil || !strings.Contains(err.Error(), "not there") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a name that leads to what is refused", func(t *testing.T) {
		gets := i.gets.Load()
		f, err := HTTPFetcher("http://localhost:"+port, allow("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Fetch(t.Context()); err == nil || i.gets.Load() != gets {
			t.Errorf("got %v, and it was asked %d times", err, i.gets.Load()-gets)
		}
	})
}

func TestASlowEndpointHoldsUpNoMoreThanTheRequestsThatAreAllowedToWait(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.set(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, jwksOf("ed"))
	})
	src := openHTTP(t, i.URL, RemoteOptions{timeout: time.Minute, wait: time.Minute, maxWaiting: 2})
	v := verifierOf(t, Options{Keys: src})
	token := signed(t, claims(""))
	results := make(chan error, 2)
	for range 2 {
		go func() { _, err := v.Verify(t.Context(), token, now); results <- err }()
	}
	eventually(t, "two requests to wait", func() bool { return len(src.waiting) == 2 })
	if _, err := v.Verify(t.Context(), token, now); !errors.Is(err, ErrNoKeys) || errors.Is(err, ErrBadToken) {
		t.Errorf("a third request before any key: %v, want ErrNoKeys at once", err)
	}
	close(release)
	for range 2 {
		if err := <-results; err != nil {
			t.Errorf("a request that waited: %v", err)
		}
	}
	if n := i.gets.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

func TestARequestThatIsGivenUpDoesNotWait(t *testing.T) {
	i := newIssuer(t)
	i.set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	src := openHTTP(t, i.URL, RemoteOptions{timeout: time.Minute, wait: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if set := src.Renew(ctx); set != nil {
		t.Error("keys out of nothing")
	}
	if err := src.Close(); err != nil { // ends the fetch under way
		t.Fatal(err)
	}
	if src.Renew(t.Context()) != nil || src.Close() != nil {
		t.Error("a closed source still works")
	}
}

func TestAKeyFileIsWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	src := OpenRemote(FileFetcher(path), RemoteOptions{Every: 2 * time.Millisecond})
	defer src.Close()
	eventually(t, "a failure to be noticed", func() bool { return src.Stats().LastError != nil })
	write := func(text []byte) {
		os.WriteFile(path+".new", text, 0o600)
		os.Rename(path+".new", path)
	}
	write([]byte(jwksOf("a", "b")))
	eventually(t, "the JWK set", func() bool { return src.Keys() != nil && src.Keys().Len() == 2 })
	write(pkix(t, ecKey.Public()))
	eventually(t, "the PEM file", func() bool { return src.Keys().Len() == 1 })
	write([]byte("garbage"))
	eventually(t, "the error", func() bool { return src.Stats().LastError != nil })
	if src.Keys().Len() != 1 {
		t.Error("the last good keys are gone")
	}
}

func TestAddressesOfKeySetsAreHTTPSOrLoopback(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://id.example/jwks": true, "http://127.0.0.1:9000/jwks": true, "http://localhost/jwks": true, "http://[::1]:9000/": true,
		"http://id.example/jwks": false, "http://10.0.0.1/": false, "http://localhost.evil.example/": false, "ftp://id.example/": false, "file:///etc/passwd": false,
		"/jwks": false, "": false, "https://": false, "https://user:pass@id.example/": false, "://": false,
	} {
		t.Run(address, func(t *testing.T) {
			if _, err := HTTPFetcher(address, HTTPOptions{}); (err == nil) != ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
