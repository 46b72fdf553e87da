// Package file is the source of tenants `file`: a list in a JSON or YAML file.
package file

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Source)) }

// Source reads the tenants from a file in the form of package jsonrows:
//
//	tenants:
//	  - slug: acme-pets
//	    plan: free
//	    hosts: [pets.acme.example]
//
// It may come later and be replaced or rewritten at any time: a change is in force a
// moment after it was made. A poll of an unchanged file costs a stat.
type Source struct {
	// The file, whose name ends in .json, .yaml or .yml. Placeholders are replaced.
	Address string `json:"address"`

	tenancy.SourceOptions
}

// CaddyModule implements [caddy.Module].
func (*Source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sources.file", New: func() caddy.Module { return new(Source) }}
}

// Provision implements [caddy.Provisioner].
func (s *Source) Provision(caddy.Context) error {
	s.Address = caddy.NewReplacer().ReplaceAll(s.Address, "")
	if s.Address == "" {
		return fmt.Errorf("tenancy: the address of the source %q is empty", "file")
	}
	_, err := s.OpenSource()
	return err
}

// OpenSource implements [tenancy.SourceModule].
func (s *Source) OpenSource() (registry.Source, error) { return newSource(s.Address) }

// UnmarshalCaddyfile reads the source in a `tenancy` block:
//
//	source file <path> {
//	    interval  <duration>
//	    max_stale <duration>
//	}
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return s.UnmarshalSource(d, &s.Address, "source file: expected the path of a file", nil)
}

// Interface guards.
var (
	_ tenancy.SourceModule  = (*Source)(nil)
	_ caddy.Provisioner     = (*Source)(nil)
	_ caddyfile.Unmarshaler = (*Source)(nil)
)
