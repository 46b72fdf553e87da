package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// trail is a recorder and what signs its deliveries. It outlives
// configurations, and so the key with which it began: each configuration that
// starts hands its signer in, so that a rotated key is in use after the reload
// while what is queued stays queued.
type trail struct {
	*audit.Recorder
	signer atomic.Pointer[identity.Signer]
}

func newTrail(c AuditConfig) (*trail, error) {
	t := new(trail)
	var sinks []audit.Sink
	if c.File != "" {
		sinks = append(sinks, newLoudSink("file", &fileSink{path: c.File, options: audit.FileOptions{MaxSize: c.RollSize, Keep: c.RollKeep}}))
	}
	if c.Log {
		sinks = append(sinks, logSink{})
	}
	if c.HTTP != "" {
		sink, err := audit.NewHTTP(audit.HTTPOptions{URL: c.HTTP, Sign: t.sign})
		if err != nil {
			return nil, fmt.Errorf("tenancy: %w", err)
		}
		sinks = append(sinks, newLoudSink("http", sink))
	}
	var err error
	if t.Recorder, err = audit.Open(audit.Options{Sinks: sinks, Now: time.Now}); err != nil {
		return nil, fmt.Errorf("tenancy: %w", err)
	}
	return t, nil
}

// errNotStarted lasts until the first configuration with the trail has its key.
var errNotStarted = errors.New("nothing to sign with yet")

func (t *trail) sign(header http.Header, body []byte, now time.Time) error {
	signer := t.signer.Load()
	if signer == nil {
		return errNotStarted
	}
	token, err := signer.SignAudit(body, now)
	if err != nil {
		return err
	}
	header.Set(identity.HeaderAudit, token)
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

func (f *fileSink) Write(records []audit.Record) (taken int, err error) {
	if f.sink == nil {
		sink, err := audit.NewFile(f.path, f.options)
		if err != nil {
			return 0, err
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

func (logSink) Write(records []audit.Record) (taken int, err error) {
	log := caddy.Log().Named("tenancy.audit")
	for i := range records {
		log.Warn(records[i].Type, zap.Any("record", json.RawMessage(records[i].AppendJSON(nil))))
	}
	return len(records), nil
}

func (logSink) Close() error { return nil }

// failuresEvery is how often a sink that goes on failing is in the log.
const failuresEvery = 5 * time.Minute

// loudSink says in Caddy's log when its sink fails and when it works again.
type loudSink struct {
	audit.Sink
	name    string
	sampled *sampler
	said    bool // that it fails
}

func newLoudSink(name string, s audit.Sink) *loudSink {
	return &loudSink{Sink: s, name: name, sampled: newSampler(failuresEvery)}
}

func (l *loudSink) Write(records []audit.Record) (taken int, err error) {
	taken, err = l.Sink.Write(records)
	switch {
	case err == nil && l.said:
		l.said = false
		caddy.Log().Named("tenancy.audit").Info("audit records are written again", zap.String("sink", l.name))
	case err != nil && !errors.Is(err, errNotStarted) && l.sampled.allow(time.Now()):
		l.said = true
		caddy.Log().Named("tenancy.audit").Error("audit records cannot be written; they wait, as many as fit",
			zap.String("sink", l.name), zap.Int("waiting", len(records)-taken), zap.Error(err))
	}
	return taken, err
}

// Pace implements audit.Paced for sinks that do.
func (l *loudSink) Pace() time.Duration {
	if p, ok := l.Sink.(audit.Paced); ok {
		return p.Pace()
	}
	return 0
}
