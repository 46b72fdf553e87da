package auth

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

type keyTable map[APIKeyHash]APIKeyRecord

func (k keyTable) LookupAPIKey(h APIKeyHash) (APIKeyRecord, bool) { r, ok := k[h]; return r, ok }

func TestAnAPIKeyIsKnownByItsHashAndTiedToItsTenant(t *testing.T) {
	acme := tenant.MustSlug("acme-pets")
	table := keyTable{}
	issue := func(r APIKeyRecord) string {
		key, hash := NewAPIKey()
		table[hash] = r
		return key
	}
	good := issue(APIKeyRecord{ID: "k1", Name: "ci", Tenant: acme, Roles: []string{"editor"}, Expires: now.Add(time.Second)})
	unknown, _ := NewAPIKey()
	for name, c := range map[string]struct {
		key  string
		at   time.Time
		want string
	}{
		"good":          {good, now, ""},
		"at its end":    {good, now.Add(time.Second), reasonExpired},
		"no end":        {issue(APIKeyRecord{Tenant: acme}), now.Add(1e6 * time.Hour), ""},
		"revoked":       {issue(APIKeyRecord{Tenant: acme, Revoked: true}), now, reasonRevoked},
		"no tenant":     {issue(APIKeyRecord{}), now, reasonTenant},
		"unknown":       {unknown, now, reasonKey},
		"cut":           {good[:len(good)-1], now, reasonMalformed},
		"longer":        {good + "A", now, reasonMalformed},
		"other prefix":  {"TK_" + good[3:], now, reasonMalformed},
		"odd character": {good[:len(good)-1] + "=", now, reasonMalformed},
		"line feed":     {good[:10] + "\n" + good[11:], now, reasonMalformed},
		"empty":         {"", now, reasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := VerifyAPIKey(table, c.key, c.at)
			if Reason(err) != c.want || (err != nil && !errors.Is(err, ErrBadToken)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if (err == nil) != p.BelongsTo(acme) {
				t.Errorf("principal %+v", p)
			}
		})
	}
	p, _ := VerifyAPIKey(table, good, now)
	if p.Subject != "ci" || p.TokenID != "k1" || !slices.Equal(p.Roles, []string{"editor"}) {
		t.Errorf("principal %+v", p)
	}
}

func TestAPIKeysAreNeverTheSameTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		key, hash := NewAPIKey()
		if again, err := HashAPIKey(key); err != nil || again != hash || seen[key] || !IsAPIKey(key) {
			t.Fatalf("key %q: %v", key, err)
		}
		seen[key] = true
	}
}
