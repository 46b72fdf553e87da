package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestBodyThatCouldBeReadInTwoWaysIsRefusedWithTheFieldNamed(t *testing.T) {
	w := newWorld(t)
	tests := []struct{ name, body, field string }{
		{"empty", " ", "body"},
		{"no object", `["name"]`, "body"},
		{"null", `null`, "body"},
		{"cut off", `{"name":"Rex"`, "body"},
		{"trailing object", `{"name":"Rex","species":"dog"}{}`, "body"},
		{"trailing word", `{"name":"Rex","species":"dog"} x`, "body"},
		{"invalid UTF-8", "{\"name\":\"R\xff\",\"species\":\"dog\"}", "body"},
		{"half a surrogate pair", `{"name":"\ud800","species":"dog"}`, "body"},
		{"the other half", `{"name":"\udc00x","species":"dog"}`, "body"},
		{"a pair in the wrong order", `{"name":"\udc00\ud800","species":"dog"}`, "body"},
		{"depth", `{"name":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, "body"},
		{"the same key twice", `{"name":"Rex","name":"Max","species":"dog"}`, "name"},
		{"the same key escaped", `{"name":"Rex","n\u0061me":"Max","species":"dog"}`, "name"},
		{"the same key in another case", `{"name":"Rex","NAME":"Max","species":"dog"}`, "NAME"},
		{"a key in another case", `{"Name":"Rex","species":"dog"}`, "Name"},
		{"a key twice inside a value", `{"name":{"a":1,"a":2}}`, "a"},
		{"unknown field", `{"name":"Rex","species":"dog","colour":"red"}`, "colour"},
		{"number for text", `{"name":7,"species":"dog"}`, "name"},
		{"huge number", `{"name":1e999,"species":"dog"}`, "name"},
		{"null for text", `{"name":null,"species":"dog"}`, "name"},
		{"text for a list", `{"name":"Rex","species":"dog","tags":"x"}`, "tags"},
		{"number in a list", `{"name":"Rex","species":"dog","tags":["a",2]}`, "tags[1]"},
		{"NUL in text", `{"name":"R\u0000","species":"dog"}`, "body"},
		{"missing fields", `{}`, "name species"},
		{"id", `{"name":"Rex","species":"dog","id":"mine"}`, "id"},
		{"created_at", `{"name":"Rex","species":"dog","created_at":"2020-01-01T00:00:00Z"}`, "created_at"},
		{"tenant_id", `{"name":"Rex","species":"dog","tenant_id":"globex"}`, "tenant_id"},
		{"tenant", `{"tenant":"globex","name":"Rex","species":"dog"}`, "tenant"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := fields(t, w.expect(400, w.do("POST", "/api/pets", tc.body, w.as("acme")))); got != tc.field {
				t.Errorf("got fields %q, expected %q", got, tc.field)
			}
		})
	}
	if l := w.list("acme", ""); len(l.Pets) != 0 {
		t.Errorf("a refused body left %+v", l.Pets)
	}
}

func TestBodyOfAnotherTypeOrSizeIsRefused(t *testing.T) {
	w := newWorld(t)
	pet := `{"name":"Rex","species":"dog"}`
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "application/merge-patch+json"} {
		w.expect(415, w.do("POST", "/api/pets", pet, w.as("acme"), func(r *http.Request) { r.Header.Set("Content-Type", media) }))
	}
	w.expect(201, w.do("POST", "/api/pets", pet, w.as("acme"), func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=UTF-8") }))
	w.expect(413, w.do("POST", "/api/pets", strings.Repeat(" ", maxBody)+pet, w.as("acme")))
}

// FuzzBodyIsReadInOneWayOnly compares with encoding/json: what is accepted
// must be one object in which both read the same.
func FuzzBodyIsReadInOneWayOnly(f *testing.F) {
	for _, s := range []string{`{"name":"a"}`, `{"name":"a","NAME":"b"}`, `{"name":"\ud83d\ude00","tags":["x"]}`, `{"tags":[[[]]]}`, `{"n\u0061me":"x"}`, `{"name":"\\u0041"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var name string
		var tags []string
		if DecodeObject(body, map[string]Field{"name": Text(&name), "tags": Texts("tags", &tags)}) != nil {
			return
		}
		var got struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", body, err)
		}
		if got.Name != name || strings.Join(got.Tags, "\x00") != strings.Join(tags, "\x00") {
			t.Fatalf("read %q as %q %q, encoding/json as %q %q", body, name, tags, got.Name, got.Tags)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		for key := range members {
			if key != "name" && key != "tags" {
				t.Fatalf("accepted %q with the unknown key %q", body, key)
			}
		}
	})
}

// FuzzOnlySealedCursorsOpen looks for a cursor that opens without having been
// sealed.
func FuzzOnlySealedCursorsOpen(f *testing.F) {
	c := cursors{key: []byte(strings.Repeat("k", 32))}
	a, b := slugs("acme", "globex")
	f.Add(c.seal(a, "", "abc"))
	f.Add(c.seal(b, "", "abc"))
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		after, ok := c.open(a, "", cursor)
		if ok && c.seal(a, "", after) != cursor {
			t.Fatalf("opened %q, whose only spelling is %q", cursor, c.seal(a, "", after))
		}
		if _, both := c.open(b, "", cursor); ok && both {
			t.Fatalf("%q opens for two tenants", cursor)
		}
	})
}
