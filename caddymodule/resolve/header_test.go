package resolve_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
)

func TestHeaderNamesTheTenantByItsOneExactValue(t *testing.T) {
	for name, test := range map[string]struct {
		header  http.Header
		outcome string
	}{
		"slug":           {http.Header{"X-Tenant-Id": {"acme-pets"}}, "acme-pets"},
		"others around":  {http.Header{"X-Tenant-Ide": {"x"}, "X-Tenant": {"y"}, "X-Tenant-Id": {"acme-pets"}}, "acme-pets"},
		"unknown":        {http.Header{"X-Tenant-Id": {"nobody"}}, "unknown"},
		"absent":         {http.Header{"Accept": {"*/*"}}, "missing"},
		"no value":       {http.Header{"X-Tenant-Id": {}}, "missing"},
		"empty":          {http.Header{"X-Tenant-Id": {""}}, "malformed"},
		"twice":          {http.Header{"X-Tenant-Id": {"acme-pets", "acme-pets"}}, "malformed"},
		"twice, empty":   {http.Header{"X-Tenant-Id": {"acme-pets", ""}}, "malformed"},
		"list":           {http.Header{"X-Tenant-Id": {"acme-pets, fluffy-friends"}}, "malformed"},
		"list of one":    {http.Header{"X-Tenant-Id": {"acme-pets,"}}, "malformed"},
		"spaces":         {http.Header{"X-Tenant-Id": {" acme-pets "}}, "malformed"},
		"tab":            {http.Header{"X-Tenant-Id": {"acme-pets\t"}}, "malformed"},
		"NUL":            {http.Header{"X-Tenant-Id": {"acme-pets\x00"}}, "malformed"},
		"quotes":         {http.Header{"X-Tenant-Id": {`"acme-pets"`}}, "malformed"},
		"upper case":     {http.Header{"X-Tenant-Id": {"Acme-Pets"}}, "malformed"},
		"non-ASCII":      {http.Header{"X-Tenant-Id": {"\u0430cme-pets"}}, "malformed"},
		"10 kB":          {http.Header{"X-Tenant-Id": {strings.Repeat("a", 10_000)}}, "malformed"},
		"by its key":     {http.Header{"X-Tenant-Id": {"t1"}}, "unknown"},
		"underscores":    {http.Header{"X_tenant_id": {"acme-pets"}}, "malformed"},
		"dots":           {http.Header{"X.tenant.id": {"acme-pets"}}, "malformed"},
		"mixed":          {http.Header{"X-Tenant_id": {"acme-pets"}}, "malformed"},
		"tilde":          {http.Header{"X~tenant-Id": {"acme-pets"}}, "malformed"},
		"case":           {http.Header{"x-tenant-id": {"acme-pets"}}, "malformed"},
		"alias beside":   {http.Header{"X-Tenant-Id": {"acme-pets"}, "X_tenant_id": {"acme-pets"}}, "malformed"},
		"case beside":    {http.Header{"X-Tenant-Id": {"acme-pets"}, "X-TENANT-ID": {"acme-pets"}}, "malformed"},
		"alias, no more": {http.Header{"X-Tenant-Id": {"acme-pets"}, "X_tenant_id": nil}, "malformed"},
	} {
		a, err := byHeader.Resolve(&http.Request{Header: test.header}, tenants)
		want(t, name, a, err, test.outcome)
	}
}

func TestATrailerOfTheHeadersNameIsRefused(t *testing.T) {
	for _, name := range []string{"X-Tenant-Id", "X_tenant_id"} {
		r := &http.Request{Header: http.Header{"X-Tenant-Id": {"acme-pets"}}, Trailer: http.Header{name: nil}}
		a, err := byHeader.Resolve(r, tenants)
		want(t, name, a, err, "malformed")
	}
}

func TestHeaderNamesAreReadInAnyCase(t *testing.T) {
	h, err := resolve.NewHeader("x-tenant-ID")
	if err != nil || h.Key() != "X-Tenant-Id" {
		t.Fatalf("got %v, %v", h, err)
	}
	a, err := h.Resolve(request(t, "/", "any.example", "x-TENANT-id: acme-pets"), tenants)
	want(t, "other case on the wire", a, err, "acme-pets")
	if a.Source != "header" || a.Prefix != "" {
		t.Errorf("got %+v", a)
	}
}

func TestNewHeaderRefusesNamesThatAreReadInSeveralWays(t *testing.T) {
	for _, name := range []string{
		"", "-X", "X-", "X--Y", "X_Tenant", "X.Tenant", "X Tenant", "X:", "X\n", "Ténant",
		strings.Repeat("a", 65), "Host", "connection", "Authorization", "cookie", "TE", "transfer-encoding",
	} {
		if _, err := resolve.NewHeader(name); err == nil || !strings.HasPrefix(err.Error(), "reading header name ") || !strings.Contains(err.Error(), "expected") {
			t.Errorf("NewHeader(%q) error = %v", name, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("X-Tenant-ID", "acme-pets", "X_Tenant_ID", "acme-pets")
	f.Add("x-tenant-id", "acme-pets", "X-Tenant-ID", "fluffy-friends")
	f.Add("X-Tenant-ID", "acme-pets,fluffy-friends", "Accept", "*/*")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		r := &http.Request{Header: http.Header{}}
		r.Header[http.CanonicalHeaderKey(name1)] = []string{value1}
		r.Header[name2] = append(r.Header[name2], value2)
		a, err := byHeader.Resolve(r, tenants)
		if (err == nil) != (a.Tenant != nil) {
			t.Fatalf("%v: %+v, %v", r.Header, a, err)
		}
		if err != nil {
			return
		}
		// Whatever spelling a backend prefers, it finds no other value.
		flat := strings.NewReplacer("_", "-", ".", "-")
		for key, values := range r.Header {
			if strings.EqualFold(flat.Replace(key), "X-Tenant-ID") && (len(values) != 1 || values[0] != a.Slug.String()) {
				t.Fatalf("%v named %q", r.Header, a.Slug)
			}
		}
	})
}
