package http

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
)

// backend offers a feed, with as much of the protocol as the test wants.
type backend struct {
	etag, cursor, wait bool

	server *httptest.Server
	mu     sync.Mutex
	states [][]registry.Record // every content there was; the last one is current
	down   string              // "gone" or "spoilt" while it is
	news   chan struct{}       // closed at every change
	deltas int                 // answered
	waits  int                 // requests that were told to wait
}

func newBackend(t *testing.T, etag, cursor, wait bool) *backend {
	b := &backend{etag: etag, cursor: cursor, wait: wait, news: make(chan struct{})}
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	return b
}

func (b *backend) open(t *testing.T) registry.Source {
	t.Helper()
	module := Source{Address: b.server.URL + "/tenants.json?key=s3cret"}
	if b.wait {
		module.LongPoll = caddy.Duration(10 * time.Second)
	}
	s, err := module.OpenSource()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *backend) set(down string, records []registry.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down = down; down == "" {
		b.states = append(b.states, slices.Clone(records))
	}
	close(b.news)
	b.news = make(chan struct{})
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	current := func() string { return fmt.Sprintf(`"%d"`, len(b.states)) }
	match := r.Header.Get("If-None-Match")
	if b.wait && r.Header.Get("Prefer") == "wait=10" {
		b.waits++
		if news := b.news; b.down == "" && match == current() {
			b.mu.Unlock()
			select {
			case <-news:
			case <-r.Context().Done():
			}
			b.mu.Lock()
		}
	}
	switch {
	case b.down == "gone" || len(b.states) == 0:
		panic(http.ErrAbortHandler)
	case b.down == "spoilt":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"tenants": [`))
		return
	}
	if b.etag {
		w.Header().Set("ETag", current())
		if match == current() {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(b.body(r.URL.Query().Get("cursor")))
}

func (b *backend) body(cursor string) []byte {
	now := b.states[len(b.states)-1]
	out := map[string]any{"empty": len(now) == 0}
	list := now
	if b.cursor {
		out["cursor"] = fmt.Sprint(len(b.states))
		var from int
		if _, err := fmt.Sscan(cursor, &from); err == nil {
			b.deltas++
			list = nil
			removed := []string{}
			before := map[string]string{}
			for _, r := range b.states[from-1] {
				before[r.Slug] = fmt.Sprintf("%+v", r)
			}
			for _, r := range now {
				if before[r.Slug] != fmt.Sprintf("%+v", r) {
					list = append(list, r)
				}
				delete(before, r.Slug)
			}
			for slug := range before {
				removed = append(removed, slug)
			}
			out["delta"], out["removed"], out["total"] = true, removed, len(now)
		}
	}
	out["tenants"] = feedRecords(list)
	data, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return data
}

func feedRecords(records []registry.Record) []map[string]any {
	list := []map[string]any{}
	for _, r := range records {
		m := map[string]any{"slug": r.Slug, "name": r.Name, "plan": r.Plan, "status": "active", "limits": r.Limits, "hosts": r.Hosts,
			"upstreams": r.Upstreams, "issuer": r.Issuer, "jwks": r.JWKS}
		if r.ID != "" {
			m["id"] = r.ID
		}
		if r.Status != "" {
			m["status"] = r.Status
		}
		if !r.Created.IsZero() {
			m["created_at"] = r.Created
		}
		list = append(list, m)
	}
	return list
}

func TestFeedsConform(t *testing.T) {
	t.Parallel()
	for name, able := range map[string]struct{ etag, cursor, wait bool }{
		"with a tag":                     {true, false, false},
		"without a tag":                  {false, false, false},
		"with a tag and a cursor":        {true, true, false},
		"with a cursor":                  {false, true, false},
		"with long polling":              {true, false, true},
		"with long polling and a cursor": {true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sourcetest.Run(t, func(t *testing.T) sourcetest.World {
				b := newBackend(t, able.etag, able.cursor, able.wait)
				return sourcetest.World{
					Open:      b.open,
					Put:       func(_ *testing.T, records ...registry.Record) { b.set("", records) },
					Spoil:     func(*testing.T) { b.set("spoilt", nil) },
					Remove:    func(*testing.T) { b.set("gone", nil) },
					SaysEmpty: true,
				}
			})
		})
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// With long polling a change arrives although nobody asks, and while the server is
// waiting nobody does.
func TestLongPollingTellsOfChanges(t *testing.T) {
	t.Parallel()
	for name, cursor := range map[string]bool{"whole feeds": false, "deltas": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t, true, cursor, true)
			b.set("", []registry.Record{{Slug: "acme"}})
			s := b.open(t).(listener).source
			defer func() { _ = s.Close() }()
			if got := look(t, s); got != "acme" {
				t.Fatal(got)
			}
			for _, slug := range []string{"globex", "initech"} {
				if got := look(t, s); got != "unchanged" {
					t.Errorf("before the change: %s", got)
				}
				b.set("", []registry.Record{{Slug: "acme"}, {Slug: slug}})
				want := "acme " + slug
				if got := lookWhenChanged(t, s); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.waits < 2 || b.waits > 4 || cursor && b.deltas != 2 {
				t.Errorf("%d requests were told to wait, %d deltas answered", b.waits, b.deltas)
			}
		})
	}
}

// lookWhenChanged waits for notifications until one is about something.
func lookWhenChanged(t *testing.T, s *source) string {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case <-s.poll.changed:
			if got := look(t, s); got != "unchanged" {
				return got
			}
		case <-ctx.Done():
			t.Fatal("no notification")
		}
	}
}

// A server that answers at once is asked a few times a second, not without pause.
func TestAServerThatDoesNotWaitIsNotAskedAllTheTime(t *testing.T) {
	t.Parallel()
	s, a := serve(t, nil, say(200, `{"tenants": [{"slug": "acme"}]}`, "ETag", `"x"`), say(304, ""))
	s.longPoll = time.Minute
	s.poll.wait = time.Minute
	if got := look(t, s); got != "acme" {
		t.Fatal(got)
	}
	start := time.Now()
	for range 3 {
		<-s.poll.changed
		if got := look(t, s); got != "unchanged" {
			t.Error(got)
		}
	}
	if since := time.Since(start); since < 2*pollGap {
		t.Errorf("3 answers in %v", since)
	}
	_ = s.Close()
	if len(a.requests) < 4 || a.requests[3].Header.Get("Prefer") != "wait=60" || a.requests[3].Header.Get("If-None-Match") != `"x"` {
		t.Errorf("%d requests", len(a.requests))
	}
}
