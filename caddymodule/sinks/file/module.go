// Package file is the sink `file` of the audit log: JSON lines, each with the hash
// of the one before.
package file

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink records to a file with one JSON object a line, each with the hash of the
// one before; `caddy tenancy audit verify` checks it and the files that it was
// rotated to, PATH.1 being the youngest. Files are readable for their owner alone.
// While the file cannot be written, or another process has it, records wait.
type Sink struct {
	// The file's name. Its folder is made at start if need be, for its owner
	// alone. Placeholders are replaced. Required.
	Path string `json:"path,omitempty"`

	// The size in bytes at which the file is rotated. Default: 67108864 (64 MiB).
	RollSize int64 `json:"roll_size,omitempty"`

	// How many rotated files are kept; older ones are removed. Default: 10.
	RollKeep int `json:"roll_keep,omitempty"`
}

// CaddyModule describes the module to Caddy.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sinks.file", New: func() caddy.Module { return new(Sink) }}
}

// Provision replaces placeholders and checks the options.
func (s *Sink) Provision(caddy.Context) error {
	if s.Path = caddy.NewReplacer().ReplaceAll(s.Path, ""); s.Path == "" {
		return errors.New("the name of the audit file is empty")
	}
	if s.RollSize < 0 || s.RollKeep < 0 {
		return errors.New("roll_size and roll_keep: expected positive numbers")
	}
	return nil
}

// OpenSink implements [tenancy.SinkModule].
func (s *Sink) OpenSink() (audit.Sink, error) {
	return audit.NewFile(s.Path, audit.FileOptions{MaxSize: s.RollSize, Keep: s.RollKeep}), nil
}

// UnmarshalCaddyfile reads
//
//	audit file <path> {
//		roll_size <size>     # as in 64MiB
//		roll_keep <number>
//	}
//
// beginning at the word "file".
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&s.Path) || s.Path == "" {
		return d.Err("audit: expected 'file PATH', 'log' or 'http URL', each at most once")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch option := d.Val(); option {
		case "roll_size":
			var text string
			if !d.AllArgs(&text) {
				return d.Err("roll_size: expected a size, as in 64MiB")
			}
			size, err := humanize.ParseBytes(text)
			if err != nil || size < 1<<10 || size > 1<<40 {
				return d.Errf("roll_size: bad size %q; expected 1KiB to 1TiB, as in 64MiB", text)
			}
			s.RollSize = int64(size)
		case "roll_keep":
			n, err := tenancy.NumberArg(d, 10_000)
			if err != nil {
				return err
			}
			s.RollKeep = int(n)
		default:
			return d.Errf("audit: unknown option %q; expected roll_size or roll_keep", option)
		}
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Sink)(nil)
	_ caddyfile.Unmarshaler = (*Sink)(nil)
	_ tenancy.SinkModule    = (*Sink)(nil)
)
