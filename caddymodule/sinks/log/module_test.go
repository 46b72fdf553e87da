package log

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit/sinktest"
)

func TestTheLogKeepsTheContractOfASink(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		core, logs := observer.New(zapcore.DebugLevel)
		return sinktest.Place{
			Open: func() (audit.Sink, error) { return sink{func() *zap.Logger { return zap.New(core) }}, nil },
			Read: func() []string {
				var ids []string
				for _, entry := range logs.All() {
					var rec struct {
						Type      string
						RequestID string `json:"request_id"`
					}
					raw, _ := entry.ContextMap()["record"].(json.RawMessage)
					if err := json.Unmarshal(raw, &rec); err != nil || rec.Type != entry.Message || entry.LoggerName != "tenancy.audit" {
						t.Fatalf("%+v: %v", entry, err)
					}
					ids = append(ids, rec.RequestID)
				}
				return ids
			},
		}
	})
}

func TestTheModuleOpensASinkForCaddysLog(t *testing.T) {
	s, err := new(Sink).OpenSink()
	if err != nil {
		t.Fatal(err)
	}
	if s.(sink).logger() == nil {
		t.Error("no logger")
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing wrong", "log", ""},
		{"an argument", "log x", "audit: expected 'file PATH', 'log' or 'http URL'"},
		{"an option", "log {\ncolour red\n}", `audit: unknown option "colour"; 'audit log' has none`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := new(Sink).UnmarshalCaddyfile(caddyfile.NewTestDispenser(test.text))
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
