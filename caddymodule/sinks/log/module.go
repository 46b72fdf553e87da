// Package log is the sink `log` of the audit log: Caddy's own log.
package log

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink records to Caddy's log, as the logger `tenancy.audit`, at the level WARN:
// the record's type is the message, the record itself the field `record`.
type Sink struct{}

// CaddyModule describes the module to Caddy.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sinks.log", New: func() caddy.Module { return new(Sink) }}
}

// OpenSink implements [tenancy.SinkModule].
func (*Sink) OpenSink() (audit.Sink, error) { return sink{caddy.Log}, nil }

// UnmarshalCaddyfile reads `audit log`, beginning at the word "log".
func (*Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Err("audit: expected 'file PATH', 'log' or 'http URL', each at most once")
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("audit: unknown option %q; 'audit log' has none", d.Val())
	}
	return nil
}

// sink asks for the logger each time, because it outlives the configuration whose
// logger it would hold.
type sink struct{ logger func() *zap.Logger }

func (s sink) Write(records []audit.Record) (taken int, err error) {
	log := s.logger().Named("tenancy.audit")
	for i := range records {
		log.Warn(records[i].Type, zap.Any("record", json.RawMessage(records[i].AppendJSON(nil))))
	}
	return len(records), nil
}

func (sink) Close() error { return nil }

var (
	_ caddyfile.Unmarshaler = (*Sink)(nil)
	_ tenancy.SinkModule    = (*Sink)(nil)
)
