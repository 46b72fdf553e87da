package controlapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

const oneRecord = `{"records":[{"id":"a-1","time":"2026-01-02T03:04:05.678Z","type":"tenant_conflict","claimed":["host=acme","header=globex"],"count":1}]}`

// deliver posts a body as the gateway does.
func (w *world) deliver(body string, changes ...func(*http.Request)) answer {
	w.tb.Helper()
	return w.do("POST", "/internal/audit", body, append([]func(*http.Request){with(identity.HeaderAudit, w.signDelivery(body))}, changes...)...)
}

func (w *world) signDelivery(body string) string {
	w.tb.Helper()
	token, err := w.signer.SignAudit([]byte(body), time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	return token
}

type accessPage struct {
	Records []struct {
		ID, Type, Tenant, Path, User string
		UserTenant                   string `json:"user_tenant"`
		Time                         time.Time
		Claimed                      []string
		Count                        int
	}
	After string `json:"next_after"`
}

// access lists what the operator sees.
func (w *world) access(query string) accessPage {
	w.tb.Helper()
	a := w.expect(200, w.do("GET", "/api/admin/audit"+query, "", operator))
	var page accessPage
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || page.Records == nil {
		w.tb.Fatalf("reading %s: %v", a.body, err)
	}
	return page
}

func TestOnlyASignedDeliveryIsTaken(t *testing.T) {
	w := newWorld(t)
	unsigned := func(changes ...func(*http.Request)) answer {
		return w.do("POST", "/internal/audit", oneRecord, changes...)
	}
	good := w.signDelivery(oneRecord)
	twice := func(r *http.Request) { r.Header[identity.HeaderAudit] = []string{good, good} }
	for name, a := range map[string]answer{
		"nothing":                unsigned(),
		"two signatures":         unsigned(twice),
		"empty":                  unsigned(with(identity.HeaderAudit, "")),
		"another body's":         unsigned(with(identity.HeaderAudit, w.signDelivery(oneRecord+" "))),
		"a tenant's statement":   unsigned(with(identity.HeaderAudit, w.identityOf("acme"))),
		"the operator's":         unsigned(operator),
		"in another header":      unsigned(with("Authorization", "Bearer "+good)),
		"in the header's double": unsigned(with("Tenant_Audit", good)),
	} {
		if a.status != 401 || strings.Contains(a.body, "typ is") {
			t.Errorf("%s: got %d %s", name, a.status, a.body)
		}
	}
	// A delivery is no statement of a tenant either.
	if a := w.do("GET", "/api/pets", "", with(identity.HeaderName, good)); a.status != 401 {
		t.Errorf("a delivery passes for a tenant: %d %s", a.status, a.body)
	}
	if n := len(w.access("").Records); n != 0 {
		t.Errorf("%d records were taken", n)
	}
	w.expect(204, w.deliver(oneRecord))
	w.expect(204, w.deliver(oneRecord)) // the answer was lost
	page := w.access("")
	if len(page.Records) != 1 || page.Records[0].ID != "a-1" || strings.Join(page.Records[0].Claimed, " ") != "host=acme header=globex" ||
		!page.Records[0].Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)) {
		t.Errorf("got %+v", page)
	}
}

func TestDeliveriesAndRecordsAreHiddenFromTenantsSites(t *testing.T) {
	w := newWorld(t)
	missing := w.do("POST", "/no/such/thing", oneRecord, w.as("acme"))
	if missing.status != 404 {
		t.Fatalf("got %d", missing.status)
	}
	for name, a := range map[string]answer{
		"delivery":          w.deliver(oneRecord, w.as("acme")),
		"another method":    w.do("GET", "/internal/audit", "", w.as("acme")),
		"not a statement":   w.deliver(oneRecord, with(identity.HeaderName, "x")),
		"reading":           w.do("GET", "/api/admin/audit", "", w.as("acme"), operator),
		"reading by a user": w.do("GET", "/api/admin/audit", "", w.asUser("acme", "ann", "admin")),
	} {
		if a.status != 404 || a.body != missing.body {
			t.Errorf("%s: got %d %s, expected %s", name, a.status, a.body, missing.body)
		}
	}
	if a := w.do("GET", "/api/admin/audit", ""); a.status != 401 {
		t.Errorf("reading without a credential: %d", a.status)
	}
	if a := w.do("GET", "/internal/audit", ""); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Errorf("another method: %d, %v", a.status, a.header)
	}
}

