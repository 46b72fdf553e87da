package sqlrows

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// Tenants is a source of tenants. Where the bundled catalog counts its changes, a
// poll reads one number and the rows above it.
type Tenants struct {
	follower

	query   string
	records []registry.Record // as of the last poll
	meant   bool
}

// NewTenants returns a source of what the query yields, or, if it is empty, of the
// tables tenants and tenant_hosts.
func NewTenants(c Conn, d Dialect, query string) *Tenants {
	s := &Tenants{follower: follower{Conn: c, dialect: d, forgot: true}, query: strings.TrimSpace(query)}
	if s.query == "" {
		s.column = "revision"
	}
	return s
}

// String implements [registry.Source]. A query is a part of what the source is.
func (s *Tenants) String() string {
	if s.query == "" {
		return s.Conn.String()
	}
	sum := sha256.Sum256([]byte(s.query))
	return fmt.Sprintf("%s query %x", s.Conn, sum[:4])
}

// EmptyIsMeant implements [registry.EmptyMeant]: tables without rows say so.
func (s *Tenants) EmptyIsMeant() bool { return s.meant }

// Load implements [registry.Source].
func (s *Tenants) Load(ctx context.Context) ([]registry.Record, error) {
	if err := s.follow(ctx, "tenants", s.read); err != nil {
		return nil, err
	}
	return s.records, nil
}

func (s *Tenants) read(run Runner, c catalog, since int64) (err error) {
	if since > 0 {
		if all, err := s.readChanges(run, c, since); all || err != nil {
			return err
		}
	}
	query := s.query
	if query == "" {
		if query, err = c.query(""); err != nil {
			return err
		}
	}
	s.records, err = run.records(query, c.bundled())
	s.meant = true
	if err == nil && len(s.records) == 0 && s.dialect.Hidden != "" {
		var hidden []any
		hidden, err = run.one(s.dialect.Hidden)
		s.meant = err == nil && hidden[0] == false
	}
	return err
}

// readChanges reads the rows above the number, and reports whether that leads to all
// records. Those that are gone show in the count: the rows that were known and those
// that are read now are together as many as there are only if none is gone.
func (s *Tenants) readChanges(run Runner, c catalog, since int64) (all bool, err error) {
	query, err := c.query(fmt.Sprintf("revision > %d", since))
	if err != nil {
		return false, err
	}
	count, err := run.one("SELECT count(*) FROM tenants")
	if err != nil {
		return false, err
	}
	changed, err := run.records(query, true)
	if err != nil {
		return false, err
	}
	merged := registry.Merge(s.records, changed, nil)
	if len(merged) == 0 || count[0] != int64(len(merged)) {
		return false, nil
	}
	s.records = merged
	return true, nil
}

var (
	_ registry.Source     = (*Tenants)(nil)
	_ registry.Forgetful  = (*Tenants)(nil)
	_ registry.EmptyMeant = (*Tenants)(nil)
	_ registry.Paced      = (*Tenants)(nil)
)
