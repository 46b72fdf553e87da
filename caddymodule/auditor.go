package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// AuditConfig says where attempts to cross over from one tenant to another are
// recorded.
type AuditConfig struct {
	// The file, one JSON object a line, each with the hash of the one before.
	// It is rotated. Empty: nothing is recorded.
	File string `json:"file,omitempty"`
}

// open finds or makes the recorder, or returns nil if there is nothing to
// record to. The file itself is opened when the first record is written.
func (c AuditConfig) open(repl *caddy.Replacer) (*pooled[*audit.Recorder], error) {
	file := repl.ReplaceAll(c.File, "")
	if file == "" {
		if c.File != "" {
			return nil, errors.New("tenancy: the name of the audit file is empty")
		}
		return nil, nil
	}
	return hold("audit file "+file, func() (*audit.Recorder, error) {
		sink, err := audit.NewFile(file, audit.FileOptions{})
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		recorder, err := audit.Open(audit.Options{Sinks: []audit.Sink{sink}, Now: time.Now})
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		return recorder, nil
	})
}

// recordConflict writes down that parts of one request named different
// tenants: somebody tries the door between two of them.
func (a *App) recordConflict(r *http.Request, claims []resolve.Claim) {
	e := audit.Event{Type: audit.TypeConflict, Reason: tenant.Reason(tenant.ErrConflict)}
	for _, c := range claims {
		e.Claimed = append(e.Claimed, c.Source+"="+c.Slug.String())
	}
	a.record(r, e)
}

// record completes an event with what it says of the request and hands it to
// the recorder, if there is one. It never blocks.
func (a *App) record(r *http.Request, e audit.Event) {
	if a.auditor == nil {
		return
	}
	e.Time, e.Method, e.Host, e.Path, e.RequestID = time.Now(), r.Method, r.Host, r.URL.Path, requestID(r)
	e.ClientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	a.auditor.value.Record(e)
}

// requestID is Caddy's {http.request.uuid}, which the access log can carry
// too.
func requestID(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString("http.request.uuid")
	return id
}
