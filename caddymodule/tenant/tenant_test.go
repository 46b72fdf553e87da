package tenant_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

var statuses = map[string]tenant.Status{
	"provisioning": tenant.Provisioning, "active": tenant.Active, "suspended": tenant.Suspended,
	"deactivated": tenant.Deactivated, "purged": tenant.Purged,
}

func TestStatusNamesReadBackAsThemselves(t *testing.T) {
	for name, want := range statuses {
		got, err := tenant.ParseStatus(name)
		if err != nil || got != want || got.String() != name {
			t.Errorf("ParseStatus(%q) = %v, %v", name, got, err)
		}
		var s tenant.Status
		if err := json.Unmarshal([]byte(`"`+name+`"`), &s); err != nil || s != want {
			t.Errorf("reading %q as JSON = %v, %v", name, s, err)
		}
		if out, err := json.Marshal(want); err != nil || string(out) != `"`+name+`"` {
			t.Errorf("writing %v as JSON = %s, %v", want, out, err)
		}
	}
}

func TestParseStatusRefusesOtherWords(t *testing.T) {
	for _, s := range []string{"", "Active", "none", "enabled", " active", "1"} {
		got, err := tenant.ParseStatus(s)
		if !errors.Is(err, tenant.ErrMalformed) || got != 0 {
			t.Errorf("ParseStatus(%q) = %v, %v", s, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "expected provisioning, active, suspended, deactivated or purged") {
			t.Errorf("error does not list the names: %v", err)
		}
	}
	if got := tenant.Status(200).String(); got != "none" {
		t.Errorf("a status out of range is called %q", got)
	}
}

func TestOnlyActiveTenantsAreServed(t *testing.T) {
	if err := tenant.Check(nil); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("no tenant: %v", err)
	}
	for status := range tenant.Purged + 2 {
		err := tenant.Check(&tenant.Tenant{ID: "1", Status: status})
		if status == tenant.Active && err != nil {
			t.Errorf("active: %v", err)
		}
		if status != tenant.Active && !errors.Is(err, tenant.ErrInactive) {
			t.Errorf("%v: %v, want ErrInactive", status, err)
		}
	}
}

func TestEveryErrorHasOneReason(t *testing.T) {
	for want, err := range map[string]error{
		"":          nil,
		"missing":   tenant.ErrMissing,
		"malformed": tenant.ErrMalformed,
		"unknown":   tenant.ErrNotFound,
		"inactive":  tenant.ErrInactive,
		"faulty":    tenant.ErrFaulty,
		"conflict":  tenant.ErrConflict,
		"error":     errors.New("something else"),
	} {
		t.Run("reason "+want, func(t *testing.T) {
			if err != nil {
				err = fmt.Errorf("doing things: %w", err)
			}
			if got := tenant.Reason(err); got != want {
				t.Errorf("Reason(%v) = %q, want %q", err, got, want)
			}
		})
	}
}

func TestAFaultyTenantIsNotServed(t *testing.T) {
	for name, test := range map[string]struct {
		t    *tenant.Tenant
		want error
	}{
		"no tenant":            {nil, tenant.ErrNotFound},
		"active":               {&tenant.Tenant{Status: tenant.Active}, nil},
		"active, with a fault": {&tenant.Tenant{Status: tenant.Active, Fault: "x"}, tenant.ErrFaulty},
		"suspended, faulty":    {&tenant.Tenant{Status: tenant.Suspended, Fault: "x"}, tenant.ErrInactive},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tenant.Check(test.t); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestParsePlanAcceptsLabelSafeNamesOnly(t *testing.T) {
	for _, s := range []string{"free", "p", "gold_2", "tier-1", strings.Repeat("a", 32)} {
		if got, err := tenant.ParsePlan(s); err != nil || string(got) != s {
			t.Errorf("ParsePlan(%q) = %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "Free", "1st", "-a", "_a", "a b", "a\n", "ünlimited", strings.Repeat("a", 33)} {
		if got, err := tenant.ParsePlan(s); !errors.Is(err, tenant.ErrMalformed) || got != "" {
			t.Errorf("ParsePlan(%q) = %q, %v, want ErrMalformed", s, got, err)
		}
	}
}

func ExampleCheck() {
	t := &tenant.Tenant{ID: "t1", Slug: tenant.MustSlug("acme-pets"), Status: tenant.Suspended}
	err := tenant.Check(t)
	fmt.Println(err, tenant.Reason(err))
	// Output: tenant not active inactive
}
