package attacks

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

var madeUpNames = flag.Int("names", 5000, "how many made-up names are asked for")

// Names cost an attacker nothing, and a series in the metrics costs memory for
// good. Hosts, headers, methods and paths are made up here, on one connection,
// and also over TLS by names of their own.
func TestMadeUpNamesMakeNoMetricSeries(t *testing.T) {
	g := newTarget(t, plain(t))
	series := func() (n int) {
		for line := range strings.Lines(g.Plain("GET", g.Admin, "/metrics", "").Body) {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
				n++
			}
		}
		return n
	}
	// What a tenant's and a refused request have at all, once.
	g.send(acmeHost, get("/", hostLine))
	g.send("nobody.petstore.localhost", get("/", "Host: nobody.petstore.localhost"))
	before := series()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(g.HTTP)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	refused := 0
	for i := range *madeUpNames {
		name := fmt.Sprintf("made-up-%d", rand.IntN(1e9))
		host := []string{name + ".petstore.localhost", name + ".example", acmeHost}[i%3]
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "M%d /%s HTTP/1.1\r\nHost: %s\r\nX-Tenant-ID: %s\r\nUser-Agent: %s\r\n\r\n", rand.IntN(1e9), name, host, name, name)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("name %d: %v", i+1, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode == http.StatusNotFound {
			refused++
		}
	}
	for i := range 100 {
		host := fmt.Sprintf("made-up-%d.petstore.localhost", i)
		g.send(host, get("/", "Host: "+host))
	}
	after := series()
	if before == 0 || after > before+20 {
		t.Errorf("%d series before, %d after %d made-up names", before, after, *madeUpNames)
	}
	if refused < *madeUpNames/2 {
		t.Errorf("only %d of %d names were refused", refused, *madeUpNames)
	}
	if body := g.Plain("GET", g.Admin, "/metrics", "").Body; strings.Contains(body, "made-up") {
		t.Error("a made-up name is in the metrics")
	}
	t.Logf("%d series before and %d after %d made-up names, %d of them refused", before, after, *madeUpNames, refused)
}
