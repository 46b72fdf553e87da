package attacks

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// suspend suspends a tenant and waits until the gateway has noticed.
func (g *target) suspend(slug string) {
	g.t.Helper()
	res := g.Control("PATCH", "/api/admin/tenants/"+slug, `{"status":"suspended"}`)
	if res.Status >= 300 {
		g.t.Fatalf("suspending %q: %d %s", slug, res.Status, res.Body)
	}
	host := slug + ".petstore.localhost"
	harness.Eventually(g.t, patience, "the tenant to be suspended", func() bool {
		return statusOf(g.send(host, get("/", "Host: "+host))) != "200"
	})
	g.rec.Reset()
}

// strangers are hosts that no outsider may tell apart.
func (g *target) strangers() map[string]string {
	g.suspend(fluffy)
	return map[string]string{
		"unknown":   "nobody.petstore.localhost",
		"suspended": fluffyHost,
		"reserved":  "admin.petstore.localhost",
		"encoded":   "xn--nbody-jua.petstore.localhost",
		"malformed": "-nobody.petstore.localhost",
		"too long":  strings.Repeat("n", 64) + ".petstore.localhost",
	}
}

func TestNoAnswerTellsWhichTenantsExist(t *testing.T) {
	g := newTarget(t, nil)
	hosts := g.strangers()
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
		for _, path := range []string{"/", "/api/pets", "/healthz", "/metrics", "/.well-known/jwks.json", "/.well-known/acme-challenge/x", "/api/admin/tenants", "/../x"} {
			for _, lines := range [][]string{nil, {"Origin: https://evil.example", "Access-Control-Request-Method: PUT"}, {"Authorization: Bearer x"}, {"Range: bytes=0-1"}, {"If-None-Match: *"}, {"Accept-Encoding: gzip", "Accept: text/html"}, {"Upgrade: websocket", "Connection: Upgrade"}, {"Expect: 100-continue", "Content-Length: 1"}} {
				if lines != nil && method != "GET" && method != "OPTIONS" {
					continue
				}
				want, status := "", "404"
				if strings.HasPrefix(strings.Join(lines, ""), "Authorization") {
					status = "401" // a bad token is a customer's or nobody's, whatever the name
				}
				for name, host := range hosts {
					// A label of 64 bytes is no server name; all go over one that is.
					answer := g.sendPlainOr(host, request(method, path, append([]string{"Host: " + host}, lines...)...))
					if want == "" {
						want = answer
					}
					if answer != want || statusOf(answer) != status || status == "404" && !g.common(answer) {
						t.Errorf("%s %s %v: %s gets\n%s\nanother\n%s", method, path, lines, name, answer, want)
					}
				}
			}
		}
	}
	g.nothing("strangers")
}

// sendPlainOr sends under the host as server name where it can be one.
func (g *target) sendPlainOr(host, text string) string {
	g.t.Helper()
	if label, _, _ := strings.Cut(host, "."); len(label) > 63 || label[0] == '-' {
		return g.sendWithoutMatch(text)
	}
	return g.send(host, text)
}

// sendWithoutMatch sends under the name of a tenant that does not exist. A
// host that has no normal form is not compared with it.
func (g *target) sendWithoutMatch(text string) string {
	g.t.Helper()
	return g.send("nobody.petstore.localhost", text)
}

func TestHandshakesTellNothingEither(t *testing.T) {
	g := newTarget(t, nil)
	g.suspend(fluffy)
	describe := func(name string) string {
		conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return fmt.Sprintf("%x", conn.ConnectionState().PeerCertificates[0].Raw)
	}
	wildcard := describe(acmeHost)
	for _, name := range []string{fluffyHost, "nobody.petstore.localhost", "admin.petstore.localhost"} {
		if describe(name) != wildcard {
			t.Errorf("%s is shown another certificate than a tenant that exists", name)
		}
	}
	refusal := describe("pets.nobody.example")
	for i := range 200 {
		if got := describe(fmt.Sprintf("a%d.b%d.example", i, rand.IntN(1e9))); got != refusal {
			t.Fatalf("a made-up name gets %.200s, another %.200s", got, refusal)
		}
	}
	if !strings.Contains(refusal, "alert") && !strings.Contains(refusal, "error") {
		t.Errorf("a made-up name gets a certificate: %.100s", refusal)
	}
}

