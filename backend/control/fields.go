package control

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// What a tenant's fields may hold. Whatever the gateway reads too is read here
// with the same parser: a record that it could not read would leave the tenant
// without service.

func (c *Catalog) checkPlan(bad *petstore.Invalid, s string) tenant.Plan {
	plan := tenant.Plan(s)
	if !slices.Contains(c.plans, plan) {
		names := make([]string, len(c.plans))
		for i, p := range c.plans {
			names[i] = string(p)
		}
		bad.Add("plan", "expected one of %s", strings.Join(names, ", "))
	}
	return plan
}

func checkName(bad *petstore.Invalid, s string) {
	if n := utf8.RuneCountInString(s); n < 1 || n > MaxName || !utf8.ValidString(s) {
		bad.Add("name", "expected 1 to %d characters", MaxName)
		return
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			bad.Add("name", "expected no control characters")
			return
		}
	}
}

// reason is the last part of an error's text: what was expected, without the
// activity and the object, which the field's name says already.
func reason(err error) string {
	s := err.Error()
	if i := strings.LastIndex(s, ": "); i >= 0 {
		return s[i+2:]
	}
	return s
}

// checkEmail accepts "" and addresses that are safe in a header line; whether
// somebody reads them shows when the mail is sent.
func checkEmail(bad *petstore.Invalid, s string) {
	if s == "" {
		return
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || len(s) > 254 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		bad.Add("admin_email", "expected an address such as ada@example.com")
	}
}

// checkLimits accepts "", which leaves the plan's limits in force, and lists such
// as "200/1h 10/1s".
func checkLimits(bad *petstore.Invalid, s string) {
	if len(s) > 200 {
		bad.Add("limits", "expected at most 200 characters")
		return
	}
	if s == "" {
		return
	}
	if _, err := limit.Parse(s); err != nil {
		bad.Add("limits", "%s", strings.TrimPrefix(err.Error(), "reading "))
	}
}

// maxUpstreams is the number of backends of its own that a gateway reads of a
// tenant.
const maxUpstreams = 16

// checkUpstreams puts addresses into their normal form, in their order. The
// grammar is the gateway's, and so is the policy of what may be dialled: a record
// that it refuses would leave the tenant without service.
func (c *Catalog) checkUpstreams(bad *petstore.Invalid, upstreams *[]string) {
	if len(*upstreams) > maxUpstreams {
		bad.Add("upstreams", "expected at most %d addresses", maxUpstreams)
		return
	}
	var out []string
	for i, s := range *upstreams {
		field := fmt.Sprintf("upstreams[%d]", i)
		address, err := tenant.ParseUpstream(s)
		switch {
		case err != nil:
			bad.Add(field, "%s", reason(err))
		case slices.Contains(out, address):
			bad.Add(field, "the address is there already")
		case c.dial.Check(address) != nil:
			bad.Add(field, "%s", c.dial.Check(address))
		default:
			out = append(out, address)
		}
	}
	*upstreams = out
}

// joinUpstreams is the column's text, and splitUpstreams reads it: no address
// has a comma in it.
func joinUpstreams(list []string) string { return strings.Join(list, ",") }

func splitUpstreams(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// printable accepts a text for people that is safe in a log and a header's
// JSON, and that a gateway reads: at most 255 bytes, whatever the characters.
func printable(s string, most int) bool {
	return s != "" && s == strings.TrimSpace(s) && utf8.RuneCountInString(s) <= most && len(s) <= maxClaim && isPrint(s)
}

func isPrint(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// skeletons fold characters that look alike in common fonts. A slug is ASCII
// already, so these few are all there are (Unicode TR 39 has the idea of a
// skeleton). Hyphens stay: "ab-c" and "abc" do not look alike.
var skeletons = strings.NewReplacer("0", "o", "1", "l", "i", "l", "rn", "m", "vv", "w", "5", "s")

// skeleton is what a slug looks like at a glance. Two tenants with one
// skeleton could be taken for each other, so the catalog keeps it unique.
func skeleton(s tenant.Slug) string { return skeletons.Replace(s.String()) }

// disguises spell reserved words with digits.
var disguises = []*strings.Replacer{
	strings.NewReplacer("0", "o", "1", "i", "5", "s", "3", "e", "4", "a", "rn", "m", "vv", "w"),
	strings.NewReplacer("0", "o", "1", "l", "5", "s", "3", "e", "4", "a", "rn", "m", "vv", "w"),
}

// looksReserved reports whether the slug could be read as a word that no
// tenant may have.
func (c *Catalog) looksReserved(s tenant.Slug) bool {
	for _, d := range disguises {
		word := d.Replace(s.String())
		if _, err := tenant.ParseSlug(word); err != nil || c.reserved[word] {
			return true
		}
	}
	return false
}
