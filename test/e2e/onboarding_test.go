package e2e

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestANewTenantsAdministratorGetsInByTheOneTimeTokenAndConfiguresTheTenant(t *testing.T) {
	s := harness.StartStack(t, harness.Options{})
	res := s.Control(http.MethodPost, "/api/admin/tenants", `{"slug":"new-shop","name":"New","plan":"basic"}`)
	var created struct {
		Token string `json:"one_time_token"`
	}
	if err := json.Unmarshal([]byte(res.Body), &created); err != nil || res.Status != http.StatusCreated || created.Token == "" {
		t.Fatalf("creating: status %d, %v\n%s", res.Status, err, res.Body)
	}
	ask := func(method, path, body, key string) *harness.Response {
		r := harness.Request{Method: method, Host: harness.Host("new-shop"), Path: path, Body: body}
		if key != "" {
			r.Header = http.Header{"Authorization": {"Bearer " + key}}
		}
		return s.Do(r)
	}
	harness.Eventually(t, 10*time.Second, "the gateway serves the new tenant", func() bool {
		return ask(http.MethodGet, "/api/pets", "", "").Status == http.StatusOK
	})
	redeem := func() *harness.Response {
		return ask(http.MethodPost, "/api/token", `{"one_time_token":"`+created.Token+`"}`, "")
	}
	res = redeem()
	var key struct{ Token string }
	if err := json.Unmarshal([]byte(res.Body), &key); err != nil || res.Status != http.StatusOK {
		t.Fatalf("exchanging the token: status %d, %v\n%s", res.Status, err, res.Body)
	}
	if res := redeem(); res.Status != http.StatusForbidden {
		t.Errorf("exchanging it again: status %d", res.Status)
	}
	const config = "/api/config/page_size"
	if res := ask(http.MethodPut, config, `{"value":2}`, ""); res.Status != http.StatusUnauthorized {
		t.Errorf("configuring without a key: status %d\n%s", res.Status, res.Body)
	}
	harness.Eventually(t, 10*time.Second, "the gateway knows the key", func() bool {
		return ask(http.MethodPut, config, `{"value":2}`, key.Token).Status == http.StatusOK
	})
	if res := ask(http.MethodGet, config, "", s.Token("new-shop", "editor")); res.Status != http.StatusForbidden {
		t.Errorf("reading the configuration as an editor: status %d\n%s", res.Status, res.Body)
	}
	other := harness.Request{Method: http.MethodPut, Host: harness.Host(harness.Acme), Path: config, Body: `{"value":2}`, Header: http.Header{"Authorization": {"Bearer " + key.Token}}}
	if res := s.Do(other); !refusedByGateway(res) {
		t.Errorf("another tenant's configuration: status %d\n%s", res.Status, res.Body)
	}
}