// The times of answers to strangers are compared by the two-sample
// Kolmogorov-Smirnov statistic: the greatest distance between the shares of
// answers that took at most some time. Samples are taken in random order on one
// connection each, so that whatever else the machine does hits all alike. With
// 3,000 of each, two samples of one distribution are further apart than 0.1
// less often than once in 10^12 runs; an attacker who gets less than that
// needs thousands of requests for a guess, and is counted long before.
func TestTheTimeOfARefusalTellsNothing(t *testing.T) {
	g := newTarget(t, nil)
	g.suspend(fluffy)
	g.sameTimes(http.StatusNotFound, "/api/pets", []string{"nobody-friends.petstore.localhost", fluffyHost, "nobody-enemies1.petstore.localhost"})
}

// A token is verified also where it is refused in any case, since members of a suspended
// tenant are told more. One costs the same everywhere.
func TestTheTimeOfARefusedTokenTellsNothing(t *testing.T) {
	platform := newIssuer(8, "platform")
	token := platform.token(`"` + acme + `"`)
	forged := token[:len(token)-10] + "AAAAAAAAAA"
	for name, test := range map[string]struct {
		token  string
		status int
		hosts  []string
	}{
		"forged":                 {forged, http.StatusUnauthorized, []string{"nobody-friends.petstore.localhost", fluffyHost, "nobody-enemies1.petstore.localhost"}},
		"of another, suspended":  {token, http.StatusNotFound, []string{"nobody-friends.petstore.localhost", fluffyHost, "nobody-enemies1.petstore.localhost"}},
		"of another, that is up": {token, http.StatusNotFound, []string{"nobody-and-claws.petstore.localhost", harness.Host(harness.Paws), "nobody-with-claws.petstore.localhost"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newAuthTarget(t, platform)
			g.suspend(fluffy)
			g.sameTimes(test.status, "/x", test.hosts, "Authorization: Bearer "+test.token)
		})
	}
}

// sameTimes compares how long three hosts take to refuse a request in the same way.
func (g *target) sameTimes(status int, path string, hosts []string, lines ...string) {
	g.t.Helper()
	const samples, threshold = 3000, 0.1
	times := make([][]time.Duration, len(hosts))
	type client struct {
		conn *tls.Conn
		r    *bufio.Reader
	}
	clients := make([]client, len(hosts))
	for i, host := range hosts {
		conn, err := tls.Dial("tcp", g.address(), &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			g.t.Fatal(err)
		}
		g.t.Cleanup(func() { conn.Close() })
		clients[i] = client{conn, bufio.NewReader(conn)}
	}
	ask := func(i int) time.Duration {
		text := "GET " + path + " HTTP/1.1\r\n" + strings.Join(append([]string{"Host: " + hosts[i]}, lines...), "\r\n") + "\r\n\r\n"
		begin := time.Now()
		if _, err := io.WriteString(clients[i].conn, text); err != nil {
			g.t.Fatal(err)
		}
		res, err := http.ReadResponse(clients[i].r, nil)
		if err != nil {
			g.t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != status {
			g.t.Fatalf("%s: status %d", hosts[i], res.StatusCode)
		}
		return time.Since(begin)
	}
	for range 200 {
		for i := range hosts {
			ask(i)
		}
	}
	for range samples {
		for _, i := range rand.Perm(len(hosts)) {
			times[i] = append(times[i], ask(i))
		}
	}
	for i := range hosts {
		for j := range i {
			d := distance(times[i], times[j])
			g.t.Logf("%s and %s: distance %.3f", hosts[i], hosts[j], d)
			if d > threshold {
				g.t.Errorf("%s and %s are told apart: distance %.3f, want at most %.2f", hosts[i], hosts[j], d, threshold)
			}
		}
	}
}

// distance is the Kolmogorov-Smirnov statistic of two samples.
func distance(a, b []time.Duration) float64 {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	var i, j int
	most := 0.0
	for i < len(a) && j < len(b) {
		x := min(a[i], b[j])
		for i < len(a) && a[i] <= x {
			i++
		}
		for j < len(b) && b[j] <= x {
			j++
		}
		most = max(most, float64(i)/float64(len(a))-float64(j)/float64(len(b)), float64(j)/float64(len(b))-float64(i)/float64(len(a)))
	}
	return most
}

func TestTheDistanceOfSamplesIsMeasuredRight(t *testing.T) {
	one := []time.Duration{1, 2, 3, 4}
	if d := distance(one, one); d != 0 {
		t.Errorf("of a sample from itself: %v", d)
	}
	if d := distance(one, []time.Duration{5, 6}); d != 1 {
		t.Errorf("of samples apart: %v", d)
	}
	if d := distance(one, []time.Duration{3, 4, 5, 6}); d != 0.5 {
		t.Errorf("of samples that overlap by half: %v", d)
	}
}
