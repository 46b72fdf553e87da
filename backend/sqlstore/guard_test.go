package sqlstore

import (
	"context"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/storetest"
)

// each calls f with every statement, by reference.
func each(s *statements, f func(name string, text *string)) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		// The fields are unexported: their address is taken by name.
		name := v.Type().Field(i).Name
		f(name, map[string]*string{
			"list": &s.list, "listSpecies": &s.listSpecies, "get": &s.get, "getForChange": &s.getForChange,
			"insert": &s.insert, "update": &s.update, "softDelete": &s.softDelete,
		}[name])
	}
}

var (
	predicate = regexp.MustCompile(`WHERE tenant_id = \$1 AND `)
	inserted  = regexp.MustCompile(`^INSERT INTO pets \(tenant_id, [a-z_, ]+\)\s+VALUES \(\$1, `)
)

func TestEveryStatementNamesTheTenant(t *testing.T) {
	s := petStatements
	s.getForChange = s.get
	each(&s, func(name string, text *string) {
		if text == nil || *text == "" {
			t.Fatalf("the guard does not know the statement %q", name)
		}
		if !predicate.MatchString(*text) && !inserted.MatchString(*text) {
			t.Errorf("statement %q lacks the tenant: %s", name, *text)
		}
		if upper := strings.ToUpper(*text); strings.Contains(upper, "JOIN") || strings.Count(upper, "SELECT") > 1 || strings.Contains(upper, " OR ") && !strings.Contains(upper, "(DELETED_AT = 0 OR $4 = 1)") {
			t.Errorf("statement %q has a part that the guard cannot judge: %s", name, *text)
		}
	})
	for _, text := range []string{spaceState, spaceSet, spaceDelete, petsAll, petsDelete} {
		if !strings.Contains(text, "WHERE tenant_id = $1") {
			t.Errorf("statement lacks the tenant: %s", text)
		}
	}
}

func TestStatementsStandInOneFileOnly(t *testing.T) {
	// A statement on pets anywhere else would escape the guard.
	for name, text := range sources(t) {
		if name == "statements.go" {
			continue
		}
		if m := regexp.MustCompile(`(?i)(FROM|INTO|UPDATE|JOIN) +(pets|tenant_spaces)\b`).FindString(text); m != "" {
			t.Errorf("%s holds SQL of its own: %q", name, m)
		}
	}
}

func TestSuiteFailsForEveryStatementThatForgetsTheTenant(t *testing.T) {
	base := petStatements
	each(&base, func(name string, text *string) {
		if name == "insert" {
			return // it has no predicate to forget; the guard reads its values
		}
		t.Run(name, func(t *testing.T) {
			s := sqliteStore(t, petstore.Shared)
			each(&s.sql, func(other string, text *string) {
				if other == name {
					*text = predicate.ReplaceAllLiteralString(*text, "WHERE $1 <> '' AND ")
				}
			})
			if passes(t, s, petstore.Shared, storetest.Cases()) {
				t.Errorf("the suite passes although %q does not name the tenant: %s", name, *text)
			}
		})
	})
}

// passes runs cases until one fails.
func passes(t *testing.T, s *Store, i petstore.Isolation, cases []storetest.Case) bool {
	t.Helper()
	for _, c := range cases {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := c.Run(ctx, fixture(s, i))
		cancel()
		if err != nil {
			t.Logf("caught by %q: %v", c.Name, err)
			return false
		}
	}
	return true
}
