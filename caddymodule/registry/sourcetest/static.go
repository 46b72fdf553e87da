package sourcetest

import (
	"context"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// Static returns a source of records that never change, for tests of who uses a
// registry.
func Static(records ...registry.Record) registry.Source { return &static{records: records} }

type static struct {
	records []registry.Record
	loaded  bool
}

func (s *static) Load(context.Context) ([]registry.Record, error) {
	if s.loaded {
		return nil, registry.ErrUnchanged
	}
	s.loaded = true
	return s.records, nil
}

func (s *static) Forget()            { s.loaded = false }
func (s *static) EmptyIsMeant() bool { return true }
func (s *static) String() string     { return "static list" }
func (s *static) Close() error       { return nil }
