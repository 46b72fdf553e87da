package sqlrows

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// credentialTables are the two tables with the columns of the bundled catalog. A
// table of that name without them is somebody else's.
var credentialTables = []struct {
	name    string
	columns []string
}{
	{"api_keys", []string{"id", "hash", "slug", "name", "roles", "expires_at", "revoked_at"}},
	{"revocations", []string{"kind", "value", "issuer", "before"}},
}

// Credentials is a source of API keys and revocations, from the tables api_keys and
// revocations; one that does not exist is an empty one. Both are read as a whole, if
// the number that the bundled catalog counts their changes with has grown.
type Credentials struct{ follower }

// NewCredentials returns a source that has read nothing.
func NewCredentials(c Conn, d Dialect) *Credentials {
	return &Credentials{follower{Conn: c, dialect: d, column: "credentials", forgot: true}}
}

// Load implements [registry.CredentialSource]. A key that check refuses is left out
// and named.
func (s *Credentials) Load(ctx context.Context, check func(*registry.Key) error) (*registry.Credentials, error) {
	r := credentialReader{check: check, made: registry.NewCredentials()}
	err := s.follow(ctx, "credentials", func(run Runner, _ catalog, _ int64) error {
		for i, take := range []func(int, []any) error{r.key, r.revocation} {
			if err := s.readTable(run, i, &r, take); err != nil {
				return fmt.Errorf("reading table %q: %w", credentialTables[i].name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.made, nil
}

func (s *Credentials) readTable(run Runner, i int, r *credentialReader, take func(row int, values []any) error) error {
	table := credentialTables[i]
	columns, err := s.dialect.columns(run, table.name)
	if err != nil || len(columns) == 0 {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(table.columns), func(name string) bool { return slices.Contains(columns, name) })
	if len(missing) > 0 {
		r.made.AddProblem(registry.Problem{Position: "table " + table.name, Err: fmt.Errorf("expected columns %s: without %s it is another one's, and not read",
			strings.Join(table.columns, ", "), strings.Join(missing, ", "))})
		return nil
	}
	n := 0
	return run.rows("SELECT "+strings.Join(table.columns, ", ")+" FROM "+table.name, func(values []any) error {
		n++
		return take(n, values)
	})
}

var (
	_ registry.CredentialSource = (*Credentials)(nil)
	_ registry.Forgetful        = (*Credentials)(nil)
	_ registry.Paced            = (*Credentials)(nil)
)
