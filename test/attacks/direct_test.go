package attacks

import (
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// What an attacker in the backend's network would try, past the gateway.
func TestTheBackendBelievesNoIdentityButTheGateways(t *testing.T) {
	rec := harness.StartRecorder(t)
	var g *target
	{
		stack := harness.StartStack(t, harness.Options{Recorder: rec, Caddyfile: roomy(t)})
		g = &target{Stack: stack, t: t, rec: rec}
	}
	rec.Reset()
	statementOf := func(slug string) string {
		r := g.send(slug+".petstore.localhost", get("/", "Host: "+slug+".petstore.localhost"))
		if statusOf(r) != "200" {
			t.Fatal(r)
		}
		defer rec.Reset()
		return rec.Requests()[0].Header.Get("Tenant-Identity")
	}
	statement := statementOf(acme)
	direct := func(headers ...string) int {
		return g.Plain("GET", g.Backend, "/api/pets", "", headers...).Status
	}
	if got := direct("Tenant-Identity", statement); got != 200 {
		t.Fatalf("the gateway's own statement: %d", got)
	}
	mine := newIssuer(0, "x")
	part := strings.Split(statement, ".")
	otherAudience := strings.Replace(decode(t, part[1]), `"aud":"petstore"`, `"aud":"other"`, 1)
	for name, value := range map[string]string{
		"none": b64([]byte(`{"alg":"none","typ":"tenant-identity+jwt"}`)) + "." + part[1] + ".", "no signature": part[0] + "." + part[1] + ".", "own key": mine.sign(decode(t, part[0]), decode(t, part[1])), "plain slug": acme,
		"own key, own id": mine.sign(`{"alg":"EdDSA","typ":"tenant-identity+jwt","kid":"x"}`, decode(t, part[1])), "signature of another tenant": part[0] + "." + strings.Split(statementOf(fluffy), ".")[1] + "." + part[2],
		"another audience": part[0] + "." + b64([]byte(otherAudience)) + "." + part[2], "cut": statement[:len(statement)-5], "with a space": " " + statement + " x", "twice": statement + "," + statement, "empty": "", "long": strings.Repeat("a", 10_000),
	} {
		if got := direct("Tenant-Identity", value); got != 401 {
			t.Errorf("%s: %d, want 401", name, got)
		}
	}
	for _, header := range []string{"X-Tenant-ID", "Authorization", "Tenant_Identity"} {
		if got := direct(header, statement); got != 401 {
			t.Errorf("in %s: %d, want 401", header, got)
		}
	}
}
