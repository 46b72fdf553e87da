package controlapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// read decodes an answer's body.
func read[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("reading %s: %v", a.body, err)
	}
	return v
}

type keyAnswer struct {
	ID, Name, Key string
	Roles         []string
	Expires       *string
	Revoked       *string `json:"revoked_at"`
}

func TestOperatorCreatesListsAndRevokesAPIKeys(t *testing.T) {
	w := newWorld(t)
	const path = "/api/admin/tenants/acme/keys"
	a := w.expect(201, w.do("POST", path, `{"name":"ci","roles":["editor"],"expires":"2999-01-01T00:00:00Z"}`, operator))
	made := read[keyAnswer](t, a)
	if !strings.HasPrefix(made.Key, "tk_") || made.ID == "" || made.Name != "ci" || len(made.Roles) != 1 || made.Expires == nil || made.Revoked != nil {
		t.Errorf("got %s", a.body)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer with a key may be stored: %v", a.header)
	}
	list := w.expect(200, w.do("GET", path, "", operator))
	keys := read[struct{ Keys []keyAnswer }](t, list).Keys
	if len(keys) != 1 || keys[0].ID != made.ID || strings.Contains(list.body, made.Key[3:]) || strings.Contains(list.body, `"key":`) || strings.Contains(list.body, "hash") {
		t.Errorf("got %s", list.body)
	}
	if strings.Contains(w.log.String(), made.Key[3:]) {
		t.Error("the key is in the log")
	}
	w.expect(404, w.do("DELETE", "/api/admin/tenants/globex/keys/"+made.ID, "", operator))
	w.expect(404, w.do("DELETE", path+"/nothing", "", operator))
	w.expect(204, w.do("DELETE", path+"/"+made.ID, "", operator))
	w.expect(204, w.do("DELETE", path+"/"+made.ID, "", operator))
	keys = read[struct{ Keys []keyAnswer }](t, w.expect(200, w.do("GET", path, "", operator))).Keys
	if len(keys) != 1 || keys[0].Revoked == nil {
		t.Errorf("got %+v, expected a revoked one", keys)
	}
	if got := w.expect(200, w.do("GET", "/api/admin/tenants/globex/keys", "", operator)).body; strings.TrimSpace(got) != `{"keys":[]}` {
		t.Errorf("another tenant's: %s", got)
	}
	events := w.expect(200, w.do("GET", "/api/admin/tenants/acme/events", "", operator)).body
	if !strings.Contains(events, "key.create") || !strings.Contains(events, "key.revoke") || strings.Contains(events, made.Key[3:]) {
		t.Errorf("events: %s", events)
	}
}

func TestOperatorRevokesTokensAndTakesItBack(t *testing.T) {
	w := newWorld(t)
	const path = "/api/admin/revocations"
	type revocation struct {
		ID, Subject, Issuer, Before string
		TokenID                     string `json:"token_id"`
		Until                       *string
	}
	token := read[revocation](t, w.expect(201, w.do("POST", path, `{"token_id":"jti-1","until":"2999-01-01T00:00:00Z"}`, operator)))
	subject := read[revocation](t, w.expect(201, w.do("POST", path, `{"subject":"ann"}`, operator)))
	if token.TokenID != "jti-1" || token.Until == nil || token.Before != "" || subject.Subject != "ann" || subject.Before == "" || subject.Until != nil {
		t.Errorf("got %+v and %+v", token, subject)
	}
	type page struct {
		Revocations []revocation
		After       string `json:"next_after"`
	}
	first := read[page](t, w.expect(200, w.do("GET", path+"?limit=1", "", operator)))
	if len(first.Revocations) != 1 || first.After != first.Revocations[0].ID {
		t.Fatalf("got %+v", first)
	}
	second := read[page](t, w.expect(200, w.do("GET", path+"?limit=1&after="+first.After, "", operator)))
	if len(second.Revocations) != 1 || second.After != "" || second.Revocations[0].ID == first.After {
		t.Errorf("got %+v", second)
	}
	w.expect(204, w.do("DELETE", path+"/"+token.ID, "", operator))
	w.expect(404, w.do("DELETE", path+"/"+token.ID, "", operator))
}

func TestOperatorGivesATenantAnIssuerOfItsOwn(t *testing.T) {
	w := newWorld(t)
	const path, own = "/api/admin/tenants/acme/issuer", `{"issuer":"https://idp.acme.example","jwks":"https://idp.acme.example/keys"}`
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", path, "", 200, `{"issuer":"","jwks":""}`},
		{"PUT", path, own, 200, own},
		{"GET", path, "", 200, own},
		{"PUT", "/api/admin/tenants/globex/issuer", own, 409, ""},
		{"DELETE", path, "", 200, `{"issuer":"","jwks":""}`},
		{"PUT", "/api/admin/tenants/nobody/issuer", own, 404, ""},
	} {
		a := w.expect(step.status, w.do(step.method, step.path, step.body, operator))
		if step.want != "" && strings.TrimSpace(a.body) != step.want {
			t.Errorf("%s %s: got %s, expected %s", step.method, step.path, a.body, step.want)
		}
	}
}

func TestMistakesInCredentialsAreNamedAndTheOperatorIsAsked(t *testing.T) {
	w := newWorld(t)
	const keys, revocations, issuer = "/api/admin/tenants/acme/keys", "/api/admin/revocations", "/api/admin/tenants/acme/issuer"
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", keys, `{}`, "name"},
		{"POST", keys, `{"name":"ci","roles":["a b"]}`, "roles[0]"},
		{"POST", keys, `{"name":"ci","roles":"admin"}`, "roles"},
		{"POST", keys, `{"name":"ci","expires":"tomorrow"}`, "expires"},
		{"POST", keys, `{"name":"ci","expires":"2001-01-01T00:00:00Z"}`, "expires"},
		{"POST", keys, `{"name":"ci","colour":"red"}`, "colour"},
		{"POST", revocations, `{}`, "token_id"},
		{"POST", revocations, `{"token_id":"a","subject":"b"}`, "subject"},
		{"POST", revocations, `{"subject":"b","until":"2001-01-01T00:00:00Z"}`, "until"},
		{"GET", revocations + "?limit=0", "", "limit"},
		{"PUT", issuer, `{}`, "issuer"},
		{"PUT", issuer, `{"issuer":"a","jwks":"http://a.example/"}`, "jwks"},
	} {
		if got := badFields(t, w.expect(400, w.do(c.method, c.path, c.body, operator))); got != c.want {
			t.Errorf("%s %s %s: got fields %q, expected %q", c.method, c.path, c.body, got, c.want)
		}
		w.expect(401, w.do(c.method, c.path, c.body))
		w.expect(404, w.do(c.method, c.path, c.body, operator, w.as("acme")))
	}
	w.expect(404, w.do("POST", "/api/admin/tenants/nobody/keys", `{"name":"ci"}`, operator))
	w.expect(404, w.do("GET", "/api/admin/tenants/nobody/keys", "", operator))
}
