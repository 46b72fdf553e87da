package attacks

import (
	"strings"
	"testing"
)

// hostLine is the Host line of the tenant that the attacker is a customer of.
const hostLine = "Host: " + acmeHost

func TestATenantHeaderThatIsNotAskedForIsRemovedInEverySpelling(t *testing.T) {
	g := newTarget(t, nil)
	for _, name := range []string{
		"X-Tenant-ID", "x-tenant-id", "X-TENANT-ID", "X_Tenant_ID", "X-Tenant_ID", "x.tenant.id", "X_TENANT-ID",
		"X-Tenant-Plan", "x_tenant_plan", "Tenant-Identity", "Tenant_Identity", "tenant.identity", "TENANT_IDENTITY",
		"Tenant-Audit", "tenant_audit", "Tenant.Audit", "TENANT_AUDIT",
	} {
		for _, value := range []string{fluffy, acme + "," + fluffy, "", " ", "\t" + fluffy, strings.Repeat(fluffy, 700)} {
			answer := g.send(acmeHost, get("/", hostLine, name+": "+value))
			g.served(name+": "+value, answer, acme)
			g.served(name+" twice", g.send(acmeHost, get("/", name+": "+value, hostLine, name+": "+fluffy)), acme)
		}
	}
	for _, line := range []string{"X-Tenant-ID: a\x00b", "X-Tenant-ID : " + fluffy, " X-Tenant-ID: " + fluffy, "X-Tenant-ID", "X-Tenant-ID\x00: x", "X-Tenant\u2010ID: x"} {
		g.refused(line, g.send(acmeHost, get("/", hostLine, line)))
	}
}

func TestConnectionDoesNotRemoveWhatTheGatewayAdds(t *testing.T) {
	g := newTarget(t, nil)
	for _, value := range []string{
		"X-Tenant-ID, Tenant-Identity", "x-tenant-id", "close, Tenant-Identity, X-Tenant-Plan", "Tenant-Identity\r\nConnection: X-Tenant-ID", "X-Forwarded-For, X-Forwarded-Host", ",,Tenant-Identity,,", "\tTenant-Identity\t",
	} {
		r := g.served("Connection: "+value, g.send(acmeHost, get("/", hostLine, "Connection: "+value)), acme)
		if r != nil && (r.Header.Get("X-Forwarded-For") == "" || r.Header.Get("X-Tenant-Plan") != "free") {
			t.Errorf("Connection: %q: the backend got %v", value, r.Header)
		}
	}
}

func TestTrailersDoNotNameATenant(t *testing.T) {
	g := newTarget(t, nil)
	const chunked = "Transfer-Encoding: chunked"
	for name, text := range map[string]string{
		"declared":   request("POST", "/", hostLine, chunked, "Trailer: X-Tenant-ID, Tenant-Identity") + "1\r\nx\r\n0\r\nX-Tenant-ID: " + fluffy + "\r\nTenant-Identity: " + fluffy + "\r\n\r\n",
		"undeclared": request("POST", "/", hostLine, chunked) + "1\r\nx\r\n0\r\nX-Tenant-ID: " + fluffy + "\r\n\r\n",
		"with TE":    request("POST", "/", hostLine, chunked, "TE: trailers", "Trailer: X_Tenant_ID") + "1\r\nx\r\n0\r\nX_Tenant_ID: " + fluffy + "\r\n\r\n",
	} {
		r := g.served(name, g.send(acmeHost, text), acme)
		if r != nil && len(r.Trailer) > 0 {
			t.Errorf("%s: the backend got trailers %v", name, r.Trailer)
		}
	}
	for _, name := range []string{"Transfer-Encoding", "Content-Length", "Host"} {
		answer := g.send(acmeHost, request("POST", "/", hostLine, chunked, "Trailer: "+name)+"1\r\nx\r\n0\r\n"+name+": 5\r\n\r\n")
		if statusOf(answer) != "200" {
			g.refused("Trailer: "+name, answer)
		} else {
			g.served("Trailer: "+name, answer, acme)
		}
	}
}

func TestWhereTheHeaderIsAskedForItMustAgreeAndBeOne(t *testing.T) {
	g := newTarget(t, everyWay(t))
	g.served("host alone", g.send(acmeHost, get("/api", hostLine)), acme)
	g.served("both", g.send(acmeHost, get("/api", hostLine, "X-Tenant-ID: "+acme)), acme)
	for _, lines := range [][]string{
		{"X-Tenant-ID: " + fluffy}, {"X-Tenant-ID: nobody"}, {"X-Tenant-ID: " + acme, "X-Tenant-ID: " + acme}, {"X-Tenant-ID: " + acme, "X-Tenant-ID: " + fluffy},
		{"X-Tenant-ID: " + acme + "," + acme}, {"X-Tenant-ID: " + acme + ", " + fluffy}, {"X-Tenant-ID: "}, {"X-Tenant-ID: ACME-PETS"}, {"X-Tenant-ID: " + acme + " " + fluffy},
		{"X-Tenant-ID: \u0430cme-pets"}, {"X-Tenant-ID: " + strings.Repeat("a", 10_000)}, {"X-Tenant-ID: \"" + acme + "\""}, {"X-Tenant-ID: " + acme + ";v=1"}, {"X-Tenant-ID: " + acme + "\x00"}, {"X-Tenant-ID: *"}, {"X-Tenant-ID: %61cme-pets"},
		{"X_Tenant_ID: " + fluffy}, {"X-Tenant_ID: " + acme, "X-Tenant-ID: " + acme}, {"X-Tenant-ID: " + acme, "X-Tenant.ID: " + fluffy},
	} {
		answer := g.send(acmeHost, get("/api", append([]string{hostLine}, lines...)...))
		if strings.ContainsAny(strings.Join(lines, ""), "_.") && statusOf(answer) == "200" {
			g.served(lines[0], answer, acme) // the odd spelling was dropped by the server, before any module
			continue
		}
		g.refused(strings.Join(lines, " "), answer)
	}
	g.served("path and header", g.send("petstore.localhost", get("/"+fluffy, "Host: petstore.localhost", "X-Tenant-ID: "+fluffy)), fluffy)
	g.refused("path against header", g.send("petstore.localhost", get("/"+acme, "Host: petstore.localhost", "X-Tenant-ID: "+fluffy)))
	if !strings.Contains(g.audit(), `"type":"tenant_conflict"`) {
		t.Errorf("no conflict in the audit trail: %s", g.audit())
	}
}

func TestAForgedAddressIsNoOtherClient(t *testing.T) {
	g := newTarget(t, func(s string) string { return s })
	left := ""
	for _, line := range []string{
		"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 198.51.100.2, 198.51.100.3", "X-Real-IP: 198.51.100.4", "True-Client-IP: 198.51.100.5", "Forwarded: for=198.51.100.6",
		"CF-Connecting-IP: 198.51.100.7", "X-Client-IP: 198.51.100.8", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: [2001:db8::1]", "X-Forwarded-For: unknown\r\nX-Forwarded-For: x",
	} {
		answer := g.send(acmeHost, get("/", hostLine, line))
		r := g.served(line, answer, acme)
		now := fieldOf(answer, "X-RateLimit-Remaining")
		if left != "" && now != less(t, left) {
			t.Errorf("%s: %s requests remain, want one less than %s", line, now, left)
		}
		left = now
		if r != nil && r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s: the backend got X-Forwarded-For %q", line, r.Header.Values("X-Forwarded-For"))
		}
	}
}
