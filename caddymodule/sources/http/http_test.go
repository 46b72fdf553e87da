package http

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// answers is a server that gives the answers in turn, the last one again and
// again, and keeps the requests.
type answers struct {
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

func serve(t *testing.T, header http.Header, list ...func(http.ResponseWriter)) (*source, *answers) {
	t.Helper()
	a := &answers{list: list}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	s, err := newSource(strings.Replace(server.URL, "http://", "http://user:s3cret@", 1)+"/feed?key=s3cret", header, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, a
}

// look returns the slugs that a poll brings.
func look(t *testing.T, s *source) string {
	t.Helper()
	return said(s.Load(t.Context()))
}

func said(records []registry.Record, err error) string {
	if err != nil {
		return err.Error()
	}
	var slugs []string
	for _, r := range records {
		slugs = append(slugs, r.Slug)
	}
	return strings.Join(slugs, " ")
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
		"unasked 410":        {say(410, ""), "expected status 200, found 410"},
		"no content":         {say(204, ""), "expected status 200, found 204"},
		"HTML":               {say(200, "<html>", "Content-Type", "text/html"), `expected a content type of JSON, found "text/html"`},
		"too large":          {say(200, `{"tenants": [`+strings.Repeat(" ", 1000)+`]}`), "expected at most 1000 bytes, found more"},
		"too large unpacked": {say(200, bomb, "Content-Encoding", "gzip"), "expected at most 1000 bytes, found more"},
		"truncated":          {say(200, `{"tenants": [`), "line 1: unexpected end of JSON input"},
		"cut off":            {say(200, `{"tenants": [`, "Content-Length", "100"), "unexpected EOF"},
		"wrong version":      {say(200, `{"tenants": [], "version": "3"}`), `line 1: reading "version": expected another type`},
		"negative version":   {say(200, `{"tenants": [], "version": -3}`), `line 1: reading "version": expected another type`},
		"wrong cursor":       {say(200, `{"tenants": [], "cursor": 3}`), `line 1: reading "cursor": expected another type`},
		"wrong removed":      {say(200, `{"tenants": [], "removed": "a"}`), `line 1: reading "removed": expected another type`},
		"wrong total":        {say(200, `{"tenants": [], "total": 1.5}`), `line 1: reading "total": expected another type`},
		"unasked delta":      {say(200, `{"tenants": [], "delta": true}`), "expected the whole feed, found a delta"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, nil, test.answer)
			s.most = 1000
			_, err := s.Load(t.Context())
			if want := "reading tenants from " + s.String() + ": " + test.want; err == nil || err.Error() != want {
				t.Errorf("error = %v\nwant %s", err, want)
			}
		})
	}
}

func TestAFeedNeverGoesBackInTime(t *testing.T) {
	s, _ := serve(t, nil,
		say(200, `{"version": 7, "tenants": [{"slug": "acme"}]}`),
		say(200, `{"version": 6, "tenants": []}`), say(200, `{"version": 5, "tenants": []}`),
		say(200, `{"tenants": [{"slug": "acme"}], "version": 7}`),
		say(200, `{"version": 8, "tenants": [{"slug": "globex"}]}`))
	for i, want := range []string{"acme", "expected version 7 or later, found 6", "expected version 7 or later, found 5", "acme", "globex"} {
		if got := look(t, s); !strings.HasSuffix(got, want) {
			t.Errorf("look %d: %s, want %s", i, got, want)
		}
	}
}

