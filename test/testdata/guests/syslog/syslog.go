// Package syslog is a sink of the audit log that writes to syslog.
package syslog

import (
	"log/syslog"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() { caddy.RegisterModule(new(Syslog)) }

// Syslog writes records to a syslog receiver.
type Syslog struct {
	// Where it listens: a network (udp, tcp, unixgram) and an address.
	Network string `json:"network"`
	Address string `json:"address"`
}

// CaddyModule returns the module's identity.
func (*Syslog) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy.sinks.syslog", New: func() caddy.Module { return new(Syslog) }}
}

// OpenSink implements tenancy.SinkModule.
func (s *Syslog) OpenSink() (audit.Sink, error) { return &sink{config: *s}, nil }

// sink dials with the first record, and again after a failure.
type sink struct {
	config Syslog
	conn   *syslog.Writer
}

// Write implements audit.Sink.
func (s *sink) Write(records []audit.Record) (taken int, err error) {
	if s.conn == nil {
		if s.conn, err = syslog.Dial(s.config.Network, s.config.Address, syslog.LOG_WARNING|syslog.LOG_AUTH, "tenancy"); err != nil {
			return 0, err
		}
	}
	for i := range records {
		if err := s.conn.Warning(string(records[i].AppendJSON(nil))); err != nil {
			return i, err
		}
	}
	return len(records), nil
}

// Close implements audit.Sink.
func (s *sink) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// UnmarshalCaddyfile reads
//
//	audit syslog <network> <address>
func (s *Syslog) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if !d.AllArgs(&s.Network, &s.Address) {
		return d.Err("syslog: expected a network and an address, as in udp 127.0.0.1:514")
	}
	return nil
}

var (
	_ tenancy.SinkModule    = (*Syslog)(nil)
	_ caddyfile.Unmarshaler = (*Syslog)(nil)
)
