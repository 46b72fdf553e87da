package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestTimesAreReadInTheUnitThatTheirSizeSays(t *testing.T) {
	for name, test := range map[string]struct {
		value any
		want  time.Time
	}{
		"seconds":                     {int64(1767355200), noon},
		"milliseconds":                {int64(1767355200_000), noon},
		"microseconds":                {int64(1767355200_000_000), noon},
		"nanoseconds":                 {int64(1767355200_000_000_000), noon},
		"seconds, before 1970":        {int64(-86400), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC)},
		"seconds, the day after 1970": {int64(86400), time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)},
		"seconds, the end of 9999":    {int64(253402300799), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		"milliseconds, the end":       {int64(253402300799_999), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)},
		"microseconds, the end":       {int64(253402300799_999_999), time.Date(9999, 12, 31, 23, 59, 59, 999999e3, time.UTC)},
		"a fraction of seconds":       {1767355200.5, noon.Add(time.Second / 2)},
		"a JSON number":               {json.Number("1767355200"), noon},
		"a date":                      {"2026-01-02", noon.Truncate(24 * time.Hour)},
		"as SQLite writes it":         {"2026-01-02 12:00:00", noon},
		"another zone":                {"2026-01-02T13:00:00+01:00", noon},
		"a time":                      {noon, noon},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Instant(test.value); err != nil || !got.Equal(test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
	for _, value := range []any{nil, "soon", true, json.Number("1.5"), 1e300, []any{}} {
		if got, err := Instant(value); err == nil {
			t.Errorf("%v was read as %v", value, got)
		}
	}
}

func TestFieldsTakeTheTypesThatSourcesHave(t *testing.T) {
	for name, test := range map[string]struct {
		field string
		value any
		want  Record
	}{
		"id, a number":                {"id", int64(7), Record{ID: "7"}},
		"id, a JSON number":           {"id", json.Number("7"), Record{ID: "7"}},
		"id, a UUID":                  {"id", [16]byte{1, 15: 2}, Record{ID: "01000000-0000-0000-0000-000000000002"}},
		"name, a number":              {"name", int64(2024), Record{Name: "2024"}},
		"name, a JSON number":         {"name", json.Number("1.50"), Record{Name: "1.50"}},
		"limits, a text":              {"limits", "100/1h tenant:1000/1h", Record{Limits: "100/1h tenant:1000/1h"}},
		"limits, a list":              {"limits", []any{"100/1h", "tenant:1000/1h"}, Record{Limits: "100/1h tenant:1000/1h"}},
		"limits, a list of texts":     {"limits", []string{"100/1h", "10/s"}, Record{Limits: "100/1h 10/s"}},
		"limits, a JSON list as text": {"limits", ` ["100/1h", "10/s"]`, Record{Limits: "100/1h 10/s"}},
		"limits, an empty list":       {"limits", []any{}, Record{}},
		"hosts, a text":               {"hosts", "a.example, b.example", Record{Hosts: []string{"a.example", "b.example"}}},
		"hosts, a JSON list as text":  {"hosts", `["a.example"]`, Record{Hosts: []string{"a.example"}}},
		"anything, missing":           {"status", nil, Record{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got Record
			got.Set(test.field, test.value)
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestFaultsOfFieldsAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		field string
		value any
		want  string
	}{
		"limits, a number":         {"limits", 7.5, `reading field "limits": expected a list of texts, found a number`},
		"limits, a list of others": {"limits", []any{7.5}, `reading field "limits": expected a list of texts, found a number in it`},
		"slug, a number":           {"slug", json.Number("007"), `reading field "slug": expected text, found an integer`},
		"status, empty":            {"status", "", `reading field "status": parsing status ""`},
		"unknown":                  {"region", "eu", `unknown field "region": expected some of id, slug`},
	} {
		t.Run(name, func(t *testing.T) {
			var got Record
			got.Set(test.field, test.value)
			if len(got.Faults) != 1 || got.Faults[0].Field != test.field || !strings.HasPrefix(got.Faults[0].Err.Error(), test.want) {
				t.Errorf("got %v, want %s", got.Faults, test.want)
			}
		})
	}
}

// Whatever a source has, what comes out of it are tenants that keep every promise
// of their type.
func FuzzFields(f *testing.F) {
	f.Add("acme", "t-1", "free", "active", "acme.example, [::1]", "2026-01-02")
	f.Add("acme", "", "", "", `["a.example"]`, "1767355200")
	f.Fuzz(func(t *testing.T, slug, id, plan, status, hosts, created string) {
		r := Record{Row: 1}
		for name, value := range map[string]string{"slug": slug, "id": id, "plan": plan, "status": status, "hosts": hosts, "created_at": created} {
			r.Set(name, value)
		}
		s, c := load(newParser(nil), emptySnapshot(), r)
		if s.Len() != c.added || s.Len()+s.ProblemCount() == 0 {
			t.Fatalf("%+v became %d tenants and %d problems", r, s.Len(), s.ProblemCount())
		}
		for got := range s.All() {
			if _, err := tenant.ParseSlug(got.Slug.String()); err != nil || got.ID == "" || got.Status.String() == "none" || s.BySlug(got.Slug) != got {
				t.Fatalf("%+v, %v", got, err)
			}
			for _, h := range got.Hosts {
				if host, err := tenant.NormalizeHost(h); err != nil || host != h || s.ByHost(h) != got {
					t.Fatalf("host %q of %+v: %v", h, got, err)
				}
			}
		}
		if again, _ := load(newParser(nil), s, r); again != s {
			t.Fatal("the same record made another snapshot")
		}
	})
}