func TestAForgottenCursorMeansTheWholeFeed(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"said so":       say(410, ""),
		"just answered": say(200, `{"cursor": "b", "tenants": [{"slug": "globex"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			// The tag stays the same: a 304 must not be taken for an answer.
			s, a := serve(t, nil, say(200, `{"cursor": "a b", "tenants": [{"slug": "acme"}]}`, "ETag", `"x"`), answer,
				say(200, `{"cursor": "b", "tenants": [{"slug": "globex"}]}`))
			for _, want := range []string{"acme", "globex"} {
				if got := look(t, s); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
			if got := a.requests[1].URL.Query(); got.Get("cursor") != "a b" || got.Get("key") != "s3cret" {
				t.Errorf("asked %v", got)
			}
			if name == "just answered" {
				if len(a.requests) != 2 {
					t.Errorf("%d requests", len(a.requests))
				}
			} else if r := a.requests[2]; len(a.requests) != 3 || r.URL.Query().Has("cursor") || r.Header.Get("If-None-Match") != "" {
				t.Errorf("%d requests, the third %v %v", len(a.requests), r.URL, r.Header)
			}
		})
	}
}

// Deltas and whole texts may come by turns, and failures between them.
func TestDeltasAndWholeFeedsByTurns(t *testing.T) {
	s, a := serve(t, nil,
		say(200, `{"cursor": "1", "tenants": [{"slug": "a"}, {"slug": "b"}]}`),
		say(200, `{"cursor": "2", "delta": true, "tenants": [{"slug": "c"}], "removed": ["a"], "total": 2}`),
		say(200, `{"cursor": "3", "tenants": [{"slug": "d"}]}`),
		say(500, ``),
		say(200, `{"cursor": "4", "tenants": [{"slug": "a"}]}`),
		say(200, `{"cursor": "5", "delta": true, "tenants": [{"slug": "e"}]}`),
		say(200, `{"cursor": "6", "delta": true, "tenants": []}`),
	)
	for i, want := range []string{"a b", "b c", "d", "reading tenants from " + s.String() + ": expected status 200, found 500", "a", "a e", "a e"} {
		if got := look(t, s); got != want {
			t.Errorf("look %d: %q, want %q", i, got, want)
		}
	}
	for i, want := range []string{"", "1", "2", "3", "", "4", "5"} {
		if got := a.requests[i].URL.Query().Get("cursor"); got != want {
			t.Errorf("request %d: cursor %q, want %q", i, got, want)
		}
	}
}

// Only a request without a cursor and a tag tells everything.
func TestChangesThatDoNotAddUpHaveEverythingRead(t *testing.T) {
	whole := `{"cursor": "2", "tenants": [{"slug": "a"}, {"slug": "b"}]}`
	for name, delta := range map[string]func(http.ResponseWriter){
		"another total":         say(200, `{"cursor": "2", "delta": true, "tenants": [{"slug": "b"}], "total": 3}`, "ETag", `"2"`),
		"a cursor that is gone": say(410, ``),
	} {
		t.Run(name, func(t *testing.T) {
			s, a := serve(t, nil, say(200, `{"cursor": "1", "tenants": [{"slug": "a"}]}`, "ETag", `"1"`), delta, say(200, whole, "ETag", `"2"`), say(304, ``))
			for i, want := range []string{"a", "a b", "unchanged"} {
				if got := look(t, s); got != want {
					t.Errorf("look %d: %q, want %q", i, got, want)
				}
			}
			for i, want := range []string{"", "1", "", "2"} {
				if r := a.requests[i]; r.URL.Query().Get("cursor") != want || (r.Header.Get("If-None-Match") != "") != (want != "") {
					t.Errorf("request %d: asked %v %v", i, r.URL, r.Header)
				}
			}
		})
	}
}

// Whoever asks for a refresh gets everything, not a delta.
func TestALoadAfterForgetReadsEverything(t *testing.T) {
	s, a := serve(t, nil,
		say(200, `{"cursor": "1", "tenants": [{"slug": "a"}]}`, "ETag", `"1"`),
		say(200, `{"cursor": "2", "delta": true, "tenants": [{"slug": "b"}], "total": 2}`, "ETag", `"2"`),
		say(200, `{"cursor": "2", "tenants": [{"slug": "b"}, {"slug": "c"}]}`, "ETag", `"2"`))
	for i, want := range []string{"a", "a b", "b c"} {
		if i == 2 {
			s.Forget()
		}
		if got := look(t, s); got != want {
			t.Errorf("look %d: %q, want %q", i, got, want)
		}
	}
	if r := a.requests[2]; r.Header.Get("If-None-Match") != "" || r.URL.Query().Has("cursor") {
		t.Errorf("asked %v %v", r.URL, r.Header)
	}
}

func TestAFeedSaysThatAnEmptyListIsMeant(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"it does":     {`{"tenants": [], "empty": true}`, true},
		"it does not": {`{"tenants": []}`, false},
		"it denies":   {`{"tenants": [], "empty": false}`, false},
		"only a list": {`[]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, nil, say(200, test.text))
			if got := look(t, s); got != "" || s.EmptyIsMeant() != test.want {
				t.Errorf("%s, meant %v", got, s.EmptyIsMeant())
			}
		})
	}
}

