package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// maxUpstreams is the number of backends of its own that a gateway reads of a
// tenant.
const maxUpstreams = 16

// checkUpstreams puts addresses into their normal form, in their order. The
// grammar is the gateway's: a record that it cannot read would leave the tenant
// without service. Whether an address may be dialled is for the gateway's
// configuration to say.
func checkUpstreams(bad *petstore.Invalid, upstreams *[]string) {
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