func TestMistakesInDeliveriesAreNamed(t *testing.T) {
	w := newWorld(t)
	record := func(members string) string {
		return `{"records":[{"id":"g","time":"2026-01-02T03:04:05Z","type":"t","count":1},{` + members + `}]}`
	}
	const rest = `,"time":"2026-01-02T03:04:05Z","type":"t","count":1`
	for _, test := range []struct {
		body   string
		status int
		fields string
	}{
		{`{}`, 400, "records"},
		{`[]`, 400, "records"},
		{`{"records":null}`, 400, "records"},
		{`{"records":{}}`, 400, "records"},
		{`{"records":[1]}`, 400, "records"},
		{`{"records":[],"more":1}`, 400, "records"},
		{`{"records":[],"records":[]}`, 400, "records"},
		{`{"records":[]} x`, 400, "records"},
		{record(`"id":"a"` + rest + `,"colour":"red"`), 400, "records"},
		{record(`"id":"a","ID":"b"` + rest), 400, "records"},
		{record(`"id":7` + rest), 400, "records"},
		{record(`"id":"a","time":"yesterday","type":"t","count":1`), 400, "records"},
		{record(`"id":"a","time":"2026-01-02T03:04:05Z","type":"t","count":1.5`), 400, "records"},
		{record(`"id":"a","time":"2026-01-02T03:04:05Z","type":"t","count":-1`), 400, "records[1].count"},
		{record(`"id":"a","claimed":["a",1]` + rest), 400, "records"},
		{record(`"id":"a","path":"` + strings.Repeat("x", 1025) + `"` + rest), 400, "records[1]"},
		{`{"records":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 400, "records"},
		{`{"records":[]}` + strings.Repeat(" ", 1<<20), 413, ""},
		{`{"records":[]}`, 204, ""},
	} {
		a := w.deliver(test.body)
		if a.status != test.status {
			t.Errorf("%.90s: got %d %s, expected %d", test.body, a.status, a.body, test.status)
		} else if a.status != 204 && badFields(t, a) != test.fields {
			t.Errorf("%.90s: got %s, expected %s", test.body, badFields(t, a), test.fields)
		}
	}
	if a := w.deliver(oneRecord, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }); a.status != 415 {
		t.Errorf("another type: %d", a.status)
	}
	if n := len(w.access("").Records); n != 0 {
		t.Errorf("%d records were taken", n)
	}
	for query, field := range map[string]string{
		"?tenant=Not%20A%20Slug": "tenant", "?tenant=a%25": "tenant", "?since=yesterday": "since", "?before=1": "before",
		"?limit=0": "limit", "?limit=1001": "limit", "?limit=x": "limit", "?after=x": "after",
	} {
		if a := w.do("GET", "/api/admin/audit"+query, "", operator); a.status != 400 || badFields(t, a) != field {
			t.Errorf("%s: got %d %s", query, a.status, a.body)
		}
	}
}

// What a gateway delivers must be taken whatever an attacker put into it: it
// would be delivered for ever, and all behind it would wait.
func TestWhateverAnAttackerSentIsTakenFromTheGatewaysOwnRecorder(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.server)
	defer server.Close()
	sink, err := audit.NewHTTP(server.URL + "/internal/audit")
	if err != nil {
		t.Fatal(err)
	}
	sink.SignWith(func(h http.Header, body []byte, now time.Time) error {
		token, err := w.signer.SignAudit(body, now)
		h.Set(identity.HeaderAudit, token)
		return err
	})
	recorder, err := audit.Open(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer recorder.Close()
	values := []string{
		"\x00", "a\x00b", "\x1b[31m\r\n", "\xff", strings.Repeat("\xff", 5000), strings.Repeat("\x00", 300), strings.Repeat("日本", 500), "\u202e\u2028\ufeff", "\U0010ffff",
		`"}]}`, "'; DROP TABLE access_audit; --", "\xed\xa0\x80", strings.Repeat("\\", 256), "%00%ff", " ",
	}
	n := 0
	for _, v := range values {
		recorder.Record(audit.Event{Type: "t", Reason: v, Tenant: v, UserTenant: v, User: v, Method: v, Host: v, Path: v, ClientIP: v, RequestID: v, Claimed: []string{v, v, v, v, v, v, v, v, v, v, v}})
		recorder.Record(audit.Event{Type: "x" + v, Count: 1 << 40})
		n += 2
	}
	for i := range 40 { // and so much of it that it takes several bodies
		recorder.Record(audit.Event{Type: "t", ClientIP: strconv.Itoa(i), Path: strings.Repeat("\x01", 300), User: strings.Repeat("\x02", 300), Claimed: []string{values[5], values[5], values[5], values[5], values[5]}})
		n++
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	page := w.access("?limit=1000")
	if len(page.Records) != n {
		t.Errorf("%d records were taken, expected %d", len(page.Records), n)
	}
	for _, r := range page.Records {
		if strings.ContainsRune(r.Path+r.User, 0) {
			t.Errorf("a NUL came back in %q", r.Path)
		}
	}
}

func TestTheOperatorFindsAttemptsPageByPage(t *testing.T) {
	w := newWorld(t)
	var records []string
	for i := range 7 {
		records = append(records, fmt.Sprintf(`{"id":"r-%d","time":"2026-01-02T03:04:0%dZ","type":"cross_tenant_access_attempt","tenant":"no-such-shop","user_tenant":"acme","user":"ann","count":1}`, i, i))
	}
	w.expect(204, w.deliver(`{"records":[`+strings.Join(records, ",")+`]}`))
	w.expect(204, w.deliver(oneRecord))
	var got []string
	for query := "?limit=3"; ; {
		page := w.access(query)
		for _, r := range page.Records {
			got = append(got, r.ID)
		}
		if page.After == "" {
			break
		}
		query = "?limit=3&after=" + page.After
	}
	if want := "r-6 a-1 r-5 r-4 r-3 r-2 r-1 r-0"; strings.Join(got, " ") != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	for query, want := range map[string]int{
		"?tenant=acme": 8, "?tenant=no-such-shop": 7, "?tenant=globex": 1, "?tenant=initech": 0, "?type=tenant_conflict": 1,
		"?since=2026-01-02T03:04:06Z": 1, "?before=2026-01-02T03:04:02Z": 2, "?tenant=acme&type=cross_tenant_access_attempt&since=2026-01-02T04:04:01%2b01:00&before=2026-01-02T03:04:03Z": 2,
	} {
		if page := w.access(query); len(page.Records) != want || page.After != "" {
			t.Errorf("%s: got %d records and %q, expected %d", query, len(page.Records), page.After, want)
		}
	}
}
