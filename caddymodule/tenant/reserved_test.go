package tenant_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestNamesThatNobodyShouldHaveAreReserved(t *testing.T) {
	for _, name := range strings.Fields("metrics gateway mx mx1 dns dns2 postmaster hostmaster webmaster abuse noc ssl ssladmin 404 500 apis graphql " +
		"api-v1 v1 autoconfig wpad isatap mta-sts mail2 ns3 vpn staging keys jwks oidc billing no-reply health healthz petstore gateway") {
		t.Run(name, func(t *testing.T) {
			if _, err := tenant.ParseSlug(name); !errors.Is(err, tenant.ErrMalformed) {
				t.Errorf("got %v, expected that it is reserved", err)
			}
		})
	}
}

func TestNamesOfCustomersAreNotReserved(t *testing.T) {
	for _, name := range strings.Fields("acme acme-pets fluffy-friends paws-and-claws globex initech my-shop mail-order-pets 123 api2 apis-bakery webers") {
		t.Run(name, func(t *testing.T) {
			if _, err := tenant.ParseSlug(name); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheListOfReservedNamesCanBeRead(t *testing.T) {
	text, err := os.ReadFile("reserved.txt")
	if err != nil {
		t.Fatal(err)
	}
	names, err := tenant.ReadNames(string(text))
	if err != nil || len(names) < 800 {
		t.Errorf("read %d names, %v", len(names), err)
	}
	for name := range names {
		if _, err := tenant.ParseSlug(name); err == nil {
			t.Errorf("%q is on the list and not reserved", name)
		}
	}
}

func TestAListWithAWordThatIsNoNameIsRefused(t *testing.T) {
	for _, word := range []string{"Brand", "a.b", "-a", "a_b", "ümlaut"} {
		t.Run(word, func(t *testing.T) {
			if _, err := tenant.ReadNames("# brands\nacme\n" + word + "\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
				t.Errorf("got %v, expected an error that names line 3", err)
			}
		})
	}
}
