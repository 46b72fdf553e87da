package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// receiver is a backend that takes records, each once.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int            // 204 unless set
	hold   chan struct{}  // when not nil, an answer waits for it to be closed
	sizes  []int          // records in each body
	bytes  int            // of the longest body
	ids    []string       // of the records, in the order of their first coming
	count  map[string]int // of each request id
	again  int            // records that came once more
	signed []string
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{count: make(map[string]int)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var list struct {
		Records []struct {
			ID        string `json:"id"`
			RequestID string `json:"request_id"`
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		http.Error(w, fmt.Sprint(err), http.StatusTeapot)
		return
	}
	r.mu.Lock()
	status, hold := r.status, r.hold
	if status == 0 {
		status = http.StatusNoContent
		r.sizes, r.bytes = append(r.sizes, len(list.Records)), max(r.bytes, len(body))
		r.signed = append(r.signed, req.Header.Get("X-Signed"))
		for _, rec := range list.Records {
			if slices.Contains(r.ids, rec.ID) {
				r.again++
				continue
			}
			r.ids = append(r.ids, rec.ID)
			r.count[rec.RequestID]++
		}
	}
	r.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

func (r *receiver) set(status int) { r.mu.Lock(); r.status = status; r.mu.Unlock() }

func (r *receiver) records() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.ids) }

// newHTTP returns a sink whose bodies hold at most so many records.
func newHTTP(t testing.TB, url string, records int) *HTTP {
	t.Helper()
	s, err := NewHTTP(url)
	if err != nil {
		t.Fatal(err)
	}
	s.SignWith(func(h http.Header, body []byte, _ time.Time) error {
		h.Set("X-Signed", fmt.Sprint(len(body)))
		return nil
	})
	s.maxRecords, s.every = records, time.Millisecond
	return s
}

// checkEach fails unless the receiver has the records 0 to n-1, each once and
// in order.
func (r *receiver) checkEach(t *testing.T, n int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		if r.count[fmt.Sprint(i)] != 1 {
			t.Errorf("the receiver has record %d %d times", i, r.count[fmt.Sprint(i)])
		}
	}
	if len(r.ids) != n || !slices.IsSorted(r.ids) {
		t.Errorf("the receiver has %d records, want %d; ids in order: %v", len(r.ids), n, slices.IsSorted(r.ids))
	}
}

func TestRecordsArePostedInBoundedBodiesInTheirOrder(t *testing.T) {
	rcv := newReceiver(t)
	s := newHTTP(t, rcv.URL+"/audit", 10)
	s.maxBytes = 4000
	recs := some(25)
	for i := range recs {
		recs[i].ID = fmt.Sprintf("i-%04d", i)
	}
	if n, err := s.Write(recs); n != 25 || err != nil {
		t.Fatalf("%d records taken, %v", n, err)
	}
	if fmt.Sprint(rcv.sizes) != "[10 10 5]" || rcv.signed[0] == "" {
		t.Errorf("bodies of %v records, signed %q", rcv.sizes, rcv.signed)
	}
	rcv.checkEach(t, 25)
	for i := range recs {
		recs[i].ID, recs[i].Path = fmt.Sprintf("l-%04d", i), strings.Repeat("\xff", 250) // 6 bytes each when escaped
	}
	if n, err := s.Write(recs); n != 25 || err != nil {
		t.Fatalf("%d records taken, %v", n, err)
	}
	if rcv.bytes > 4000+1700 {
		t.Errorf("a body of %d bytes", rcv.bytes)
	}
}

func TestTheBodyIsAnObjectInASCIIWithTheRecordsMembers(t *testing.T) {
	s := newHTTP(t, "http://192.0.2.1/", 10)
	rec := Record{ID: "a-1", Event: Event{Time: start, Type: "t", Tenant: "acm\u00e9\x00\xff", Claimed: []string{"host=a"}, Count: 2}}
	body, n := s.body([]Record{rec, {ID: "a-2", Event: Event{Time: start, Type: "u"}}})
	const want = `{"records":[{"id":"a-1","time":"2026-03-01T12:00:00.000Z","type":"t","tenant":"acm\u00e9\u0000\ufffd","claimed":["host=a"],"count":2},` +
		`{"id":"a-2","time":"2026-03-01T12:00:00.000Z","type":"u","count":1}]}`
	if string(body) != want || n != 2 {
		t.Errorf("%d records:\n%s\nwant\n%s", n, body, want)
	}
}

