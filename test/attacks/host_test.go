package attacks

import (
	"strings"
	"testing"
)

func TestTheHostNamesTheTenantInOneSpellingOnly(t *testing.T) {
	g := newTarget(t, plain(t))
	for _, host := range []string{
		acmeHost, "ACME-PETS.Petstore.Localhost", acmeHost + ".", acmeHost + ":8443", "Acme-Pets.petstore.localhost.:443",
		" \t" + acmeHost + " \t", // white space around a value is not part of it (RFC 9110, section 5.5)
	} {
		g.served(host, g.send(acmeHost, get("/", "Host: "+host)), acme)
		g.served(host, g.sendPlain(get("/", "Host: "+host)), acme)
	}
	for _, host := range []string{
		"a." + acmeHost, ".petstore.localhost", "*.petstore.localhost", "petstore.localhost", "", "localhost", "127.0.0.1", "[::1]", "[::1]:8443", "2130706433", "0x7f.1",
		acmeHost + "..", acmeHost + ":", acmeHost + ":x", acmeHost + ":99999999", acmeHost + ":80:80", "acme-pets@" + fluffyHost, "user:pass@" + acmeHost, acmeHost + "@evil.example",
		acmeHost + " " + fluffyHost, acmeHost + "," + fluffyHost, acmeHost + "/x", acmeHost + "?x", acmeHost + "#x", "acme_pets.petstore.localhost", "-acme-pets.petstore.localhost",
		"аcme-pets.petstore.localhost", "xn--cme-pets-7fg.petstore.localhost", "acme\u2024pets.petstore.localhost", "acme-pets\uff0epetstore\uff0elocalhost", "\u212aelly.petstore.localhost", "acme-pets%2epetstore.localhost", "acme-pets\x00.petstore.localhost",
		"acme-pets.petstore.localhost\x00.evil.example", strings.Repeat("a", 64) + ".petstore.localhost", strings.Repeat("a", 300), strings.Repeat("a.", 150) + "petstore.localhost", "acme-pets.petstore.localhost.evil.example", "acme-petspetstore.localhost",
		"www.petstore.localhost", "admin.petstore.localhost", "api.petstore.localhost", "acme-pets'--.petstore.localhost", `acme-pets".petstore.localhost`, "../acme-pets.petstore.localhost", "acme-pets.petstore.localhost;x", "acme pets.petstore.localhost", "acme-pets.petstore.localhost\r", "{http.request.host}",
	} {
		g.refused("Host: "+host, g.sendPlain(get("/", "Host: "+host)))
		g.refused("Host: "+host, g.send(acmeHost, get("/", "Host: "+host)))
	}
}

func TestOneAuthorityDecides(t *testing.T) {
	g := newTarget(t, plain(t))
	g.refused("two Host lines", g.sendPlain(get("/", "Host: "+acmeHost, "Host: "+fluffyHost)))
	g.refused("two equal Host lines", g.sendPlain(get("/", "Host: "+acmeHost, "Host: "+acmeHost)))
	g.refused("no Host line", g.sendPlain(get("/")))
	g.refused("folded Host", g.sendPlain(get("/", "Host: "+acmeHost+"\r\n "+fluffyHost)))
	g.refused("space before the colon", g.sendPlain(get("/", "Host : "+fluffyHost, "Host: "+acmeHost)))
	g.refused("HTTP/1.0 without Host", g.sendPlain("GET / HTTP/1.0\r\n\r\n"))
	g.refused("HTTP/0.9", g.send(acmeHost, "GET /\r\n\r\n"))

	// Absolute form: the target's authority counts (RFC 9112, section 3.2.2).
	for _, scheme := range []string{"https", "http", "ftp"} {
		answer := g.sendPlain(get(scheme+"://"+acmeHost+"/x", "Host: "+fluffyHost))
		if statusOf(answer) == "200" {
			if r := g.served("absolute form", answer, acme); r != nil && r.Host != acmeHost {
				t.Errorf("absolute form: the backend saw host %q", r.Host)
			}
		} else {
			g.refused("absolute form", answer)
		}
	}
	g.refused("absolute form with userinfo", g.sendPlain(get("https://"+acmeHost+"@"+fluffyHost+"/", "Host: "+acmeHost)))
	g.refused("absolute form of nobody", g.sendPlain(get("https://nobody.petstore.localhost/", "Host: "+acmeHost)))
	g.refused("absolute form without authority", g.sendPlain(get("https:///x", "Host: nobody.petstore.localhost")))
}

func TestOtherHeadersDoNotNameTheHost(t *testing.T) {
	g := newTarget(t, nil)
	for _, line := range []string{
		"X-Forwarded-Host: " + fluffyHost, "Forwarded: for=1.2.3.4;host=" + fluffyHost + ";proto=https", "X-Original-Host: " + fluffyHost, "X-Host: " + fluffyHost,
		"X-Forwarded-Server: " + fluffyHost, "X-HTTP-Host-Override: " + fluffyHost, "X-Original-URL: https://" + fluffyHost + "/", "X-Rewrite-URL: /" + fluffy,
		"X-Forwarded-Prefix: /" + fluffy,
	} {
		r := g.served(line, g.send(acmeHost, get("/", "Host: "+acmeHost, line)), acme)
		if r != nil && r.Header.Get("X-Forwarded-Host") != acmeHost {
			t.Errorf("%s: the backend got X-Forwarded-Host %q", line, r.Header.Get("X-Forwarded-Host"))
		}
	}
}

func TestTheServerNameOfTheHandshakeAndTheHostAreOfOneTenant(t *testing.T) {
	g := newTarget(t, nil)
	g.served("same", g.send(fluffyHost, get("/", "Host: "+fluffyHost)), fluffy)
	g.refused("another tenant's", g.send(acmeHost, get("/", "Host: "+fluffyHost)))
	g.refused("another tenant's, in capitals", g.send(acmeHost, get("/", "Host: "+strings.ToUpper(fluffyHost))))
	g.refused("another tenant's, absolute", g.send(acmeHost, get("https://"+fluffyHost+"/", "Host: "+acmeHost)))
}
