package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit/redistest"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// A gateway that starts while neither its database nor Redis is there knows what
// it knew: whom to serve, how much, and whose keys were good.
func TestAGatewayStartsWithoutDatabaseAndRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := harness.StartStack(t, harness.Options{Recorder: harness.StartRecorder(t), Env: []string{"REDIS_URL=" + redis.URL()}})
	var good, bad struct{ ID, Key string }
	keys := "/api/admin/tenants/" + harness.Acme + "/keys"
	control(t, s, http.MethodPost, keys, `{"name":"good","roles":["editor"]}`, http.StatusCreated, &good)
	control(t, s, http.MethodPost, keys, `{"name":"bad","roles":["editor"]}`, http.StatusCreated, &bad)
	ask := func(slug, key string) int {
		r := harness.Request{Host: harness.Host(slug), Path: "/api/pets"}
		if key != "" {
			r.Header = http.Header{"X-Api-Key": {key}}
		}
		res, err := s.Try(r)
		if err != nil {
			return 0
		}
		return res.Status
	}
	harness.Eventually(t, inForce, "both keys to be good", func() bool {
		return ask(harness.Acme, good.Key) == 200 && ask(harness.Acme, bad.Key) == 200
	})
	control(t, s, http.MethodDelete, keys+"/"+bad.ID, "", http.StatusNoContent, nil)
	control(t, s, http.MethodPatch, "/api/admin/tenants/"+harness.Fluffy, `{"status":"suspended"}`, http.StatusOK, nil)
	harness.Eventually(t, inForce, "the changes to be in force", func() bool {
		return ask(harness.Acme, bad.Key) == 401 && ask(harness.Fluffy, "") == 404
	})
	if code := s.Gateway.Stop(); code != 0 {
		t.Fatalf("the gateway ended with %d", code)
	}
	s.Petstore.Kill()
	redis.Kill()
	for _, name := range []string{"petstore.db", "petstore.db-wal", "petstore.db-shm"} {
		if err := os.Remove(s.Path("data/" + name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}

	s.Gateway.Start()
	harness.Eventually(t, 30*time.Second, "a known tenant to be served", func() bool { return ask(harness.Acme, "") == 200 })
	for name, test := range map[string]struct {
		slug, key string
		want      int
	}{
		"a good key": {harness.Acme, good.Key, 200}, "a revoked one": {harness.Acme, bad.Key, 401},
		"a suspended tenant": {harness.Fluffy, "", 404}, "an unknown one": {"no-such-shop", "", 404},
	} {
		harness.Eventually(t, 30*time.Second, name+" to be answered", func() bool { return ask(test.slug, test.key) != 503 })
		if got := ask(test.slug, test.key); got != test.want {
			t.Errorf("%s: status %d; want %d", name, got, test.want)
		}
	}
	if age := metric(t, s, "caddy_tenancy_credentials_age_seconds"); age <= 0 {
		t.Errorf("the age of the credentials is %v", age)
	}
	for _, said := range []string{"going on with the tenants of the last run", "going on with the credentials of the last run"} {
		if !strings.Contains(s.Gateway.Log(), said) {
			t.Errorf("the log does not say %q", said)
		}
	}

	// What is damaged is not believed, and named.
	if code := s.Gateway.Stop(); code != 0 {
		t.Fatalf("the gateway ended with %d", code)
	}
	files, err := filepath.Glob(s.Path("data/caddy/tenancy/*.snapshot"))
	if err != nil || len(files) != 2 {
		t.Fatalf("saved: %q, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Gateway.Start()
	harness.Eventually(t, 30*time.Second, "the gateway to answer 503", func() bool { return ask(harness.Acme, "") == 503 })
	harness.Eventually(t, 30*time.Second, "the damage to be named", func() bool {
		log := s.Gateway.Log()
		return strings.Contains(log, "restoring the tenants' snapshot: the checksum is wrong") && strings.Contains(log, "restoring the credentials: the checksum is wrong")
	})
}
