package edge

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// nameserver is the authority for one zone, whose TXT records can be changed
// over HTTP.
type nameserver struct {
	zone    string
	Address string // by UDP and TCP
	URL     string // takes {"name", "type", "data"} by POST and DELETE

	mu  sync.Mutex
	txt map[string][]string
}

func startNameserver(t testing.TB, zone string) *nameserver {
	t.Helper()
	n := &nameserver{zone: dns.Fqdn(zone), txt: make(map[string][]string)}
	n.Address = "127.0.0.1:" + port(harness.FreePort(t))
	conn, err := net.ListenPacket("udp", n.Address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", n.Address)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: conn, Handler: n}, {Listener: listener, Handler: n}} {
		go func() { _ = server.ActivateAndServe() }()
	}
	t.Cleanup(func() {
		conn.Close()
		listener.Close()
	})
	n.URL = "http://" + listenBackend(t, http.HandlerFunc(n.change))
	return n
}

// ServeDNS answers TXT and SOA. Every other question about the zone has the
// answer that there is nothing of that type, with the SOA that clients go by
// to find the zone.
func (n *nameserver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	soa := &dns.SOA{
		Hdr: dns.RR_Header{Name: n.zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1},
		Ns:  "ns." + n.zone, Mbox: "hostmaster." + n.zone, Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1,
	}
	n.mu.Lock()
	values := slices.Clone(n.txt[name])
	n.mu.Unlock()
	switch {
	case !dns.IsSubDomain(n.zone, name):
		m.Rcode = dns.RcodeRefused
	case kind == dns.TypeSOA && name == n.zone:
		m.Answer = []dns.RR{soa}
	case kind == dns.TypeTXT && len(values) > 0:
		for _, v := range values {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{v}})
		}
	default:
		m.Ns = []dns.RR{soa}
	}
	_ = w.WriteMsg(m)
}

func (n *nameserver) change(w http.ResponseWriter, r *http.Request) {
	var rr struct{ Name, Type, Data string }
	if err := json.NewDecoder(r.Body).Decode(&rr); err != nil || rr.Type != "TXT" {
		http.Error(w, "expected a TXT record", http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := strings.ToLower(dns.Fqdn(rr.Name))
	if r.Method == http.MethodPost {
		n.txt[name] = append(n.txt[name], rr.Data)
	} else {
		n.txt[name] = slices.DeleteFunc(n.txt[name], func(v string) bool { return v == rr.Data })
	}
	w.WriteHeader(http.StatusNoContent)
}

// left is the number of records that nobody has deleted.
func (n *nameserver) left() (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, values := range n.txt {
		count += len(values)
	}
	return count
}
