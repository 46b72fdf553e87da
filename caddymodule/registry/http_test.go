package registry

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// feedWorld is a backend that offers a feed, with as much of the protocol as the
// test wants.
type feedWorld struct {
	etag, cursor, wait bool

	server *httptest.Server
	mu     sync.Mutex
	states [][]Record    // every content there was; the last one is current
	down   string        // "gone" or "spoilt" while it is
	news   chan struct{} // closed at every change
	deltas int           // answered
}

func newFeedWorld(etag, cursor, wait bool) func(t *testing.T) world {
	return func(t *testing.T) world {
		w := &feedWorld{etag: etag, cursor: cursor, wait: wait, news: make(chan struct{})}
		w.server = httptest.NewServer(w)
		t.Cleanup(w.server.Close)
		return w
	}
}

func (w *feedWorld) source(t *testing.T) Source {
	var opts HTTPOptions
	if w.wait {
		opts.LongPoll = 10 * time.Second
	}
	s, err := NewHTTP(w.server.URL+"/tenants.json?key=s3cret", opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *feedWorld) set(down string, records []Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down = down; down == "" {
		w.states = append(w.states, records)
	}
	close(w.news)
	w.news = make(chan struct{})
}

func (w *feedWorld) put(_ *testing.T, records ...Record) { w.set("", records) }
func (w *feedWorld) spoil(*testing.T)                    { w.set("spoilt", nil) }
func (w *feedWorld) remove(*testing.T)                   { w.set("gone", nil) }

func (w *feedWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	current := func() string { return fmt.Sprintf(`"%d"`, len(w.states)) }
	match := r.Header.Get("If-None-Match")
	if w.wait && r.Header.Get("Prefer") != "" && w.down == "" && match == current() {
		news := w.news
		w.mu.Unlock()
		select {
		case <-news:
		case <-r.Context().Done():
		}
		w.mu.Lock()
	}
	switch w.down {
	case "gone":
		panic(http.ErrAbortHandler)
	case "spoilt":
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"tenants": [`))
		return
	}
	if len(w.states) == 0 {
		panic(http.ErrAbortHandler)
	}
	if w.etag {
		rw.Header().Set("ETag", current())
		if match == current() {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = rw.Write(w.body(r.URL.Query().Get("cursor")))
}

func (w *feedWorld) body(cursor string) []byte {
	now := w.states[len(w.states)-1]
	out := map[string]any{}
	list := now
	if w.cursor {
		out["cursor"] = fmt.Sprint(len(w.states))
		var from int
		if _, err := fmt.Sscan(cursor, &from); err == nil {
			w.deltas++
			list = nil
			removed := []string{}
			before := map[string]string{}
			for _, r := range w.states[from-1] {
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
	data, err := marshalFeed(out)
	if err != nil {
		panic(err)
	}
	return data
}

var marshalFeed = json.Marshal

func feedRecords(records []Record) []map[string]any {
	list := []map[string]any{}
	for _, r := range records {
		m := map[string]any{"slug": r.Slug, "id": r.ID, "name": r.Name, "plan": r.Plan, "status": "active", "limits": r.Limits, "hosts": r.Hosts}
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

func TestHTTPFeedsConform(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]func(*testing.T) world{
		"with a tag":        newFeedWorld(true, false, false),
		"without a tag":     newFeedWorld(false, false, false),
		"with long polling": newFeedWorld(true, false, true),
	} {
		t.Run(name, func(t *testing.T) { conform(t, w) })
	}
}

func TestAFeedWithACursorIsReadInDeltas(t *testing.T) {
	for name, w := range map[string]*feedWorld{
		"by looking":      newFeedWorld(true, true, false)(t).(*feedWorld),
		"without a tag":   newFeedWorld(false, true, false)(t).(*feedWorld),
		"by long polling": newFeedWorld(true, true, true)(t).(*feedWorld),
	} {
		acme, globex := Record{ID: "1", Slug: "acme"}, Record{ID: "2", Slug: "globex"}
		w.put(t, acme)
		r := Open(Options{Source: w.source(t), Interval: 5 * time.Millisecond})
		shows := func(want ...Record) { t.Helper(); eventuallyShows(t, name, r, want...) }
		shows(acme)
		w.put(t, acme, globex)
		shows(acme, globex)
		globex.Hosts = []string{"globex.example"}
		w.put(t, acme, globex)
		shows(acme, globex)
		w.put(t, globex)
		shows(globex)
		w.remove(t)
		before := r.Stats().Failures
		eventually(t, "a failure", func() bool { return r.Stats().Failures > before })
		shows(globex)
		w.put(t, acme)
		shows(acme)
		if s := r.Stats(); s.FullLoads > 3 {
			t.Errorf("%s: %d full loads", name, s.FullLoads)
		}
		w.mu.Lock()
		if w.deltas < 3 {
			t.Errorf("%s: %d deltas", name, w.deltas)
		}
		w.mu.Unlock()
		_ = r.Close()
	}
}

// answers is a server that gives the answers in turn, the last one again and
// again, and keeps the requests.
type answers struct {
	t        *testing.T
	list     []func(http.ResponseWriter)
	requests []*http.Request
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests = append(a.requests, r)
	a.list[min(len(a.requests), len(a.list))-1](w)
}

func say(status int, body string, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func serve(t *testing.T, opts HTTPOptions, list ...func(http.ResponseWriter)) (Source, *answers) {
	a := &answers{t: t, list: list}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	s, err := NewHTTP(strings.Replace(server.URL, "http://", "http://user:s3cret@", 1)+"/feed?key=s3cret", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, a
}

func TestAFeedThatIsNoneIsNamed(t *testing.T) {
	bomb := func() string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
		_ = z.Close()
		return b.String()
	}()
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"server error":       {say(500, "{}"), "expected status 200, found 500"},
		"no such page":       {say(404, "{}"), "expected status 200, found 404"},
		"redirect":           {say(302, "", "Location", "http://127.0.0.1:1/"), "expected status 200, found 302"},
		"unasked 304":        {say(304, ""), "expected status 200, found 304"},
		"no content":         {say(204, ""), "expected status 200, found 204"},
		"HTML":               {say(200, "<html>", "Content-Type", "text/html"), `expected a content type of JSON, found "text/html"`},
		"too large":          {say(200, `{"tenants": [`+strings.Repeat(" ", 1000)+`]}`), "expected at most 1000 bytes, found more"},
		"too large unpacked": {say(200, bomb, "Content-Encoding", "gzip"), "expected at most 1000 bytes, found more"},
		"truncated":          {say(200, `{"tenants": [`), "line 1: the text ends too early"},
		"cut off":            {say(200, `{"tenants": [`, "Content-Length", "100"), "unexpected EOF"},
		"unknown key":        {say(200, `{"tenants": [], "next": 1}`), `line 1: unexpected key "next": expected each of tenants, removed, delta, cursor, total, version once`},
		"wrong version":      {say(200, `{"tenants": [], "version": "3"}`), `line 1: reading "version": expected another type, found text`},
		"negative version":   {say(200, `{"tenants": [], "version": -3}`), `line 1: reading "version": expected another type, found an integer`},
		"wrong cursor":       {say(200, `{"tenants": [], "cursor": 3}`), `line 1: reading "cursor": expected another type, found an integer`},
		"wrong removed":      {say(200, `{"tenants": [], "removed": "a"}`), `line 1: reading "removed": expected another type, found text`},
		"wrong total":        {say(200, `{"tenants": [], "total": 1.5}`), `line 1: reading "total": expected another type, found a number`},
		"unasked delta":      {say(200, `{"tenants": [], "delta": true}`), "expected the whole feed, found a delta"},
	} {
		s, _ := serve(t, HTTPOptions{MaxBytes: 1000}, test.answer)
		_, err := s.Load(within(t))
		if want := "reading tenants from " + s.String() + ": " + test.want; err == nil || err.Error() != want {
			t.Errorf("%s: error = %v\nwant %s", name, err, want)
		}
	}
}

func TestAFeedNeverGoesBackInTime(t *testing.T) {
	s, _ := serve(t, HTTPOptions{},
		say(200, `{"version": 7, "tenants": [{"slug": "acme"}]}`),
		say(200, `{"version": 6, "tenants": []}`), say(200, `{"version": 5, "tenants": []}`),
		say(200, `{"tenants": [{"slug": "acme"}], "version": 7}`),
		say(200, `{"version": 8, "tenants": [{"slug": "globex"}]}`))
	r := open(t, s, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"expected version 7 or later, found 6", "expected version 7 or later, found 5", "", ""} {
		err := r.Refresh(within(t))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
			t.Errorf("look %d: %v, want %q", i, err, want)
		}
		if got := slugsOf(r.Snapshot()); got != map[bool]string{true: "globex", false: "acme"}[i == 3] {
			t.Errorf("look %d: tenants %s", i, got)
		}
	}
}

func TestAForgottenCursorMeansTheWholeFeed(t *testing.T) {
	for name, answer := range map[string][]func(http.ResponseWriter){
		"said so":       {say(410, ""), say(200, `{"cursor": "b", "tenants": [{"slug": "globex"}]}`)},
		"just answered": {say(200, `{"cursor": "b", "tenants": [{"slug": "globex"}]}`)},
	} {
		s, a := serve(t, HTTPOptions{}, append([]func(http.ResponseWriter){say(200, `{"cursor": "a b", "tenants": [{"slug": "acme"}]}`)}, answer...)...)
		r := open(t, s, nil)
		if err := r.WaitFirst(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := r.Refresh(within(t)); err != nil || slugsOf(r.Snapshot()) != "globex" {
			t.Errorf("%s: %v, tenants %s", name, err, slugsOf(r.Snapshot()))
		}
		if got := a.requests[1].URL.Query(); got.Get("cursor") != "a b" || got.Get("key") != "s3cret" {
			t.Errorf("%s: asked %v", name, got)
		}
		if len(a.requests) != 1+len(answer) {
			t.Errorf("%s: %d requests", name, len(a.requests))
		}
	}
}

func TestAFeedIsAskedAsPromised(t *testing.T) {
	s, a := serve(t, HTTPOptions{Header: http.Header{"authorization": {"Bearer t0ken"}}},
		say(200, `{"tenants": []}`, "ETag", `W/"x"`), say(304, ""))
	r := open(t, s, nil)
	if err := r.WaitFirst(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(within(t)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", `W/"x"`} {
		h := a.requests[i].Header
		if h.Get("Authorization") != "Bearer t0ken" || h.Get("Accept") != "application/json" || h.Get("If-None-Match") != want || h.Get("Prefer") != "" {
			t.Errorf("request %d: %v", i, h)
		}
	}
}

func TestAFeedNeverShowsItsSecrets(t *testing.T) {
	s, err := NewHTTP("http://user:s3cret@127.0.0.1:1/feed?key=s3cret", HTTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(within(t))
	if s.String() != "http http://127.0.0.1:1/feed" || err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%s: %v", s, err)
	}
	for _, address := range []string{"", "tenants.json", "ftp://host/", "http://", "http://user:s3cret@[::1/", "://s3cret"} {
		if _, err := NewHTTP(address, HTTPOptions{}); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "expected a URL as in") {
			t.Errorf("NewHTTP(%q) error = %v", address, err)
		}
	}
}

// With long polling a change arrives although nobody looks, and a server that
// does not wait is not asked without pause.
func TestLongPollingTellsOfChanges(t *testing.T) {
	w := newFeedWorld(true, false, true)(t).(*feedWorld)
	w.put(t, Record{Slug: "acme", ID: "1"})
	r := Open(Options{Source: w.source(t), Interval: time.Hour})
	defer r.Close()
	for _, slugs := range []string{"acme", "globex", "initech"} {
		w.put(t, Record{Slug: slugs, ID: "1"})
		eventually(t, slugs, func() bool { return slugsOf(r.Snapshot()) == slugs })
	}
}
