package attacks

import (
	"strings"
	"testing"
)

func TestTheTenantOfThePathAndThePathForwardedAreOfOneReading(t *testing.T) {
	g := newTarget(t, everyWay(t))
	const plain = "Host: petstore.localhost"
	send := func(path string) string { return g.send("petstore.localhost", get(path, plain)) }
	for path, want := range map[string]string{
		"/" + acme + "/api/pets": "/api/pets", "/" + acme: "/", "/" + acme + "/": "/", "/" + acme + "/a%2Fb": "/a%2Fb", "/" + acme + "/x?y=/" + "z": "/x?y=/z",
		"/" + acme + "/%E2%82%AC": "/%E2%82%AC",
	} {
		if r := g.served(path, send(path), acme); r != nil && (r.RequestURI != want || r.Header.Get("X-Forwarded-Prefix") != "/"+acme) {
			t.Errorf("%s: the backend got %q and prefix %q, want %q", path, r.RequestURI, r.Header.Get("X-Forwarded-Prefix"), want)
		}
	}
	other := "/" + fluffy + "/api/pets"
	for _, path := range []string{
		"/" + acme + "/.." + other, "/" + acme + "/%2e%2e" + other, "/" + acme + "/..%2f" + fluffy + "/api", "/" + acme + "%2f..%2f" + fluffy, "/" + acme + "/.%2e" + other, "/" + acme + "/..;" + other, "/" + acme + "/..\\" + fluffy,
		"/%61cme-pets/api", "/%2561cme-pets/api", "//" + acme + "/api", "///" + acme, "/./" + acme + "/api", "/" + acme + ";x/api", "/" + acme + "\\api", "\\" + acme + "/api", "/" + acme + "%00/api", "/" + acme + "%20/api", "/%20" + acme + "/api",
		"/ACME-PETS/api", "/acme-pets./api", "/acme%2dpets/api", "/xacme-petsx/api", "/api/" + acme, "/x/" + acme + "/api", "/", "", "/nobody/api", "/admin/x", "/../" + acme + "/api", "/%2e/" + acme, "/" + acme + "#/../" + fluffy, "/#/" + acme,
		"/" + acme + "/./api", "/" + acme + "//../" + fluffy, "/*", "/" + acme + ",fluffy-friends/x", "/{http.request.host}/x", "/%c0%af" + acme, "/" + acme + "/\u202e", "/" + acme + "%", "/" + acme + "%zz/x",
	} {
		answer := send(path)
		if statusOf(answer) != "200" {
			g.refused(path, answer)
			continue
		}
		// Served all the same: then as one tenant's, and nothing in what is
		// forwarded leads out of it.
		r := g.rec.Requests()
		if !strings.HasPrefix(path, "/"+acme+"/") || len(r) != 1 || strings.Contains(g.rec.Bytes(), "..") || strings.Contains(strings.ToLower(g.rec.Bytes()), "%2e") {
			t.Errorf("%s: served, and the backend saw %q", path, g.rec.Bytes())
		}
		for _, r := range r {
			g.belongs(path, r, acme)
		}
		g.rec.Reset()
	}
}

func TestWithTheTenantInTheHostAPathLeadsNowhereElse(t *testing.T) {
	g := newTarget(t, nil)
	for _, path := range []string{"/" + acme + "/..", "/a/../b", "//x", "/%2e%2e/x", "/x;y", "/x%00", "/\u20ac"} {
		answer := g.send(acmeHost, get(path, hostLine))
		if statusOf(answer) == "200" {
			g.served(path, answer, acme)
		} else {
			g.refused(path, answer)
		}
	}
}

func TestMethodsThatAreNoRequestsOfATenantHaveAStatedAnswer(t *testing.T) {
	g := newTarget(t, nil)
	for _, text := range []string{
		request("CONNECT", acmeHost+":443", hostLine), request("CONNECT", "/", hostLine), request("TRACE", "/", hostLine), request("OPTIONS", "*", hostLine),
		request("PRI", "*", hostLine), request("GET", "*", hostLine), request("G\x00T", "/", hostLine), request("GET\t", "/", hostLine), request("g{t", "/", hostLine), request("", "/", hostLine), request(strings.Repeat("M", 10_000), "/", hostLine),
	} {
		answer := g.send(acmeHost, text)
		switch statusOf(answer) {
		case "400", "404", "405", "501", "421", "431", "":
		case "200":
			if !strings.HasPrefix(text, "OPTIONS * ") { // the server's own answer (RFC 9110, section 9.3.7)
				t.Errorf("%.60q: answered %.200q", text, answer)
			}
		default:
			t.Errorf("%.60q: answered %.200q", text, answer)
		}
		g.nothing(text[:min(len(text), 60)])
	}
}
