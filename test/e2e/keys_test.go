package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestKeysAndRevocationsActFromTheAdminInterfaceToTheGateway(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { keysAct(t, harness.StartStack(t, harness.Options{})) })
	t.Run("postgres", func(t *testing.T) { keysAct(t, harness.StartStack(t, harness.OnPostgres(t))) })
}

func keysAct(t *testing.T, s *harness.Stack) {
	var made struct{ ID, Key string }
	control(t, s, http.MethodPost, "/api/admin/tenants/"+harness.Acme+"/keys", `{"name":"import","roles":["editor"]}`, http.StatusCreated, &made)
	path := "/api/admin/tenants/" + harness.Acme + "/keys/" + made.ID
	header := func(name, value string) http.Header { return http.Header{name: {value}} }
	key, bearer := header("X-Api-Key", made.Key), header("Authorization", "Bearer "+made.Key)
	addPet := func(slug string, h http.Header) *harness.Response {
		return s.Do(harness.Request{Method: http.MethodPost, Host: harness.Host(slug), Path: "/api/pets", Header: maps.Clone(h), Body: `{"name":"Import","species":"cat"}`})
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		start := time.Now()
		harness.Eventually(t, inForce, what, ok)
		t.Logf("%s: after %v", what, time.Since(start).Round(time.Millisecond))
	}

	await("the key to be good", func() bool { return addPet(harness.Acme, key).Status == http.StatusCreated })
	if res := addPet(harness.Acme, bearer); res.Status != http.StatusCreated {
		t.Errorf("as a bearer token: status %d; want 201\n%s", res.Status, res.Body)
	}
	unknown := addPet("no-such-shop", key)
	for _, h := range []http.Header{key, bearer} {
		if res := addPet(harness.Fluffy, h); res.Status != http.StatusNotFound || res.Body != unknown.Body || len(res.Header) != len(unknown.Header) {
			t.Errorf("on another tenant: %+v; want %+v", res, unknown)
		}
	}
	await("the attempt to be in the audit trail", func() bool {
		trail, _ := os.ReadFile(s.Path("data/audit.jsonl"))
		for line := range strings.Lines(string(trail)) {
			if strings.Contains(line, "cross_tenant_access_attempt") && strings.Contains(line, `"tenant":"`+harness.Fluffy+`"`) &&
				strings.Contains(line, `"user_tenant":"`+harness.Acme+`"`) && strings.Contains(line, `"user":"key:import"`) {
				return true
			}
		}
		return false
	})
	control(t, s, http.MethodDelete, path, "", http.StatusNoContent, nil)
	await("the revoked key to be refused", func() bool { return addPet(harness.Acme, key).Status == http.StatusUnauthorized })

	one, two := s.Token(harness.Acme, "editor"), s.Token(harness.Acme, "editor")
	token := func(text string) int { return addPet(harness.Acme, header("Authorization", "Bearer "+text)).Status }
	if a, b := token(one), token(two); a != http.StatusCreated || b != http.StatusCreated {
		t.Fatalf("the tokens: status %d and %d; want 201", a, b)
	}
	claims := payload(t, one)
	var revoked struct{ ID string }
	control(t, s, http.MethodPost, "/api/admin/revocations", fmt.Sprintf(`{"token_id":%q}`, claims.ID), http.StatusCreated, &revoked)
	await("the revoked token to be refused", func() bool { return token(one) == http.StatusUnauthorized })
	if got := token(two); got != http.StatusCreated {
		t.Errorf("another token of the user: status %d; want 201", got)
	}
	control(t, s, http.MethodDelete, "/api/admin/revocations/"+revoked.ID, "", http.StatusNoContent, nil)
	await("the token to be good again", func() bool { return token(one) == http.StatusCreated })
	control(t, s, http.MethodPost, "/api/admin/revocations", fmt.Sprintf(`{"subject":%q}`, claims.Subject), http.StatusCreated, nil)
	await("the subject's tokens to be refused", func() bool {
		return token(one) == http.StatusUnauthorized && token(two) == http.StatusUnauthorized
	})
	await("a later token of the subject to be good", func() bool { return token(s.Token(harness.Acme, "editor")) == http.StatusCreated })

	// The key itself is kept nowhere.
	logs := s.Gateway.Log() + s.Petstore.Log() + s.Read("data/audit.jsonl")
	if strings.Contains(logs, made.Key[3:]) {
		t.Error("the key is in a log")
	}
}

// control asks the admin interface, expects a status and reads the answer.
func control(t *testing.T, s *harness.Stack, method, path, body string, status int, into any) {
	t.Helper()
	res := s.Control(method, path, body)
	if res.Status != status {
		t.Fatalf("%s %s: status %d; want %d\n%s", method, path, res.Status, status, res.Body)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(res.Body), into); err != nil {
		t.Fatalf("reading %s: %v", res.Body, err)
	}
}

type tokenClaims struct {
	ID      string `json:"jti"`
	Subject string `json:"sub"`
}

// payload reads a token's claims.
func payload(t *testing.T, token string) (claims tokenClaims) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if err != nil || claims.ID == "" || claims.Subject == "" {
		t.Fatalf("reading a token's claims: %+v, %v", claims, err)
	}
	return claims
}
