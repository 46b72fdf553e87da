package attacks

import (
	"fmt"
	"strconv"
	"testing"
)

func TestOneTenantHasOneBucketHoweverItIsNamed(t *testing.T) {
	g := newTarget(t, everyWay(t))
	for name, send := range map[string]func() string{
		"host":             func() string { return g.send(acmeHost, get("/", hostLine)) },
		"host in capitals": func() string { return g.send(acmeHost, get("/", "Host: ACME-PETS.petstore.localhost:443")) },
		"host and header":  func() string { return g.send(acmeHost, get("/", hostLine, "X-Tenant-ID: "+acme)) },
		"path":             func() string { return g.send("petstore.localhost", get("/"+acme+"/", "Host: petstore.localhost")) },
		"path and header": func() string {
			return g.send("petstore.localhost", get("/"+acme+"/", "Host: petstore.localhost", "X-Tenant-ID: "+acme))
		},
	} {
		if answer := send(); statusOf(answer) != "200" {
			t.Errorf("%s: %.200q", name, answer)
		}
	}
	answer := g.send(acmeHost, get("/", hostLine))
	if got := fieldOf(answer, "X-RateLimit-Remaining"); got != "999994" {
		t.Errorf("after five requests under five names %s remain, want 999994", got)
	}
}

func TestWhatIsRefusedDebitsNoTenant(t *testing.T) {
	me := newIssuer(0, "good")
	g := newAuthTarget(t, me)
	good := bearer(me.token(`"` + acme + `"`))
	remaining := func() int {
		n, err := strconv.Atoi(fieldOf(g.send(acmeHost, get("/x", hostLine, good)), "X-RateLimit-Remaining"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := remaining()
	for i := range 20 {
		for _, answer := range []string{
			g.send(acmeHost, get("/x", hostLine)), g.send(acmeHost, get("/x", hostLine, bearer("bad"))), g.send(acmeHost, get("/x", hostLine, bearer(me.token(`"`+fluffy+`"`)))),
			g.send("nobody.petstore.localhost", get("/x", fmt.Sprintf("Host: nobody%d.petstore.localhost", i), good)), g.send(acmeHost, request("TRACE", "/x", hostLine, good)), g.send(fluffyHost, get("/x", hostLine, good)),
		} {
			if statusOf(answer) == "200" || fieldOf(answer, "X-RateLimit-Remaining") != "" || fieldOf(answer, "RateLimit") != "" {
				t.Errorf("a refusal shows a limit: %.300q", answer)
			}
		}
	}
	if after := remaining(); after != before-1 {
		t.Errorf("%d requests remained, then %d; want one less", before, after)
	}
}

func TestAQuotaThatIsUsedUpIsOneTenantsAndOneClients(t *testing.T) {
	g := newTarget(t, func(s string) string { return replace(t, "plan free 100/1h", "plan free 3/1h")(s) })
	for i := range 6 {
		answer := g.send(acmeHost, get("/", hostLine, fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", i)))
		want := "200"
		if i >= 3 {
			want = "429"
		}
		if statusOf(answer) != want {
			t.Errorf("request %d: %.200q, want %s", i+1, answer, want)
		}
	}
	g.rec.Reset()
	g.served("another tenant", g.send(fluffyHost, get("/", "Host: "+fluffyHost)), fluffy)
}