func TestAFeedIsAskedAsPromised(t *testing.T) {
	unchanged, again := say(304, ""), say(304, "", "ETag", `"y"`)
	s, a := serve(t, http.Header{"authorization": {"Bearer t0ken"}},
		say(200, `{"tenants": []}`, "ETag", `W/"x"`), unchanged, say(200, `{"tenants": []}`, "ETag", `"y"`), again, say(200, `{"tenants": []}`))
	for i, want := range []string{"", "unchanged", "unchanged", "unchanged"} {
		if got := look(t, s); got != want {
			t.Errorf("look %d: %q, want %q", i, got, want)
		}
	}
	s.Forget()
	if got := look(t, s); got != "" {
		t.Errorf("after Forget: %s", got)
	}
	for i, want := range []string{"", `W/"x"`, `W/"x"`, `"y"`, ""} {
		h := a.requests[i].Header
		if h.Get("Authorization") != "Bearer t0ken" || h.Get("Accept") != "application/json" || h.Get("If-None-Match") != want || h.Get("Prefer") != "" {
			t.Errorf("request %d: %v", i, h)
		}
	}
}

func TestAFeedNeverShowsItsSecrets(t *testing.T) {
	s, err := newSource("http://user:s3cret@127.0.0.1:1/feed?key=s3cret", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(t.Context())
	if s.String() != "http http://127.0.0.1:1/feed" || err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%s: %v", s, err)
	}
	for _, address := range []string{"", "tenants.json", "ftp://host/", "http://", "http://user:s3cret@[::1/", "://s3cret"} {
		t.Run(fmt.Sprintf("%q", address), func(t *testing.T) {
			if _, err := newSource(address, nil, 0); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "expected a URL as in") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestTheModuleIsConfiguredByACaddyfile(t *testing.T) {
	t.Setenv("FEED_TOKEN", "t0ken")
	t.Setenv("FEED_HOST", "feed.example")
	for name, test := range map[string]struct{ text, want string }{
		"a URL only":        {"http https://feed.example/tenants.json", "http https://feed.example/tenants.json"},
		"a placeholder":     {"http https://{env.FEED_HOST}/tenants?key={env.FEED_TOKEN}", "http https://feed.example/tenants"},
		"options":           {"http https://feed.example/ {\nheader Authorization \"Bearer {env.FEED_TOKEN}\"\nlong_poll 30s\ninterval 1s\nmax_stale 1h\n}", "http https://feed.example/"},
		"no URL":            {"http", "source http: expected the URL of a feed"},
		"half a header":     {"http https://feed.example/ {\nheader X\n}", "header: expected a name and a value"},
		"an unknown option": {"http https://feed.example/ {\nquery x\n}", `source: unknown option "query"; expected header, long_poll, interval or max_stale`},
		"no duration":       {"http https://feed.example/ {\nlong_poll for ever\n}", "long_poll: expected one duration"},
		"nothing left":      {"http {env.NOT_SET_ANYWHERE}", `tenancy: the address of the source "http" is empty`},
		"no feed":           {"http tenants.json", "reading http source: expected a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			module := new(Source)
			err := module.UnmarshalCaddyfile(caddyfile.NewTestDispenser(test.text))
			if err == nil {
				err = module.Provision(caddy.Context{})
			}
			if err != nil {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error = %v, want %s", err, test.want)
				}
				return
			}
			opened, err := module.OpenSource()
			if err != nil || opened.String() != test.want {
				t.Fatalf("%v, %v", opened, err)
			}
			if s, ok := opened.(listener); name == "options" && (!ok || s.header.Get("Authorization") != "Bearer t0ken" || s.longPoll != 30*time.Second) {
				t.Errorf("header %v, long poll %v", s.header, s.longPoll)
			}
		})
	}
	if err := (&Source{Address: "https://feed.example/", LongPoll: -1}).Provision(caddy.Context{}); err == nil || err.Error() != "long_poll: expected a positive duration" {
		t.Errorf("a negative duration: %v", err)
	}
}
