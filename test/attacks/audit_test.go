package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// made is a delivery of one record that never happened.
func made(id string) string {
	return fmt.Sprintf(`{"records":[{"id":%q,"time":%q,"type":"made_up","tenant":%q,"count":1}]}`, id, time.Now().UTC().Format(time.RFC3339), fluffy)
}

// forger signs with the gateway's own key, as nobody outside can: a client must
// not get a delivery through even with a good signature.
func forger(t testing.TB, s *harness.Stack) *identity.Signer {
	t.Helper()
	keys, err := identity.LoadKeys(s.Path("data/identity.key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := identity.NewSigner(identity.SignerOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func signed(t testing.TB, signer *identity.Signer, body string, at time.Time) string {
	t.Helper()
	token, err := signer.SignAudit([]byte(body), at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// madeUp are the made-up records in the backend's table.
func madeUp(t testing.TB, s *harness.Stack) (ids []string) {
	t.Helper()
	res := s.Control("GET", "/api/admin/audit?type=made_up", "")
	var page struct{ Records []struct{ ID string } }
	if err := json.Unmarshal([]byte(res.Body), &page); err != nil || res.Status != http.StatusOK {
		t.Fatalf("listing records: %d %s", res.Status, res.Body)
	}
	for _, r := range page.Records {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestAClientCanNeitherWriteNorReadTheAuditTrail(t *testing.T) {
	// Without tenant_auth every credential reaches the backend.
	stack := harness.StartStack(t, harness.Options{Caddyfile: func(text string) string { return shippedAuth.ReplaceAllString(roomy(t)(text), "") }})
	g := &target{Stack: stack, t: t}
	signer := forger(t, stack)
	body := made("through-the-gateway")
	good := signed(t, signer, body, time.Now())
	credential := "Authorization: Bearer " + strings.TrimSpace(g.Read("data/admin.token"))
	post := func(path string, lines ...string) string {
		lines = append(lines, "Host: "+acmeHost, "Content-Type: application/json", fmt.Sprint("Content-Length: ", len(body)))
		return g.send(acmeHost, request("POST", path, lines...)+body)
	}
	for _, name := range []string{"Tenant-Audit", "tenant-audit", "TENANT_AUDIT", "Tenant.Audit", "Tenant_Audit"} {
		for _, path := range []string{"/internal/audit", "//internal/audit", "/internal//audit", "/internal/%61udit", "/internal/audit/", "/./internal/audit", "/x/../internal/audit", "/internal%2faudit", "/INTERNAL/AUDIT", "/internal/audit;x", "/internal/audit?x=/api/pets"} {
			answer := post(path, name+": "+good)
			if status := statusOf(answer); status[0] == '2' || status[0] == '5' {
				t.Errorf("%s on %s: %.200q", name, path, answer)
			}
		}
	}
	for _, lines := range [][]string{
		{"Tenant-Audit: " + good, "Connection: Tenant-Identity"},
		{"Tenant-Audit: " + good, "Connection: Tenant-Identity, X-Tenant-ID, Tenant-Audit"},
		{"Tenant-Audit: " + good, "Tenant-Audit: " + good},
		{"Tenant-Audit: " + good, credential},
		{"Tenant-Audit: " + good, "Tenant-Identity: x", "X-HTTP-Method-Override: POST"},
		{"Tenant-Audit: " + good, "X-Original-URL: /internal/audit"},
	} {
		if answer := post("/internal/audit", lines...); statusOf(answer) != "404" {
			t.Errorf("%v: %.200q", lines, answer)
		}
	}
	for _, path := range []string{"/api/admin/audit", "/api/admin/audit?tenant=" + acme, "/api//admin/audit", "/api/%61dmin/audit", "/internal/audit"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE"} {
			answer := g.send(acmeHost, request(method, path, "Host: "+acmeHost, credential))
			if status := statusOf(answer); status[0] == '2' || status[0] == '5' || strings.Contains(answer, `"records"`) {
				t.Errorf("%s %s: %.200q", method, path, answer)
			}
		}
	}
	if ids := madeUp(t, stack); len(ids) > 0 {
		t.Errorf("records were taken from a client: %q", ids)
	}
}

// What an attacker in the backend's network would try, past the gateway.
func TestTheBackendTakesNoAuditRecordsButTheGateways(t *testing.T) {
	stack := harness.StartStack(t, harness.Options{Caddyfile: roomy(t)})
	signer := forger(t, stack)
	direct := func(body string, headers ...string) int {
		return stack.Plain("POST", stack.Backend, "/internal/audit", body, append(headers, "Content-Type", "application/json")...).Status
	}
	body := made("good")
	good := signed(t, signer, body, time.Now())
	part := strings.Split(good, ".")
	mine := newIssuer(0, "x")
	other := strings.Replace(decode(t, part[1]), `"aud":"petstore"`, `"aud":"other"`, 1)
	for name, value := range map[string]string{
		"nothing": "", "none": b64([]byte(`{"alg":"none","typ":"tenant-audit+jwt"}`)) + "." + part[1] + ".", "no signature": part[0] + "." + part[1] + ".",
		"own key": mine.sign(decode(t, part[0]), decode(t, part[1])), "own key, own id": mine.sign(`{"alg":"EdDSA","typ":"tenant-audit+jwt","kid":"x"}`, decode(t, part[1])),
		"for another body": signed(t, signer, made("other"), time.Now()), "expired": signed(t, signer, body, time.Now().Add(-time.Minute)), "from the future": signed(t, signer, body, time.Now().Add(time.Minute)),
		"another audience": part[0] + "." + b64([]byte(other)) + "." + part[2], "twice": good + "," + good, "long": strings.Repeat("a", 10_000),
		"a token of a user": stack.Token(acme, "admin"),
	} {
		if got := direct(body, "Tenant-Audit", value); got != 401 {
			t.Errorf("%s: %d, want 401", name, got)
		}
	}
	// Whoever serves a tenant sees its statements: they are no deliveries.
	for _, header := range []string{"Authorization", "Tenant-Identity", "X-Tenant-ID"} {
		if got := direct(body, header, good); got != 401 && got != 404 {
			t.Errorf("in %s: %d", header, got)
		}
	}
	for range 3 { // what somebody saw go by and sends again
		if got := direct(body, "Tenant-Audit", good); got != 204 {
			t.Fatalf("the gateway's own: %d", got)
		}
	}
	if ids := madeUp(t, stack); len(ids) != 1 || ids[0] != "good" {
		t.Errorf("the table has %q", ids)
	}
	for _, credential := range []string{"", "Bearer ", "Bearer " + good, "Bearer " + stack.Token(acme, "admin")} {
		if res := stack.Plain("GET", stack.Backend, "/api/admin/audit", "", "Authorization", credential); res.Status != 401 {
			t.Errorf("reading with %.20q: %d %s", credential, res.Status, res.Body)
		}
	}
}
