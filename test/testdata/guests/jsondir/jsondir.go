// Package jsondir is a source of tenants: a folder of JSON files, one per tenant.
package jsondir

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() { caddy.RegisterModule(new(JSONDir)) }

// JSONDir reads the files SLUG.json of a folder.
type JSONDir struct {
	// The folder.
	Path string `json:"path"`

	tenancy.SourceOptions
}

// CaddyModule returns the module's identity.
func (*JSONDir) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sources.jsondir", New: func() caddy.Module { return new(JSONDir) }}
}

// OpenSource implements tenancy.SourceModule.
func (j *JSONDir) OpenSource() (registry.Source, error) { return folder(j.Path), nil }

// UnmarshalCaddyfile reads
//
//	source jsondir <path> {
//	    interval  <duration>
//	    max_stale <duration>
//	}
func (j *JSONDir) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return j.UnmarshalSource(d, &j.Path, "jsondir: expected the path of a folder", nil)
}

// folder is the source: it reads everything each time, and the registry compares.
type folder string

func (f folder) Load(context.Context) ([]registry.Record, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	var records []registry.Record
	for _, e := range entries {
		slug, isJSON := strings.CutSuffix(e.Name(), ".json")
		if !isJSON {
			continue
		}
		record := registry.Record{Slug: slug}
		var fields map[string]any
		text, err := os.ReadFile(filepath.Join(string(f), e.Name()))
		if err == nil {
			err = json.Unmarshal(text, &fields)
		}
		if err != nil {
			record.Fail("", err)
		}
		for name, value := range fields {
			record.Set(name, value)
		}
		records = append(records, record)
	}
	return records, nil
}

func (f folder) String() string { return "jsondir " + string(f) }

func (f folder) Close() error { return nil }

var (
	_ tenancy.SourceModule  = (*JSONDir)(nil)
	_ caddyfile.Unmarshaler = (*JSONDir)(nil)
)
