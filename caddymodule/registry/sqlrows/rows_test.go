package sqlrows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// fakeConn answers the queries of a dialect whose column query is the table's name.
type fakeConn struct{ columns, rows map[string][][]any }

func (c fakeConn) Poll(_ context.Context, _ bool, read func(Runner, bool) error) error {
	return read(func(query string, head func([]string) error, row func([]any) error) error {
		rows := c.columns[query]
		if _, table, ok := strings.Cut(query, " FROM "); ok {
			rows = c.rows[table]
		}
		for _, r := range rows {
			if err := row(r); err != nil {
				return err
			}
		}
		return nil
	}, false)
}

func (fakeConn) Interval() time.Duration { return time.Second }
func (fakeConn) String() string          { return "fake" }
func (fakeConn) Close() error            { return nil }

func read(check func(*registry.Key) error, keys, revocations [][]any) (*registry.Credentials, error) {
	c := fakeConn{columns: map[string][][]any{}, rows: map[string][][]any{"api_keys": keys, "revocations": revocations}}
	for _, table := range credentialTables {
		for _, column := range table.columns {
			c.columns[table.name] = append(c.columns[table.name], []any{column})
		}
	}
	return NewCredentials(c, Dialect{Columns: "%s"}).Load(context.Background(), check)
}

func hexOf(key string) string {
	hash := sha256.Sum256([]byte(key))
	return hex.EncodeToString(hash[:])
}

func goodKey() []any { return []any{"k1", hexOf("tk_1"), "acme", "ci", "editor", int64(0), int64(0)} }

func TestAFaultyKeyOpensNothingAndIsNamed(t *testing.T) {
	raw := sha256.Sum256([]byte("tk_1"))
	for name, test := range map[string]struct {
		column int
		value  any
		good   bool
	}{
		"as it should be": {3, "ci", true}, "a number as id": {0, int64(7), true}, "a hash in bytes": {1, raw[:], true}, "no roles": {4, nil, true},
		"an empty id": {0, "", false}, "an id with a blank": {0, "a b", false}, "half a hash": {1, "abc", false},
		"a hash that is none": {1, "secret" + hexOf("x")[6:], false}, "no slug": {2, "Not A Slug", false}, "no text as slug": {2, nil, false},
		"no name": {3, "", false}, "a name with a line break": {3, "a\nb", false}, "a number as roles": {4, 7.5, false},
		"no time of expiry": {5, "soon", false}, "no time of revocation": {6, "x", false}, "a role that check refuses": {4, "no-such-role", false},
	} {
		t.Run(name, func(t *testing.T) {
			row := goodKey()
			row[test.column] = test.value
			c, err := read(func(k *registry.Key) error {
				if slices.Contains(k.Roles, "no-such-role") {
					return errors.New("no such role")
				}
				return nil
			}, [][]any{row}, nil)
			if err != nil {
				t.Fatal(err)
			}
			problems, n := c.Problems()
			if found := c.Key(raw) != nil; found != test.good || n > 0 != !test.good {
				t.Fatalf("found %v, %v", found, problems)
			}
			for _, p := range problems {
				if strings.Contains(p.String(), "secret") || !strings.Contains(p.String(), "api_keys row 1") {
					t.Errorf("the problem is %s", p)
				}
			}
		})
	}
}

// The unit of a known column is known, however early or late the time is.
func TestTimesInIntegersAreMicroseconds(t *testing.T) {
	for name, at := range map[string]time.Time{
		"in the year 9999": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), "the second day of 1970": time.Unix(86400, 0),
		"now": time.Unix(1_800_000_000, 0), "one microsecond": time.UnixMicro(1),
	} {
		t.Run(name, func(t *testing.T) {
			row := goodKey()
			row[5] = at.UnixMicro()
			c, err := read(nil, [][]any{row}, [][]any{{"subject", "ann", "", at.UnixMicro()}})
			if err != nil {
				t.Fatal(err)
			}
			if k := c.Key(sha256.Sum256([]byte("tk_1"))); k == nil || !k.Expires.Equal(at) {
				t.Errorf("got %+v, want an end at %v", k, at)
			}
			before, after := registry.Token{Subject: "ann", IssuedAt: at.Add(-time.Microsecond)}, registry.Token{Subject: "ann", IssuedAt: at}
			if !c.Revoked(before) || c.Revoked(after) {
				t.Errorf("revoked: %v before, %v at the moment", c.Revoked(before), c.Revoked(after))
			}
		})
	}
}

func TestRevocationsMeanOneIssuersTokensOrAllOfThem(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	c, err := read(nil, nil, [][]any{
		{"token", "j-any", "", int64(0)},
		{"token", "j-own", "idp", int64(0)},
		{"subject", "s-any", "", at.UnixMicro()},
		{"subject", "s-own", "idp", at.UnixMicro()},
		{"subject", "s-always", nil, nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token registry.Token
		want  bool
	}{
		"nothing at all":            {registry.Token{}, false},
		"id, any issuer":            {registry.Token{ID: "j-any", Issuer: "idp"}, true},
		"id, its issuer":            {registry.Token{ID: "j-own", Issuer: "idp"}, true},
		"id, another issuer":        {registry.Token{ID: "j-own", Issuer: "other"}, false},
		"subject, before":           {registry.Token{Subject: "s-any", IssuedAt: at.Add(-time.Second)}, true},
		"subject, at the moment":    {registry.Token{Subject: "s-any", IssuedAt: at}, false},
		"subject, its issuer":       {registry.Token{Subject: "s-own", Issuer: "idp"}, true},
		"subject, another issuer":   {registry.Token{Subject: "s-own", Issuer: "other"}, false},
		"subject, without a moment": {registry.Token{Subject: "s-always", IssuedAt: at.Add(1e6 * time.Hour)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.Revoked(test.token); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What a revocation was meant to refuse must not pass because it cannot be read.
func TestAFaultyRevocationMakesTheListUnreadable(t *testing.T) {
	for name, row := range map[string][]any{
		"an unknown kind": {"tenant", "acme", "", int64(0)}, "no value": {"token", "", "", int64(0)}, "a number as value": {"token", int64(5), "", int64(0)},
		"no time": {"subject", "ann", "", "soon"}, "a number as issuer": {"token", "j", int64(5), int64(0)},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := read(nil, nil, [][]any{{"token", "j", "", nil}, row}); err == nil || !strings.Contains(err.Error(), `reading credentials from fake: reading table "revocations": row 2: `) {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
}
