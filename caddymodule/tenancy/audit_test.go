package tenancy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

// failingSink fails while err is set.
type failingSink struct{ err error }

func (s *failingSink) Write(records []audit.Record) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return len(records), nil
}

func (*failingSink) Close() error { return nil }

func (*failingSink) BatchEvery() time.Duration { return time.Hour }

func TestASinkThatFailsIsInTheLogOnceInAWhileAndWhenItWorksAgain(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	sink := &failingSink{}
	now := time.Unix(1_800_000_000, 0)
	s := newReportedSink("file", sink, func() *zap.Logger { return zap.New(core) })
	s.now = func() time.Time { return now }
	for _, step := range []struct {
		name  string
		err   error
		after time.Duration
		want  string // level and beginning of what is logged
	}{
		{name: "works"},
		{name: "has no key yet", err: fmt.Errorf("delivering: %w", errNotStarted)},
		{name: "works with a key"},
		{name: "fails", err: errors.New("disk full"), want: "error audit records cannot be written"},
		{name: "fails on", err: errors.New("disk full"), after: time.Minute},
		{name: "fails for long", err: errors.New("disk full"), after: 5 * time.Minute, want: "error audit records cannot be written"},
		{name: "works again", want: "info audit records are written again"},
		{name: "works on"},
	} {
		now = now.Add(step.after)
		sink.err = step.err
		taken, err := s.Write(make([]audit.Record, 2))
		if !errors.Is(err, step.err) || (err == nil) != (taken == 2) {
			t.Errorf("%s: %d taken, %v; want the sink's own answer", step.name, taken, err)
		}
		got := ""
		for _, entry := range logs.TakeAll() {
			got += entry.Level.String() + " " + entry.Message
			if fields := entry.ContextMap(); fields["sink"] != "file" || (step.err != nil && (fields["waiting"] != int64(2) || fields["error"] != "disk full")) {
				t.Errorf("%s: fields %v", step.name, fields)
			}
		}
		if !strings.HasPrefix(got, step.want) || (step.want == "") != (got == "") {
			t.Errorf("%s: logged %q, want %q", step.name, got, step.want)
		}
	}
}

func TestAReportedSinkWantsThePauseThatItsSinkWants(t *testing.T) {
	if got := newReportedSink("http", &failingSink{}, zap.NewNop).BatchEvery(); got != time.Hour {
		t.Errorf("got %v, want its sink's hour", got)
	}
	if got := newReportedSink("log", struct{ audit.Sink }{}, zap.NewNop).BatchEvery(); got != 0 {
		t.Errorf("got %v, want none", got)
	}
}
