package control_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// invalid returns the names of the fields that an error finds fault with.
func invalid(t *testing.T, err error) string {
	t.Helper()
	var bad *petstore.Invalid
	if !errors.As(err, &bad) {
		t.Fatalf("got %v, expected what is not valid", err)
	}
	names := make([]string, len(bad.Fields))
	for i, f := range bad.Fields {
		names[i] = f.Field
	}
	return strings.Join(names, " ")
}

func actions(t *testing.T, w *world, slug tenant.Slug) []string {
	t.Helper()
	events, err := w.Events(t.Context(), slug, 100)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range events {
		list = append(list, e.Action)
	}
	slices.Reverse(list)
	return list
}

func TestAnAPIKeyIsKeptAsItsHashOnly(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	w.create(t, control.New{Slug: "acme"})
	acme := tenant.MustSlug("acme")
	expires := clock.now().Add(time.Hour)
	made, key, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "nightly import", Roles: []string{"editor", "pets:write"}, Expires: expires})
	if err != nil || !auth.IsAPIKey(key) || made.ID == "" {
		t.Fatalf("got %+v, %q, %v", made, key, err)
	}
	clock.add(time.Second)
	if _, _, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "forever"}); err != nil {
		t.Fatal(err)
	}
	keys, err := w.Keys(t.Context(), acme)
	if err != nil || len(keys) != 2 || keys[0].ID != made.ID || keys[0].Name != "nightly import" || !keys[0].Expires.Equal(expires) ||
		!slices.Equal(keys[0].Roles, []string{"editor", "pets:write"}) || !keys[0].Revoked.IsZero() || !keys[1].Expires.IsZero() || len(keys[1].Roles) != 0 {
		t.Fatalf("got %+v, %v", keys, err)
	}
	hash, err := auth.HashAPIKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// Neither the table nor the trail holds the key, and the hash finds it.
	err = w.db.View(t.Context(), func(tx sqldb.Conn) error {
		var found, leaks int
		if err := tx.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM api_keys WHERE hash = lower(hex($1))`, hash[:]).Scan(&found); err != nil {
			return err
		}
		err := tx.QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM api_keys WHERE id || hash || name LIKE $1) +
			(SELECT COUNT(*) FROM admin_audit WHERE before || after LIKE $1)`, "%"+key[3:20]+"%").Scan(&leaks)
		if found != 1 || leaks != 0 {
			t.Errorf("the hash is there %d times, the key itself %d times", found, leaks)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAKeyIsRevokedOnceAndByItsTenantOnly(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	acme, globex := tenant.MustSlug("acme"), tenant.MustSlug("globex")
	w.create(t, control.New{Slug: "acme"})
	w.create(t, control.New{Slug: "globex"})
	clock.add(time.Minute)
	made, _, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RevokeKey(t.Context(), globex, made.ID); !errors.Is(err, control.ErrNoCredential) {
		t.Errorf("another tenant's key: %v", err)
	}
	if err := w.RevokeKey(t.Context(), acme, "nothing"); !errors.Is(err, control.ErrNoCredential) {
		t.Errorf("an unknown key: %v", err)
	}
	clock.add(time.Minute)
	first := clock.now()
	for range 2 {
		if err := w.RevokeKey(t.Context(), acme, made.ID); err != nil {
			t.Fatal(err)
		}
		clock.add(time.Minute)
	}
	if keys, err := w.Keys(t.Context(), acme); err != nil || !keys[0].Revoked.Equal(first) {
		t.Errorf("got %+v, %v, expected one revoked at %v", keys, err, first)
	}
	if got := actions(t, w, acme); !slices.Equal(got[len(got)-2:], []string{"key.create", "key.revoke"}) {
		t.Errorf("the audit log says %q", got)
	}
}

func TestMistakesInAKeyAreNamed(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	w.create(t, control.New{Slug: "acme"})
	acme := tenant.MustSlug("acme")
	for name, c := range map[string]struct {
		key  control.NewKey
		want string
	}{
		"nothing":        {control.NewKey{}, "name"},
		"a long name":    {control.NewKey{Name: strings.Repeat("n", 65)}, "name"},
		"a line feed":    {control.NewKey{Name: "a\nb"}, "name"},
		"broken text":    {control.NewKey{Name: "a\xff"}, "name"},
		"an odd role":    {control.NewKey{Name: "a", Roles: []string{"ok", "not ok"}}, "roles[1]"},
		"a role twice":   {control.NewKey{Name: "a", Roles: []string{"x", "x"}}, "roles[1]"},
		"an empty role":  {control.NewKey{Name: "a", Roles: []string{""}}, "roles[0]"},
		"too many roles": {control.NewKey{Name: "a", Roles: strings.Fields("a b c d e f g h i j k l m n o p q")}, "roles"},
		"expired":        {control.NewKey{Name: "a", Expires: clock.now()}, "expires"},
	} {
		if _, _, err := w.CreateKey(t.Context(), acme, c.key); invalid(t, err) != c.want {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
	if _, _, err := w.CreateKey(t.Context(), tenant.MustSlug("nobody"), control.NewKey{Name: "a"}); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("a tenant that is not there: %v", err)
	}
	for i := range 100 {
		if _, _, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "a"}); err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	if _, _, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "a"}); invalid(t, err) != "name" {
		t.Errorf("the 101st key: %v", err)
	}
}

