package attacks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A second request hidden in the first: it must never be one of its own to the
// backend, where it would carry whatever identity it likes.
const hidden = "GET /hidden HTTP/1.1\r\nHost: " + fluffyHost + "\r\nTenant-Identity: forged\r\n\r\n"

func TestARequestHidesNoOther(t *testing.T) {
	g := newTarget(t, nil)
	const head = "POST /outer HTTP/1.1\r\n" + hostLine + "\r\nConnection: close\r\n"
	cases := 0
	for name, test := range map[string]struct{ text, want string }{
		"CL.TE":                   {head + "Content-Length: " + fmt.Sprint(len(hidden)+5) + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"TE.CL":                   {head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), "400"},
		"TE.TE":                   {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"TE with a tab":           {head + "Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"TE with vertical tab":    {head + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + hidden, "400 501"},
		"TE: xchunked":            {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"TE: chunked, chunked":    {head + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		"space before colon":      {head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"two lengths":             {head + "Content-Length: 0\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden, "400"},
		"two lengths in one":      {head + "Content-Length: 0, 5\r\n\r\n" + hidden, "400"},
		"length with plus":        {head + "Content-Length: +0\r\n\r\n" + hidden, "400"},
		"length in hex":           {head + "Content-Length: 0x0\r\n\r\n" + hidden, "400"},
		"negative length":         {head + "Content-Length: -1\r\n\r\n" + hidden, "400"},
		"bare LF":                 {strings.ReplaceAll(head, "\r\n", "\n") + "Content-Length: 0\n\n" + hidden, "400"},
		"bare CR in a value":      {head + "X: a\rContent-Length: 0\r\n\r\n" + hidden, "400"},
		"chunk size overflow":     {head + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + hidden, "400"},
		"chunk extension with LF": {head + "Transfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n" + hidden, "400"},
		"chunk without CRLF":      {head + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n" + hidden, "400"},
		"body of a GET":           {"GET /outer HTTP/1.1\r\n" + hostLine + "\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden, "200"},
		"CRLF in the path":        {"GET /outer%0d%0aHost:%20" + fluffyHost + " HTTP/1.1\r\n" + hostLine + "\r\nConnection: close\r\n\r\n", "200 400"},
		"CRLF in a value":         {"GET /outer HTTP/1.1\r\n" + hostLine + "\r\nConnection: close\r\nX-A: a%0d%0aTenant-Identity: x\r\n\r\n", "200"},
		"chunks in HTTP/1.0":      {strings.Replace(head, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden, "400"},
		"the same length twice":   {head + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + hidden, "400"},
		"bare LF in a header":     {head + "X: a\nContent-Length: 0\r\n\r\n" + hidden, "400"},
		"folded length":           {head + "X: a\r\n Content-Length: 0\r\n\r\n" + hidden, "400"},
	} {
		// Each case has a path of its own: what was broken off may reach the
		// backend late.
		cases++
		path := fmt.Sprintf("/outer/%d/", cases)
		answer := g.send(acmeHost, strings.ReplaceAll(test.text, "/outer", path))
		if s := statusOf(answer); !slices.Contains(strings.Fields(test.want), s) {
			t.Errorf("%s: answered %.200q, want %s", name, answer, test.want)
		}
		if strings.Count(answer, "HTTP/1.1 200") > 1 {
			t.Errorf("%s: two answers: %.600q", name, answer)
		}
	}
	if answer := g.sendAfter(acmeHost, get("/end", hostLine)); statusOf(answer) != "200" {
		t.Errorf("at the end: %.200q", answer)
	}
}

// sendAfter is send for a request behind which the backend is looked at alone.
// It first asserts of all that the backend has seen so far that each outer
// request came once, and none of the hidden ones.
func (g *target) sendAfter(serverName, text string) string {
	g.t.Helper()
	seen := map[string]int{}
	for _, r := range g.rec.Requests() {
		path := r.URL.Path
		if seen[path]++; seen[path] > 1 || !strings.HasPrefix(path, "/outer/") {
			g.t.Errorf("the backend saw %s %d times", r.RequestURI, seen[path])
		}
		g.belongs(path, r, acme)
	}
	g.rec.Reset()
	return g.send(serverName, text)
}

func TestAFoldedLineIsRefused(t *testing.T) {
	g := newTarget(t, nil)
	answer := g.send(acmeHost, get("/", hostLine, "X-Note: a\r\n Tenant-Identity: forged\r\n\tX-Tenant-ID: "+acme))
	if statusOf(answer) != "400" {
		t.Errorf("answered %.200q", answer)
	}
	g.refused("folded", answer)
}

func TestWhatIsLoggedIsOneLineAndEscaped(t *testing.T) {
	g := newTarget(t, func(text string) string {
		return replace(t, "\tlog {\n", "\tlog {\n\t\tlevel DEBUG\n", "(gateway) {", "(gateway) {\n\tlog")(everyWay(t)(text))
	})
	evil := "\x1b[31m\"},{\"level\":\"info\"\u202e\u0085\u2028"
	g.send(acmeHost, get("/%0a%0d%1b"+strings.Repeat("x", 10_000), hostLine, "X-Tenant-ID: "+fluffy, "User-Agent: \"},{\u202e\u0085", "Referer: \\\u2028"))
	g.send(acmeHost, get("/", hostLine, "X-Tenant-ID: "+evil+strings.Repeat("y", 10_000)))
	g.send(acmeHost, get("/", "Host: a"+evil))
	g.send(acmeHost, get("/", hostLine, evil+": x"))
	for line := range strings.Lines(g.audit()) {
		if !json.Valid([]byte(line)) || len(line) > 4096 {
			t.Errorf("in the audit trail: %.300q", line)
		}
		for _, c := range []byte(strings.TrimSuffix(line, "\n")) {
			if c < 0x20 || c > 0x7e {
				t.Errorf("byte %#x in the audit trail: %.300q", c, line)
				break
			}
		}
	}
	log := g.Gateway.Log()
	if !strings.Contains(log, "http.log.access") {
		t.Fatal("there is no access log to look at")
	}
	for line := range strings.Lines(log) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && !json.Valid([]byte(line)) || strings.ContainsAny(line, "\x1b\r") {
			t.Errorf("in the log: %.300q", line)
		}
	}
}

func TestTheAdminInterfaceAnswersNoBrowser(t *testing.T) {
	g := newTarget(t, nil)
	for _, path := range []string{"/tenancy/tenants", "/config/", "/metrics"} {
		raw := func(lines ...string) string {
			return g.rawAdmin("GET " + path + " HTTP/1.1\r\n" + strings.Join(append(lines, "Connection: close"), "\r\n") + "\r\n\r\n")
		}
		for name, lines := range map[string][]string{
			"DNS rebinding": {"Host: evil.example"}, "rebinding with the port": {fmt.Sprintf("Host: evil.example:%d", g.Admin)},
			"another origin": {fmt.Sprintf("Host: 127.0.0.1:%d", g.Admin), "Origin: https://evil.example"}, "no-cors": {fmt.Sprintf("Host: 127.0.0.1:%d", g.Admin), "Sec-Fetch-Mode: no-cors"}, "null origin": {fmt.Sprintf("Host: 127.0.0.1:%d", g.Admin), "Origin: null"},
		} {
			if s := statusOf(raw(lines...)); s != "403" && s != "400" && s != "404" {
				t.Errorf("%s of %s: status %s, want a refusal", name, path, s)
			}
		}
	}
}

func TestAnUploadThatIsBrokenOffHurtsNobodyElse(t *testing.T) {
	g := newTarget(t, nil)
	for range 5 {
		g.send(acmeHost, request("POST", "/", hostLine, "Transfer-Encoding: chunked")+"zz\r\n\r\n")
		g.abort(acmeHost, "POST / HTTP/1.1\r\n"+hostLine+"\r\nContent-Length: 100\r\n\r\nx")
	}
	for range 5 {
		if answer := g.send(fluffyHost, get("/after", "Host: "+fluffyHost)); statusOf(answer) != "200" {
			t.Errorf("another tenant's request: %.300q", answer)
		}
	}
}

func TestHeadersWithoutMeasureAreRefused(t *testing.T) {
	g := newTarget(t, nil)
	g.refused("1 MB in one header", g.send(acmeHost, get("/", hostLine, "X: "+strings.Repeat("x", 1<<20))))
	var many bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&many, "X-%d: %s\r\n", i, strings.Repeat("y", 100))
	}
	g.refused("10,000 headers", g.send(acmeHost, get("/", hostLine, strings.TrimSuffix(many.String(), "\r\n"))))
	g.refused("1 MB of path", g.send(acmeHost, get("/"+strings.Repeat("p", 1<<20), hostLine)))
	g.served("after it", g.send(acmeHost, get("/", hostLine)), acme)
}
