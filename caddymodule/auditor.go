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
	"go.uber.org/zap"

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
}

// open finds or makes the recorder, or returns nil if there is nothing to
// record to. The file itself is opened when the first record is written.
func (c AuditConfig) open(repl *caddy.Replacer) (*pooled[*audit.Recorder], error) {
	file := repl.ReplaceAll(c.File, "")
	if file == "" && c.File != "" {
		return nil, errors.New("tenancy: the name of the audit file is empty")
	}
	if file == "" && !c.Log {
		return nil, nil
	}
	key := fmt.Sprintf("audit %q %d %d %v", file, c.RollSize, c.RollKeep, c.Log)
	return hold(key, func() (*audit.Recorder, error) {
		var sinks []audit.Sink
		if file != "" {
			sinks = append(sinks, &fileSink{path: file, options: audit.FileOptions{MaxSize: c.RollSize, Keep: c.RollKeep}})
		}
		if c.Log {
			sinks = append(sinks, logSink{})
		}
		recorder, err := audit.Open(audit.Options{Sinks: sinks, Now: time.Now})
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		return recorder, nil
	})
}

// prepare makes the file's folder. It runs at Start, since validating a
// configuration must not write.
func (c AuditConfig) prepare(repl *caddy.Replacer) error {
	file := repl.ReplaceAll(c.File, "")
	if file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("tenancy: making the audit file's folder: %w", err)
	}
	return nil
}

// fileSink opens the file with the first record: a configuration is
// provisioned to be validated too, and that must not write. The recorder calls
// it from one goroutine.
type fileSink struct {
	path    string
	options audit.FileOptions
	sink    audit.Sink
}

func (f *fileSink) Write(records []audit.Record) error {
	if f.sink == nil {
		sink, err := audit.NewFile(f.path, f.options)
		if err != nil {
			return err
		}
		f.sink = sink
	}
	return f.sink.Write(records)
}

func (f *fileSink) Close() error {
	if f.sink == nil {
		return nil
	}
	return f.sink.Close()
}

// logSink writes records to Caddy's log. It asks for the logger each time,
// because it outlives the configuration whose logger it would hold.
type logSink struct{}

func (logSink) Write(records []audit.Record) error {
	log := caddy.Log().Named("tenancy.audit")
	for i := range records {
		log.Warn(records[i].Type, zap.Any("record", json.RawMessage(records[i].AppendJSON(nil))))
	}
	return nil
}

func (logSink) Close() error { return nil }

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
