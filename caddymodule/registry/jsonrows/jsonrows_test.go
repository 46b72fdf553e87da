package jsonrows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/jsonrows"
)

const utf8BOM = "\ufeff"

// first reads the only record of a text, which must have no fault.
func first(t *testing.T, parse func([]byte) (*jsonrows.Document, error), text string) registry.Record {
	t.Helper()
	doc, err := parse([]byte(text))
	if err != nil || len(doc.Records) != 1 {
		t.Fatalf("%s: %+v, %v", text, doc, err)
	}
	if len(doc.Records[0].Faults) > 0 {
		t.Fatalf("%s: %v", text, doc.Records[0].Faults)
	}
	return doc.Records[0]
}

func TestEveryFieldIsRead(t *testing.T) {
	want := registry.Record{ID: "7", Slug: "acme", Name: "Ä \"x\" <&>", Plan: "free", Status: "suspended", Limits: "200/1h 10/1s",
		Hosts: []string{"a.example", "b.example"}, Upstreams: []string{"10.0.0.1:80"}, Issuer: "https://i.example", JWKS: "https://i.example/keys",
		Created: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Row: 1}
	for name, test := range map[string]struct {
		parse func([]byte) (*jsonrows.Document, error)
		text  string
	}{
		"JSON": {jsonrows.JSON, `{"tenants": [{"id": 7, "slug": "acme", "name": "\u00c4 \"x\" <&>", "plan": "free", "status": "suspended", "limits": "200/1h 10/1s",
			"hosts": ["a.example", "b.example"], "upstreams": ["10.0.0.1:80"], "issuer": "https://i.example", "jwks": "https://i.example/keys", "created_at": "2026-01-02"}]}`},
		"YAML": {jsonrows.YAML, `tenants: [{id: 7, slug: acme, name: 'Ä "x" <&>', plan: free, status: suspended, limits: 200/1h 10/1s,
			hosts: [a.example, b.example], upstreams: "10.0.0.1:80", issuer: https://i.example, jwks: https://i.example/keys, created_at: 2026-01-02}]`},
		"JSON, written otherwise": {jsonrows.JSON, `{"tenants": [{"\u0073lug": "acme", "id": "7", "name": "Ä \"x\" \u003c&>", "plan": "free", "status": "suspended", "limits": ["200/1h", "10/1s"],
			"hosts": "a.example, b.example", "upstreams": ["10.0.0.1:80"], "issuer": "https://i.example", "jwks": "https://i.example/keys", "created_at": 1767312000}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := first(t, test.parse, test.text)
			got.Line, got.Created = 0, got.Created.UTC()
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestLimitsMayBeAList(t *testing.T) {
	for name, test := range map[string]struct {
		parse func([]byte) (*jsonrows.Document, error)
		text  string
	}{
		"JSON":       {jsonrows.JSON, `[{"slug": "acme", "limits": ["200/1h", "10/1s"]}]`},
		"YAML":       {jsonrows.YAML, "- slug: acme\n  limits: [200/1h, 10/1s]"},
		"YAML block": {jsonrows.YAML, "- slug: acme\n  limits:\n  - 200/1h\n  - 10/1s"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := first(t, test.parse, test.text); r.Limits != "200/1h 10/1s" {
				t.Errorf("limits %q", r.Limits)
			}
		})
	}
}

func TestAByteOrderMarkIsLeftOut(t *testing.T) {
	for name, test := range map[string]struct {
		parse func([]byte) (*jsonrows.Document, error)
		text  string
	}{
		"JSON": {jsonrows.JSON, utf8BOM + `{"tenants": [{"slug": "acme"}]}`},
		"YAML": {jsonrows.YAML, utf8BOM + "tenants:\r\n  - slug: acme\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := first(t, test.parse, test.text); r.Slug != "acme" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestNamesThatLookLikeNumbersStayAsTheyAreWritten(t *testing.T) {
	for name, test := range map[string]struct {
		parse          func([]byte) (*jsonrows.Document, error)
		text           string
		slug, id, name string
	}{
		"JSON":         {jsonrows.JSON, `[{"slug": 123, "name": 1.50, "id": 7}]`, "123", "7", "1.50"},
		"YAML":         {jsonrows.YAML, `[{slug: 123, name: 1.50, id: 7}]`, "123", "7", "1.50"},
		"zeros":        {jsonrows.YAML, `[{slug: 0123, name: 007, id: 00012}]`, "0123", "00012", "007"},
		"other bases":  {jsonrows.YAML, `[{slug: 0x1f, name: 0b11}]`, "0x1f", "", "0b11"},
		"underscores":  {jsonrows.YAML, `[{slug: "1", name: 1_000}]`, "1", "", "1_000"},
		"an exponent":  {jsonrows.YAML, `[{slug: 1e5, name: 1E5}]`, "1e5", "", "1E5"},
		"a date":       {jsonrows.YAML, `[{slug: 2026-01-02, name: 2026-01-02}]`, "2026-01-02", "", "2026-01-02"},
		"no number":    {jsonrows.YAML, `[{slug: a, name: .nan}]`, "a", "", ".nan"},
		"what is long": {jsonrows.JSON, `[{"slug": 123456789012345678901234567890}]`, "123456789012345678901234567890", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if r := first(t, test.parse, test.text); r.Slug != test.slug || r.ID != test.id || r.Name != test.name {
				t.Errorf("slug %q, id %q, name %q", r.Slug, r.ID, r.Name)
			}
		})
	}
}

func TestYAMLRecordsTakeFieldsOver(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"from one base":         {"base: &base {plan: free, limits: 1/1h}\ntenants:\n- {<<: *base, slug: acme}", "acme free 1/1h"},
		"its own go before":     {"base: &base {plan: free, limits: 1/1h}\ntenants:\n- {slug: acme, <<: *base, plan: gold}", "acme gold 1/1h"},
		"from several, in turn": {"a: &a {plan: free}\nb: &b {plan: gold, limits: 1/1h}\ntenants:\n- {<<: [*a, *b], slug: acme}", "acme free 1/1h"},
		"from a base's base":    {"a: &a {limits: 1/1h, plan: gold}\nb: &b {<<: *a, plan: free}\ntenants:\n- {<<: *b, slug: acme}", "acme free 1/1h"},
		"from another record":   {"tenants:\n- &first {slug: globex, plan: free, limits: 1/1h}\n- {<<: *first, slug: acme}", "globex free 1/1h acme free 1/1h"},
		"a whole record":        {"base: &base {slug: acme, plan: free, limits: 1/1h}\ntenants: [*base]", "acme free 1/1h"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := jsonrows.YAML([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range doc.Records {
				got = append(got, r.Slug, r.Plan, r.Limits)
				if len(r.Faults) > 0 {
					t.Error(r.Faults)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A small text must not become a large one, nor one without an end. What is wrong
// with one record costs no other.
func TestAliasesAreBounded(t *testing.T) {
	bomb := func(first, next string) string {
		text := "a0: &a0 " + first + "\n"
		for i := 1; i < 12; i++ {
			aliases := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", ")
			text += fmt.Sprintf("a%d: &a%d %s\n", i, i, fmt.Sprintf(next, aliases))
		}
		return text
	}
	for name, test := range map[string]struct{ text, want string }{
		"lists in lists":      {bomb("[x, x]", "[%s]") + "tenants: [{slug: acme, hosts: *a11}, {slug: globex}]", "excessive aliasing"},
		"bases of bases":      {bomb("{plan: free}", "{<<: [%s]}") + "tenants: [{slug: acme, <<: *a11}, {slug: globex}]", "excessive aliasing"},
		"a record in itself":  {"tenants: [&r {slug: acme, hosts: *r}, {slug: globex}]", "contains itself"},
		"a base of itself":    {"tenants: [&r {slug: acme, <<: *r}, {slug: globex}]", "contains itself"},
		"two bases of itself": {"tenants: [&r {slug: acme, <<: [*r, *r]}, {slug: globex}]", "contains itself"},
		"no base":             {"tenants: [{slug: acme, <<: 5}, {slug: globex}]", "map merge requires map"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := jsonrows.YAML([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			acme, globex := doc.Records[0], doc.Records[1]
			if acme.Slug != "acme" || len(acme.Faults) != 1 || acme.Faults[0].Field != "" || !strings.Contains(acme.Faults[0].Err.Error(), test.want) {
				t.Errorf("%+v, want a fault with %q", acme, test.want)
			}
			if globex.Slug != "globex" || len(globex.Faults) > 0 {
				t.Errorf("%+v", globex)
			}
		})
	}
}

func TestAnUnknownMemberIsANoteOnItsRecord(t *testing.T) {
	for name, test := range map[string]struct {
		parse func([]byte) (*jsonrows.Document, error)
		text  string
	}{
		"JSON": {jsonrows.JSON, `{"tenants": [{"region": "eu", "slug": "acme", "zone": {"a": [1]}, "plan": "free"}, {"slug": "globex"}], "next": {"page": [2]}}`},
		"YAML": {jsonrows.YAML, "tenants:\n- {region: eu, slug: acme, zone: {a: [1]}, plan: free}\n- slug: globex\nnext: {page: [2]}"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := test.parse([]byte(test.text))
			if err != nil || len(doc.Records) != 2 {
				t.Fatalf("%+v, %v", doc, err)
			}
			if r := doc.Records[0]; r.Slug != "acme" || r.Plan != "free" || len(r.Faults) != 1 || r.Faults[0].Field != "region" {
				t.Errorf("%+v", r)
			}
			if r := doc.Records[1]; r.Slug != "globex" || len(r.Faults) > 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAFeedSaysMoreThanItsTenants(t *testing.T) {
	doc, err := jsonrows.JSON([]byte(`{"version": 0, "cursor": "x}]\"", "delta": true, "tenants": [{"slug": "a"}], "removed": ["b"], "total": 9, "empty": true}`))
	if err != nil || *doc.Version != 0 || doc.Cursor != `x}]"` || !doc.Delta || len(doc.Removed) != 1 || *doc.Total != 9 || !doc.Empty {
		t.Fatalf("%+v, %v", doc, err)
	}
	if doc, err = jsonrows.JSON([]byte(`{"tenants": []}`)); err != nil || doc.Version != nil || doc.Total != nil || doc.Empty || doc.Delta {
		t.Errorf("%+v, %v", doc, err)
	}
}

func TestLinesAreThoseOfTheRecords(t *testing.T) {
	for name, test := range map[string]struct {
		parse func([]byte) (*jsonrows.Document, error)
		text  string
		want  string
	}{
		"JSON":      {jsonrows.JSON, "{\n\"tenants\": [\n\n{\"slug\":\n\"a\"},\n{\"slug\": \"b\"}, 5\n]\n}\n", "4 6 6"},
		"YAML":      {jsonrows.YAML, "# tenants\ntenants:\n\n- slug: a\n  hosts:\n  - a\n  - b\n- slug: b\n- 5\n", "4 8 9"},
		"YAML text": {jsonrows.YAML, "base: &b {slug: a}\ntenants:\n- name: |\n    one\n    two\n- *b\n", "3 6"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := test.parse([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for i, r := range doc.Records {
				lines = append(lines, fmt.Sprint(r.Line))
				if r.Row != i+1 {
					t.Errorf("record %d is in row %d", i, r.Row)
				}
			}
			if got := strings.Join(lines, " "); got != test.want {
				t.Errorf("lines %s, want %s", got, test.want)
			}
		})
	}
}
