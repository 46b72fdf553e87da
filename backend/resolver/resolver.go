// Package resolver asks DNS for the records that prove who owns a domain.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

// DNS asks recursive resolvers, one after the other until one answers. It
// caches nothing: whoever asks wants to know what is there now. It is safe for
// concurrent use.
type DNS struct {
	servers []string
	timeout time.Duration
}

// New returns a client of the resolvers, each "HOST:PORT" or "HOST". Without
// any it uses those of the system, from /etc/resolv.conf.
func New(servers ...string) (*DNS, error) {
	d := &DNS{timeout: 3 * time.Second}
	for _, s := range servers {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = s, "53"
		}
		if net.ParseIP(host) == nil {
			return nil, fmt.Errorf("reading the DNS resolver %q: expected an IP address, with a port if it is not 53", s)
		}
		d.servers = append(d.servers, net.JoinHostPort(host, port))
	}
	if len(d.servers) > 0 {
		return d, nil
	}
	if system, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
		for _, s := range system.Servers {
			d.servers = append(d.servers, net.JoinHostPort(s, system.Port))
		}
	}
	if len(d.servers) == 0 {
		// As the C library does: without the file the name server is this machine.
		d.servers = []string{"127.0.0.1:53"}
	}
	return d, nil
}

// TXT implements control.Resolver. A CNAME at the name is followed by the
// resolver, so that customers can hand the challenge over to somebody else. Only
// records of the name at the end of that chain count: what else a server sends
// along proves nothing about this name.
func (d *DNS) TXT(ctx context.Context, name string) ([]string, error) {
	answer, err := d.ask(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	owner := dns.Fqdn(name)
	for range answer { // a chain is no longer than that
		if target := cname(answer, owner); target != "" {
			owner = target
		}
	}
	var texts []string
	for _, rr := range answer {
		if txt, ok := rr.(*dns.TXT); ok && strings.EqualFold(txt.Hdr.Name, owner) {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("asking for TXT records of %q: %w", name, control.ErrNoRecord)
	}
	return texts, nil
}

// cname is where the owner's CNAME record points; "" if there is none.
func cname(answer []dns.RR, owner string) string {
	for _, rr := range answer {
		if cname, ok := rr.(*dns.CNAME); ok && strings.EqualFold(cname.Hdr.Name, owner) {
			return cname.Target
		}
	}
	return ""
}

// CNAME implements control.Resolver: the first step only.
func (d *DNS) CNAME(ctx context.Context, name string) (string, error) {
	answer, err := d.ask(ctx, name, dns.TypeCNAME)
	if err != nil {
		return "", err
	}
	if target := cname(answer, dns.Fqdn(name)); target != "" {
		return strings.ToLower(strings.TrimSuffix(target, ".")), nil
	}
	return "", fmt.Errorf("asking for the CNAME record of %q: %w", name, control.ErrNoRecord)
}

// ask returns the answer section. That a name does not exist is an answer; that
// a server is broken, refuses or says nothing is not.
func (d *DNS) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	var failed error
	for _, server := range d.servers {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(name), kind)
		q.SetEdns0(1232, false)
		answer, err := d.exchange(ctx, q, server)
		switch {
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("asking %s for %q: %w", server, name, err))
		case answer.Rcode == dns.RcodeSuccess, answer.Rcode == dns.RcodeNameError:
			return answer.Answer, nil
		default:
			failed = errors.Join(failed, fmt.Errorf("asking %s for %q: answered %s", server, name, dns.RcodeToString[answer.Rcode]))
		}
	}
	return nil, failed
}

// exchange asks by UDP, twice, and by TCP if the answer does not fit.
func (d *DNS) exchange(ctx context.Context, q *dns.Msg, server string) (answer *dns.Msg, err error) {
	udp, tcp := dns.Client{Timeout: d.timeout}, dns.Client{Net: "tcp", Timeout: d.timeout}
	answer, _, err = udp.ExchangeContext(ctx, q, server)
	if err != nil && ctx.Err() == nil { // a packet may get lost
		answer, _, err = udp.ExchangeContext(ctx, q, server)
	}
	if err == nil && answer.Truncated {
		answer, _, err = tcp.ExchangeContext(ctx, q, server)
	}
	return answer, err
}

var _ control.Resolver = (*DNS)(nil)