func TestOnlyAnAnswerOf2xxTakesRecords(t *testing.T) {
	rcv := newReceiver(t)
	s := newHTTP(t, rcv.URL, 1)
	for _, status := range []int{302, 307, 400, 401, 404, 413, 429, 500, 503} {
		rcv.set(status)
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			n, err := s.Write(some(2))
			if n != 0 || err == nil || !strings.Contains(err.Error(), fmt.Sprint("found ", status)) {
				t.Errorf("%d taken, %v", n, err)
			}
		})
	}
	if rcv.records() != 0 {
		t.Error("a redirect was followed")
	}
	for _, status := range []int{200, 201, 202} {
		rcv.set(status)
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			if n, err := s.Write(some(2)); n != 2 || err != nil {
				t.Errorf("%d taken, %v", n, err)
			}
		})
	}
}

func TestASecretInTheURLIsInNoError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there
	for _, url := range []string{
		"http://user:secret@" + l.Addr().String() + "/secret?secret=secret", "http://secret@%zz/", "ftp://user:secret@host/", "http://host/#secret", "secret", "http:///secret", "http://:80/secret",
	} {
		t.Run(url, func(t *testing.T) {
			s, err := NewHTTP(url)
			if err == nil {
				s.SignWith(func(http.Header, []byte, time.Time) error { return nil })
				_, err = s.Write(some(1))
			}
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Error(err)
			}
		})
	}
}

func TestRecordsReachAReceiverThatComesBackEachOnceAndInOrder(t *testing.T) {
	rcv := newReceiver(t)
	rcv.set(503)
	r := newRecorder(t, options{burst: 1 << 30}, newHTTP(t, rcv.URL, 3))
	for i := range 20 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
		if i == 10 {
			await(t, "the receiver to refuse", func() bool { return r.Stats().SinkErrors > 0 })
		}
	}
	rcv.set(0)
	await(t, "the records to arrive", func() bool { return rcv.records() == 20 })
	rcv.checkEach(t, 20)
	closeAll(t, r)
	if s := r.Stats(); s.Dropped != 0 || s.SinkErrors == 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestAnswersThatAreCutAfterTheCommitBringNoRecordTwice(t *testing.T) {
	rcv := newReceiver(t)
	proxy := harness.StartProxy(t, rcv.Listener.Addr().String())
	proxy.CutReplies.Store(3)
	sink := newHTTP(t, fmt.Sprintf("http://127.0.0.1:%d/", proxy.Port), 4)
	r := newRecorder(t, options{burst: 1 << 30}, sink)
	for i := range 30 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
	}
	await(t, "the records to arrive", func() bool { return r.waiting() == 0 })
	rcv.checkEach(t, 30)
	if proxy.Cut.Load() != 3 || rcv.again == 0 {
		t.Errorf("%d answers cut and %d records posted again: nothing was tried", proxy.Cut.Load(), rcv.again)
	}
}

func TestAReceiverThatHangsIsLeftAfterTheTimeout(t *testing.T) {
	rcv := newReceiver(t)
	rcv.hold = make(chan struct{})
	s := newHTTP(t, rcv.URL, 10)
	s.client.Timeout = 20 * time.Millisecond
	recs := some(5)
	for i := range recs {
		recs[i].ID = fmt.Sprint(i)
	}
	if n, err := s.Write(recs); n != 0 || err == nil || !strings.Contains(err.Error(), "Timeout") {
		t.Errorf("%d taken, %v; want none and the timeout", n, err)
	}
	rcv.mu.Lock()
	close(rcv.hold)
	rcv.hold = nil
	rcv.mu.Unlock()
	s.client.Timeout = deliveryTimeout
	write(t, s, recs)
	rcv.checkEach(t, 5)
}
