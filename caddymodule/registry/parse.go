package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Bounds that keep one record from taking more than its share of memory.
const (
	maxID     = 128
	maxName   = 512
	maxLimits = 512
	maxHosts  = 1000

	maxUpstreams = 16
	maxIssuer    = 512
)

// parser turns records into tenants.
type parser struct {
	check func(*tenant.Tenant) error
	// words holds texts that many records share, plans above all.
	words map[string]string
	// fresh and buffer are where a record is read into, since most records turn
	// out to be known.
	fresh  tenant.Tenant
	buffer []string
}

func newParser(check func(*tenant.Tenant) error) *parser {
	return &parser{check: check, words: map[string]string{}}
}

// maxWords bounds the memory of a source that has another text in every record.
const maxWords = 4096

func (p *parser) share(s string) string {
	if shared, ok := p.words[s]; ok {
		return shared
	}
	if len(p.words) < maxWords {
		p.words[s] = s
	}
	return s
}

// parse checks the record. It returns an entry without a tenant if not even the
// slug is one, and otherwise whether the tenant can be served: a record with a
// valid slug keeps its names from younger records even if something else in it is
// wrong.
//
// If the record is the same as the known tenant, the entry's tenant is that one,
// which has been checked before.
func (p *parser) parse(r *Record, lookup func(tenant.Slug) *tenant.Tenant, report *problems) entry {
	slug, err := tenant.ParseSlug(r.Slug)
	if err != nil {
		if r.Err != nil {
			err = r.Err
		}
		report.add(r.problem(err, true))
		return entry{}
	}
	fresh := &p.fresh
	*fresh = tenant.Tenant{Slug: slug, ID: r.ID, Name: r.Name}
	if fresh.ID == "" || fresh.ID == r.Slug {
		fresh.ID = slug.String()
	}
	err = p.fill(fresh, r)
	fresh.Hosts = p.hosts(r, report)
	if err != nil {
		report.add(r.problem(err, true))
		return entry{t: keepFresh(fresh), r: r, known: lookup(slug)}
	}
	if r.Note != nil {
		report.add(r.problem(r.Note, false))
	}
	known := lookup(slug)
	if known != nil && equal(known, fresh) {
		return entry{t: known, r: r, known: known, served: true}
	}
	e := entry{t: keepFresh(fresh), r: r, known: known, served: true}
	if p.check != nil {
		if err := p.check(e.t); err != nil {
			report.add(r.problem(err, true))
			e.served = false
		}
	}
	return e
}

// keepFresh copies the tenant from where it was read into.
func keepFresh(fresh *tenant.Tenant) *tenant.Tenant {
	t := *fresh
	t.Hosts = append([]string(nil), fresh.Hosts...)
	return &t
}

// fill reads the fields that a tenant cannot be served without.
func (p *parser) fill(t *tenant.Tenant, r *Record) (err error) {
	if r.Err != nil {
		return r.Err
	}
	if err := checkID(t.ID); err != nil {
		return err
	}
	if t.Status = tenant.Active; r.Status != "" {
		if t.Status, err = tenant.ParseStatus(r.Status); err != nil {
			return err
		}
	}
	if r.Plan != "" {
		plan, err := tenant.ParsePlan(r.Plan)
		if err != nil {
			return err
		}
		t.Plan = tenant.Plan(p.share(string(plan)))
	}
	if len(r.Name) > maxName || !utf8.ValidString(r.Name) {
		return fmt.Errorf("reading name %q: expected at most %d bytes of UTF-8", clip(r.Name), maxName)
	}
	if len(r.Limits) > maxLimits || !utf8.ValidString(r.Limits) {
		return fmt.Errorf("reading limits %q: expected at most %d bytes of UTF-8", clip(r.Limits), maxLimits)
	}
	if t.Limits = r.Limits; t.Limits != "" {
		t.Limits = p.share(t.Limits)
	}
	if t.Issuer, t.JWKS = r.Issuer, r.JWKS; t.Issuer != "" || t.JWKS != "" {
		if err := checkIssuer(t.Issuer, t.JWKS); err != nil {
			return err
		}
	}
	t.Upstreams, err = upstreams(r.Upstreams)
	return err
}

// checkIssuer refuses half an issuer: without its own one the tenant would be
// open to the platform's tokens.
func checkIssuer(issuer, jwks string) error {
	for name, value := range map[string]string{"issuer": issuer, "jwks": jwks} {
		switch {
		case value == "":
			return errors.New("expected both issuer and jwks, or none of them")
		case len(value) > maxIssuer || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }):
			return fmt.Errorf("reading %s %q: expected at most %d visible ASCII characters", name, clip(value), maxIssuer)
		}
	}
	return nil
}

// upstreams reads the tenant's own backends. One that can't be read is not left
// out: the tenant's requests would go to a backend that is not its own.
func upstreams(list []string) ([]string, error) {
	if len(list) > maxUpstreams {
		return nil, fmt.Errorf("expected at most %d upstreams, found %d", maxUpstreams, len(list))
	}
	var read []string
	for _, s := range list {
		address, err := tenant.ParseUpstream(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(read, address) {
			read = append(read, address)
		}
	}
	return read, nil
}

// checkID accepts what is safe as a header value and in a log line.
func checkID(id string) error {
	if len(id) > maxID {
		return fmt.Errorf("reading id %q: expected at most %d bytes", clip(id), maxID)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("reading id %q: expected visible ASCII characters without spaces", clip(id))
		}
	}
	return nil
}

// hosts returns the record's own domains in normal form and order.
func (p *parser) hosts(r *Record, report *problems) []string {
	if len(r.Hosts) == 0 {
		return nil
	}
	hosts := p.buffer[:0]
	for i, h := range r.Hosts {
		if i == maxHosts {
			report.add(r.problem(fmt.Errorf("expected at most %d hosts, found %d: the rest is ignored", maxHosts, len(r.Hosts)), false))
			break
		}
		host, err := tenant.NormalizeHost(h)
		if err != nil {
			report.add(r.problem(err, false))
			continue
		}
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	p.buffer = hosts
	return slices.Compact(hosts)
}

func equal(a, b *tenant.Tenant) bool {
	return a.ID == b.ID && a.Slug == b.Slug && a.Name == b.Name && a.Plan == b.Plan &&
		a.Status == b.Status && a.Limits == b.Limits && slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.Upstreams, b.Upstreams) &&
		a.Issuer == b.Issuer && a.JWKS == b.JWKS
}
