package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzValuesAreCutAndEscapedToOneLineOfASCII(f *testing.F) {
	for _, s := range []string{
		"", "plain", "a\nb\r\n", "\x1b[31mred", `"},{"seq":9`, `\`, "\x00\x7f\u0085\u2028\u202e", "日本", "😀😀", "\xff\xfe", "\xe6\x97",
		strings.Repeat("x", 40), strings.Repeat("é", 20), strings.Repeat("😀", 10), strings.Repeat("\xbf", 40),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const limit = 30
		e := bounded(Event{Type: s, Path: s, Claimed: []string{s}}, limit)
		rec := Record{Event: e}
		line := string(rec.AppendJSON(nil))
		for i := range len(line) {
			if line[i] < 0x20 || line[i] > 0x7e {
				t.Fatalf("byte %#x in %q", line[i], line)
			}
		}
		var got struct {
			Type, Path string
			Claimed    []string
			Count      int64
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if utf8.ValidString(s) && len(s) <= limit && (got.Path != s || got.Type != s || got.Claimed[0] != s) {
			t.Errorf("%q came back as %q", s, got.Path)
		}
		if len(s) > limit && (!strings.HasSuffix(got.Path, " bytes)") || len(e.Path) > limit+40) {
			t.Errorf("%d bytes were cut to %q", len(s), got.Path)
		}
		if utf8.ValidString(s) && !utf8.ValidString(e.Path) {
			t.Errorf("%q was cut inside a character: %q", s, e.Path)
		}
	})
}

func TestARecordHasAFixedOrderOfMembers(t *testing.T) {
	rec := Record{Last: start, Event: Event{
		Time: start, Type: "t", Reason: "r", Tenant: "a", UserTenant: "b", User: "u", Claimed: []string{"c", "d"},
		Method: "GET", Host: "h", Path: "/", ClientIP: "::1", RequestID: "q", Count: 2,
	}}
	const want = `{"time":"2026-03-01T12:00:00.000Z","type":"t","reason":"r","tenant":"a","user_tenant":"b","user":"u","claimed":["c","d"],"method":"GET","host":"h","path":"/","client_ip":"::1","request_id":"q","count":2,"last":"2026-03-01T12:00:00.000Z"}`
	if got := string(rec.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestALongListOfClaimsIsCut(t *testing.T) {
	e := bounded(Event{Claimed: make([]string, 100)}, 10)
	if len(e.Claimed) != maxClaimed+1 || e.Claimed[maxClaimed] != "...(92 more)" {
		t.Errorf("got %q", e.Claimed)
	}
}
