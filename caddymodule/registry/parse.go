package registry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
	"unique"

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

// UnreadablePlan is the plan of a tenant whose record names one that cannot be
// read and who was on none before. No configuration has a plan of that name.
const UnreadablePlan tenant.Plan = "-"

// share returns the text in memory that is shared with all equal ones: many records
// have the same plan and limits.
func share(s string) string { return unique.Make(s).Value() }

// parse reads what can be read, and returns what is wrong with the rest. A field
// that is wrong has its zero value then; what that leads to is for [mend] to say.
func parse(r *Record, slug tenant.Slug) (*tenant.Tenant, []Fault) {
	t := &tenant.Tenant{Slug: slug, ID: r.ID, Status: tenant.Active}
	faults := slices.Clip(r.Faults)
	fail := func(field string, err error) { faults = append(faults, Fault{field, err}) }
	if t.ID == "" || t.ID == r.Slug {
		t.ID = slug.String()
	}
	if err := checkID(t.ID); err != nil {
		fail("id", err)
	}
	var err error
	if r.Status != "" {
		if t.Status, err = tenant.ParseStatus(r.Status); err != nil {
			fail("status", err)
		}
	}
	if r.Plan != "" {
		plan, err := tenant.ParsePlan(r.Plan)
		if err != nil {
			fail("plan", err)
		}
		t.Plan = tenant.Plan(share(string(plan)))
	}
	if t.Name, err = bounded("name", r.Name, maxName); err != nil {
		fail("name", err)
	}
	if t.Limits, err = bounded("limits", r.Limits, maxLimits); err != nil {
		fail("limits", err)
	}
	t.Limits = share(t.Limits)
	if err = checkIssuer(r.Issuer, r.JWKS); err == nil {
		t.Issuer, t.JWKS = r.Issuer, r.JWKS
	} else if !r.failed("issuer") && !r.failed("jwks") {
		fail("issuer", err)
	}
	if t.Upstreams, err = upstreams(r.Upstreams); err != nil {
		fail("upstreams", err)
	}
	t.Hosts = hosts(r.Hosts, fail)
	return t, faults
}

func (r *Record) failed(field string) bool {
	return slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Field == field })
}

func bounded(field, s string, most int) (string, error) {
	if len(s) > most || !utf8.ValidString(s) {
		return "", fmt.Errorf("reading %s %q: expected at most %d bytes of UTF-8", field, Clip(s), most)
	}
	return s, nil
}

// checkIssuer refuses half an issuer: without its own one the tenant would be
// open to the platform's tokens.
func checkIssuer(issuer, jwks string) error {
	if (issuer == "") != (jwks == "") {
		return errors.New("expected both issuer and jwks, or none of them")
	}
	for _, field := range [][2]string{{"issuer", issuer}, {"jwks", jwks}} {
		if s := field[1]; len(s) > maxIssuer || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return fmt.Errorf("reading %s %q: expected at most %d visible ASCII characters", field[0], Clip(s), maxIssuer)
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
		return fmt.Errorf("reading id %q: expected at most %d bytes", Clip(id), maxID)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("reading id %q: expected visible ASCII characters without spaces", Clip(id))
		}
	}
	return nil
}

// oneHost is the field of a fault that costs the tenant one host, while that of
// the field "hosts" costs it the whole list.
const oneHost = "one of hosts"

// hosts returns the record's own domains in normal form and order.
func hosts(list []string, fail func(string, error)) []string {
	var read []string
	for i, h := range list {
		if i == maxHosts {
			fail(oneHost, fmt.Errorf("expected at most %d hosts, found %d: the rest is ignored", maxHosts, len(list)))
			break
		}
		host, err := tenant.NormalizeHost(h)
		if err != nil {
			fail(oneHost, err)
			continue
		}
		read = append(read, host)
	}
	slices.Sort(read)
	return slices.Compact(read)
}