func TestAPurgedTenantLeavesNoKeys(t *testing.T) {
	w := newWorld(t, options{})
	w.create(t, control.New{Slug: "acme"})
	acme := tenant.MustSlug("acme")
	if _, _, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "ci"}); err != nil {
		t.Fatal(err)
	}
	deactivated := tenant.Deactivated
	if _, err := w.Change(t.Context(), acme, control.Patch{Status: &deactivated}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.CreateKey(t.Context(), acme, control.NewKey{Name: "ci"}); !errors.Is(err, control.ErrState) {
		t.Errorf("a key for a deactivated tenant: %v", err)
	}
	if err := w.Purge(t.Context(), acme, "acme"); err != nil {
		t.Fatal(err)
	}
	if keys, err := w.Keys(t.Context(), acme); err != nil || len(keys) != 0 {
		t.Errorf("got %+v, %v", keys, err)
	}
}

func TestRevocationsAreListedReplacedAndTakenBack(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	revoke := func(r control.Revocation) control.Revocation {
		t.Helper()
		made, err := w.Revoke(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		clock.add(time.Second)
		return made
	}
	until := clock.now().Add(time.Hour)
	token := revoke(control.Revocation{TokenID: "jti-1", Until: until})
	before := clock.now()
	subject := revoke(control.Revocation{Subject: "ann"})
	other := revoke(control.Revocation{Subject: "ann", Issuer: "https://idp.acme.example"})
	if !subject.Before.Equal(before) || !token.Before.IsZero() || other.ID == subject.ID {
		t.Errorf("got %+v, %+v and %+v", token, subject, other)
	}
	// Once more for the same subject: the same entry, up to now.
	before = clock.now()
	if again := revoke(control.Revocation{Subject: "ann"}); again.ID != subject.ID || !again.Before.Equal(before) {
		t.Errorf("again: got %+v, expected %s before %v", again, subject.ID, before)
	}
	if earlier := revoke(control.Revocation{Subject: "ann", Before: before.Add(-time.Hour)}); !earlier.Before.Equal(before) {
		t.Errorf("an earlier moment took %v back to %v", before, earlier.Before)
	}
	list, err := w.Revocations(t.Context(), "", 2)
	if err != nil || len(list) != 2 || list[0] != token {
		t.Fatalf("got %+v, %v", list, err)
	}
	if rest, err := w.Revocations(t.Context(), list[1].ID, 2); err != nil || len(rest) != 1 || rest[0].ID != other.ID {
		t.Errorf("got %+v, %v", rest, err)
	}
	if err := w.Unrevoke(t.Context(), subject.ID); err != nil {
		t.Error(err)
	}
	if err := w.Unrevoke(t.Context(), subject.ID); !errors.Is(err, control.ErrNoCredential) {
		t.Errorf("a second time: %v", err)
	}
	// What has served its time goes with the next change.
	clock.add(3 * time.Hour)
	revoke(control.Revocation{TokenID: "jti-2"})
	if list, _ := w.Revocations(t.Context(), "", 10); len(list) != 2 || list[0].ID != other.ID || list[1].TokenID != "jti-2" {
		t.Errorf("later: got %+v", list)
	}
	if got := actions(t, w, tenant.Slug{}); len(got) != 7 || got[0] != "revocation.create" || got[5] != "revocation.delete" {
		t.Errorf("the audit log says %q", got)
	}
}

func TestMistakesInARevocationAreNamed(t *testing.T) {
	clock := newClock()
	w := newWorld(t, options{now: clock.now})
	for name, c := range map[string]struct {
		revocation control.Revocation
		want       string
	}{
		"nothing":            {control.Revocation{}, "token_id"},
		"both":               {control.Revocation{TokenID: "a", Subject: "b"}, "subject"},
		"a long id":          {control.Revocation{TokenID: strings.Repeat("x", 256)}, "token_id"},
		"a control code":     {control.Revocation{Subject: "a\x00"}, "subject"},
		"over already":       {control.Revocation{TokenID: "a", Until: clock.now()}, "until"},
		"from tomorrow":      {control.Revocation{Subject: "a", Before: clock.now().Add(24 * time.Hour)}, "before"},
		"before for a token": {control.Revocation{TokenID: "a", Before: clock.now()}, "before"},
	} {
		if _, err := w.Revoke(t.Context(), c.revocation); invalid(t, err) != c.want {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
}

func TestATenantsOwnIssuerIsItsAlone(t *testing.T) {
	w := newWorld(t, options{})
	acme, globex := tenant.MustSlug("acme"), tenant.MustSlug("globex")
	w.create(t, control.New{Slug: "acme"})
	w.create(t, control.New{Slug: "globex"})
	own := control.Issuer{Issuer: "https://idp.acme.example", JWKS: "https://idp.acme.example/keys"}
	if err := setIssuer(t, w, acme, own); err != nil {
		t.Fatal(err)
	}
	if got, err := issuerOf(t, w, acme); err != nil || got != own {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := setIssuer(t, w, globex, own); !errors.Is(err, control.ErrTaken) {
		t.Errorf("another tenant's issuer: %v", err)
	}
	for name, c := range map[string]struct {
		issuer control.Issuer
		want   string
	}{
		"half":           {control.Issuer{Issuer: "a"}, "jwks"},
		"the other half": {control.Issuer{JWKS: "https://a.example/"}, "issuer"},
		"a space":        {control.Issuer{Issuer: "a b", JWKS: "https://a.example/"}, "issuer"},
		"plain http":     {control.Issuer{Issuer: "a", JWKS: "http://a.example/"}, "jwks"},
		"no URL":         {control.Issuer{Issuer: "a", JWKS: "keys"}, "jwks"},
	} {
		if err := setIssuer(t, w, acme, c.issuer); invalid(t, err) != c.want {
			t.Errorf("%s: %v, expected %q", name, err, c.want)
		}
	}
	// It stays over other changes of the tenant.
	name := "Acme"
	if _, err := w.Change(t.Context(), acme, control.Patch{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if got, _ := issuerOf(t, w, acme); got != own {
		t.Errorf("after a change: got %+v", got)
	}
	if err := setIssuer(t, w, acme, control.Issuer{}); err != nil {
		t.Fatal(err)
	}
	if err := setIssuer(t, w, globex, own); err != nil {
		t.Errorf("an issuer that was given up: %v", err)
	}
	events, err := w.Events(t.Context(), acme, 1)
	var before struct{ Issuer control.Issuer }
	if err != nil || events[0].Action != "tenant.change" || json.Unmarshal(events[0].Before, &before) != nil || before.Issuer != own {
		t.Errorf("the audit log says %+v, %v", events, err)
	}
}
