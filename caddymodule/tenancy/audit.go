package tenancy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// auditLog is a recorder and what signs its deliveries. It outlives configurations,
// and so the key with which it began: each configuration that starts hands its
// signer in, so that a rotated key is in use while what is queued stays queued.
type auditLog struct {
	*audit.Recorder
	sinks  []audit.Sink
	signer atomic.Pointer[keySigner]
}

// openAudit finds or makes the recorder, if there is anything to record to.
func (a *App) openAudit() error {
	if len(a.AuditRaw) == 0 {
		return nil
	}
	loaded, err := a.ctx.LoadModule(a, "AuditRaw")
	if err != nil {
		return fmt.Errorf("tenancy: audit: %w", err)
	}
	guests := make([]SinkModule, 0, len(a.AuditRaw))
	pool := "audit"
	for _, m := range loaded.([]any) {
		guest, ok := m.(SinkModule)
		if !ok {
			return fmt.Errorf("tenancy: audit: module %T is no sink", m)
		}
		key, err := moduleKey(guest)
		if err != nil {
			return err
		}
		guests, pool = append(guests, guest), pool+" "+key
	}
	a.auditLog, err = shared.Hold(pool, func() (*auditLog, error) { return newAuditLog(guests, a.Identity.Key != "") })
	if err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	return nil
}

func newAuditLog(guests []SinkModule, hasKey bool) (*auditLog, error) {
	l := new(auditLog)
	reported := make([]audit.Sink, 0, len(guests))
	for _, guest := range guests {
		name := guest.CaddyModule().ID.Name()
		sink, err := guest.OpenSink()
		if err != nil {
			return nil, err
		}
		if signed, ok := sink.(audit.SignedSink); ok {
			if !hasKey {
				return nil, fmt.Errorf("audit %s: no key to sign with; expected 'identity_key FILE'", name)
			}
			signed.SignWith(l.sign)
		}
		l.sinks = append(l.sinks, sink)
		reported = append(reported, newReportedSink(name, sink, func() *zap.Logger { return caddy.Log().Named("tenancy.audit") }))
	}
	var err error
	l.Recorder, err = audit.Open(reported...)
	return l, err
}

// sign puts the gateway's signature over a delivery's body into its header.
func (l *auditLog) sign(header http.Header, body []byte, now time.Time) error {
	keys := l.signer.Load()
	if keys == nil {
		return errNotStarted
	}
	signer, err := keys.get()
	if err != nil {
		return err
	}
	token, err := signer.SignAudit(body, now)
	if err != nil {
		return err
	}
	header.Set(identity.HeaderAudit, token)
	return nil
}

// startAudit lets the sinks prepare what they write to, and hands the signer in.
func (a *App) startAudit() error {
	if a.auditLog == nil {
		return nil
	}
	a.auditLog.Value.signer.Store(&a.signer)
	for _, sink := range a.auditLog.Value.sinks {
		if p, ok := sink.(audit.PreparedSink); ok {
			if err := p.Prepare(); err != nil {
				return fmt.Errorf("tenancy: %w", err)
			}
		}
	}
	return nil
}

// RecordConflict writes down that parts of one request named different tenants:
// somebody tries the door between two of them.
func (a *App) RecordConflict(r *http.Request, claims []resolve.Claim) {
	e := audit.Event{Type: audit.TypeConflict, Reason: tenant.Reason(tenant.ErrConflict)}
	for _, c := range claims {
		e.Claimed = append(e.Claimed, c.Source+"="+c.Slug.String())
	}
	a.Record(r, e)
}

// RecordMisdirected writes down that a connection made for one tenant asks for another
// one. Browsers that share connections do so without malice; repeats are counted into
// one record.
func (a *App) RecordMisdirected(r *http.Request) {
	a.Record(r, audit.Event{Type: audit.TypeConflict, Reason: "misdirected", Claimed: []string{"sni=" + r.TLS.ServerName, "host=" + r.Host}})
}

// Record completes an event with what it says of the request and hands it to the
// recorder, if there is one. It never blocks.
func (a *App) Record(r *http.Request, e audit.Event) {
	a.emit(e)
	if a.auditLog == nil {
		return
	}
	e.Time, e.Method, e.Host, e.Path, e.RequestID = time.Now(), r.Method, r.Host, r.URL.Path, requestID(r.Context())
	e.ClientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	a.auditLog.Value.Record(e)
}

// eventCrossing is the Caddy event for an attempt to cross over.
const eventCrossing = "tenancy_crossing"

// emit raises a Caddy event, so that an operator can hook an alert, at most
// one in ten seconds: handlers may start programs. They run beside the
// request.
func (a *App) emit(e audit.Event) {
	if !a.events.ShouldEmit(eventCrossing) || !a.alerts.Allow() {
		return
	}
	data := map[string]any{"type": e.Type, "tenant": e.Tenant, "user_tenant": e.UserTenant, "user": e.User, "claimed": e.Claimed}
	go a.events.Emit(a.ctx, eventCrossing, data)
}

// requestID is Caddy's {http.request.uuid}, which the access log can carry too.
func requestID(ctx context.Context) string {
	repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	id, _ := repl.GetString("http.request.uuid")
	return id
}

// sinkFailuresEvery is how often a sink that goes on failing is in the log.
const sinkFailuresEvery = 5 * time.Minute

// errNotStarted is what the signer given to sinks returns until the first
// configuration that has them has its key.
var errNotStarted = errors.New("nothing to sign with yet")

// reportedSink says in Caddy's log when its sink fails and when it works again.
type reportedSink struct {
	audit.Sink
	name    string
	log     func() *zap.Logger // asked each time: the sink outlives configurations
	now     func() time.Time
	sampled *rate.Limiter
	failing bool // and said so
}

func newReportedSink(name string, s audit.Sink, log func() *zap.Logger) *reportedSink {
	return &reportedSink{Sink: s, name: name, log: log, now: time.Now, sampled: rate.NewLimiter(rate.Every(sinkFailuresEvery), 1)}
}

// Write implements [audit.Sink].
func (s *reportedSink) Write(records []audit.Record) (taken int, err error) {
	taken, err = s.Sink.Write(records)
	switch {
	case err == nil && s.failing:
		s.failing = false
		s.log().Info("audit records are written again", zap.String("sink", s.name))
	case err != nil && !errors.Is(err, errNotStarted) && s.sampled.AllowN(s.now(), 1):
		s.failing = true
		s.log().Error("audit records cannot be written; they wait, as many as fit",
			zap.String("sink", s.name), zap.Int("waiting", len(records)-taken), zap.Error(err))
	}
	return taken, err
}

// BatchEvery implements [audit.BatchingSink] for sinks that do.
func (s *reportedSink) BatchEvery() time.Duration {
	if b, ok := s.Sink.(audit.BatchingSink); ok {
		return b.BatchEvery()
	}
	return 0
}

var _ audit.BatchingSink = (*reportedSink)(nil)
