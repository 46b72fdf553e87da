package tenancy

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

// SinkModule is a module in the namespace tenancy.sinks: where audit records go. In
// a Caddyfile, `audit NAME ...` is read by the UnmarshalCaddyfile of the module
// tenancy.sinks.NAME.
//
// Provision replaces placeholders and checks what can be checked without I/O, since
// `caddy validate` runs it too.
type SinkModule interface {
	caddy.Module

	// OpenSink returns a sink of its own at each call; it does no I/O: files are
	// opened and receivers dialled with the first record. The sink may outlive the
	// configuration: it holds no logger and no context of it.
	OpenSink() (audit.Sink, error)
}

// Signer puts the gateway's signature over a delivery's body into its header.
type Signer func(header http.Header, body []byte, now time.Time) error

// SignedSink is an [audit.Sink] whose deliveries are signed by the identity key. The
// app hands the signer in before the first record; it needs `identity_key`.
type SignedSink interface {
	audit.Sink
	SignWith(Signer)
}

// PreparedSink is an [audit.Sink] that has something to do when a configuration
// starts, as making a folder. An error stops the start.
type PreparedSink interface {
	audit.Sink
	Prepare() error
}
