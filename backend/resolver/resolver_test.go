package resolver_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/resolver"
)

// serve answers on one loopback port by UDP and TCP.
func serve(t *testing.T, h dns.HandlerFunc) string {
	t.Helper()
	for range 20 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenPacket("udp", listener.Addr().String())
		if err != nil {
			listener.Close() // the number is taken by UDP; another one, then
			continue
		}
		for _, s := range []*dns.Server{{Listener: listener, Handler: h}, {PacketConn: conn, Handler: h}} {
			go func() { _ = s.ActivateAndServe() }()
		}
		t.Cleanup(func() {
			conn.Close()
			listener.Close()
		})
		return listener.Addr().String()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return ""
}

func record(t *testing.T, s string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

func TestRecordsTheirAbsenceAndSilenceAreToldApart(t *testing.T) {
	many := make([]string, 60)
	for i := range many {
		many[i] = strings.Repeat("x", 60) + string(rune('a'+i%26)) + strings.Repeat("y", i)
	}
	address := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		switch name, kind := q.Question[0].Name, q.Question[0].Qtype; {
		case name == "parts.example." && kind == dns.TypeTXT:
			m.Answer = []dns.RR{record(t, `parts.example. TXT "one" "two"`), record(t, `parts.example. TXT "three"`)}
		case name == "elsewhere.example." && kind == dns.TypeTXT:
			m.Answer = []dns.RR{record(t, `elsewhere.example. CNAME parts.example.`), record(t, `parts.example. TXT "three"`)}
		case name == "many.example." && kind == dns.TypeTXT:
			for _, s := range many {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}, Txt: []string{s}})
			}
			if w.RemoteAddr().Network() == "udp" {
				m.Truncate(1232)
			}
		case name == "www.example." && kind == dns.TypeCNAME:
			m.Answer = []dns.RR{record(t, `www.example. CNAME T1.Hosts.Pets.Example.`), record(t, `t1.hosts.pets.example. CNAME lb.example.`)}
		case name == "gone.example.":
			m.Rcode = dns.RcodeNameError
		case name == "broken.example.":
			m.Rcode = dns.RcodeServerFailure
		case name == "refused.example.":
			m.Rcode = dns.RcodeRefused
		}
		_ = w.WriteMsg(m)
	})
	d, err := resolver.New(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"parts.example": {"onetwo", "three"}, "elsewhere.example": {"three"}, "many.example": many} {
		if got, err := d.TXT(t.Context(), name); err != nil || !slices.Equal(got, want) {
			t.Errorf("TXT %s: %q, %v; want %q", name, got, err, want)
		}
	}
	if got, err := d.CNAME(t.Context(), "www.example"); err != nil || got != "t1.hosts.pets.example" {
		t.Errorf("CNAME: %q, %v", got, err)
	}
	for name, absent := range map[string]bool{"gone.example": true, "empty.example": true, "broken.example": false, "refused.example": false} {
		if _, err := d.TXT(t.Context(), name); err == nil || errors.Is(err, control.ErrNoRecord) != absent {
			t.Errorf("TXT %s: %v; absent: %v", name, err, absent)
		}
		if _, err := d.CNAME(t.Context(), name); err == nil || errors.Is(err, control.ErrNoRecord) != absent {
			t.Errorf("CNAME %s: %v; absent: %v", name, err, absent)
		}
	}
}

func TestALostPacketIsSentAgainAndABrokenResolverPassedOver(t *testing.T) {
	broken := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeServerFailure)
		_ = w.WriteMsg(m)
	})
	var packets atomic.Int64
	fine := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if packets.Add(1) == 1 {
			return
		}
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{record(t, `a.example. TXT "x"`)}
		_ = w.WriteMsg(m)
	})
	d, err := resolver.New(broken, fine)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.TXT(t.Context(), "a.example"); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.TXT(ctx, "a.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context has ended: %v", err)
	}
}

func TestResolversAreAddresses(t *testing.T) {
	for _, s := range []string{"dns.example", "dns.example:53", "", "127.0.0.1:53:53"} {
		if _, err := resolver.New(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
	for _, s := range []string{"127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:53"} {
		if _, err := resolver.New(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := resolver.New(); err != nil {
		t.Errorf("the system's: %v", err)
	}
}

func TestARecordOfAnotherNameProvesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		answer []string
		want   string
	}{
		"another owner":             {[]string{`evil.example. TXT "stolen"`}, ""},
		"a name above":              {[]string{`example. TXT "stolen"`}, ""},
		"beside its own":            {[]string{`a.example. TXT "own"`, `evil.example. TXT "stolen"`}, "own"},
		"another case of its own":   {[]string{`A.Example. TXT "own"`}, "own"},
		"the end of a chain":        {[]string{`a.example. CNAME b.example.`, `b.example. CNAME c.example.`, `c.example. TXT "own"`}, "own"},
		"a chain in another order":  {[]string{`c.example. TXT "own"`, `b.example. CNAME c.example.`, `a.example. CNAME b.example.`}, "own"},
		"the middle of a chain":     {[]string{`a.example. CNAME b.example.`, `b.example. CNAME c.example.`, `b.example. TXT "stolen"`}, ""},
		"a chain of somebody else":  {[]string{`x.example. CNAME b.example.`, `b.example. TXT "stolen"`}, ""},
		"a chain that goes in ring": {[]string{`a.example. CNAME b.example.`, `b.example. CNAME a.example.`, `c.example. TXT "stolen"`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
				m := new(dns.Msg)
				m.SetReply(q)
				for _, s := range test.answer {
					m.Answer = append(m.Answer, record(t, s))
				}
				_ = w.WriteMsg(m)
			})
			d, err := resolver.New(address)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.TXT(t.Context(), "a.example")
			if strings.Join(got, " ") != test.want || (test.want == "") != errors.Is(err, control.ErrNoRecord) {
				t.Errorf("got %q, %v, expected %q", got, err, test.want)
			}
		})
	}
}
