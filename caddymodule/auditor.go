package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// AuditConfig says where attempts to cross over from one tenant to another are
// recorded. Recording never makes a request wait: events are queued, and
// repeats of one client are counted into one record.
type AuditConfig struct {
	// A file with one JSON object a line, each with the hash of the one before;
	// `caddy tenancy audit verify` checks it. Its folder is made if need be.
	File string `json:"file,omitempty"`

	// The size in bytes at which the file is rotated, and how many rotated
	// files are kept. Default: 64 MiB and 10.
	RollSize int64 `json:"roll_size,omitempty"`
	RollKeep int   `json:"roll_keep,omitempty"`

	// Record to Caddy's log too, as the logger `tenancy.audit`.
	Log bool `json:"log,omitempty"`

	// Post records to this URL too, in batches, signed by the identity key; a
	// backend of any kind can take them. What it could not take is posted again
	// until it does. Placeholders may keep it out of the configuration.
	HTTP string `json:"http,omitempty"`
}

// resolved returns the configuration without placeholders.
func (c AuditConfig) resolved(repl *caddy.Replacer) (AuditConfig, error) {
	for _, p := range []struct {
		value *string
		what  string
	}{
		{&c.File, "name of the audit file"},
		{&c.HTTP, "URL of the audit receiver"},
	} {
		if *p.value == "" {
			continue
		}
		if *p.value = repl.ReplaceAll(*p.value, ""); *p.value == "" {
			return c, fmt.Errorf("tenancy: the %s is empty", p.what)
		}
	}
	return c, nil
}

// open finds or makes the trail, or returns nil if there is nothing to record
// to. No file is opened and nothing is dialled before the first record.
func (c AuditConfig) open(repl *caddy.Replacer, id IdentityConfig) (*pooled[*trail], error) {
	c, err := c.resolved(repl)
	if err != nil {
		return nil, err
	}
	if c.HTTP != "" && id.Key == "" {
		return nil, errors.New("tenancy: audit http: no key to sign with; expected 'identity_key FILE'")
	}
	if c.File == "" && c.HTTP == "" && !c.Log {
		return nil, nil
	}
	key, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return hold("audit "+string(key), func() (*trail, error) { return newTrail(c) })
}

// prepare makes the file's folder. It runs at Start, since validating a
// configuration must not write.
func (c AuditConfig) prepare(repl *caddy.Replacer) error {
	c, err := c.resolved(repl)
	if err != nil || c.File == "" {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.File), 0o700); err != nil {
		return fmt.Errorf("tenancy: making the audit file's folder: %w", err)
	}
	return nil
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
	a.emit(e)
	if a.auditor == nil {
		return
	}
	e.Time, e.Method, e.Host, e.Path, e.RequestID = time.Now(), r.Method, r.Host, r.URL.Path, requestID(r)
	e.ClientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	a.auditor.value.Record(e)
}

// eventCrossing is the Caddy event for an attempt to cross over.
const eventCrossing = "tenancy_crossing"

// emit raises a Caddy event, so that an operator can hook an alert, at most
// one in ten seconds: handlers may start programs. They run beside the
// request.
func (a *App) emit(e audit.Event) {
	if a.events == nil || !a.events.ShouldEmit(eventCrossing) || !a.alerts.allow(time.Now()) {
		return
	}
	data := map[string]any{"type": e.Type, "tenant": e.Tenant, "user_tenant": e.UserTenant, "user": e.User, "claimed": e.Claimed}
	go a.events.Emit(a.ctx, eventCrossing, data)
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
