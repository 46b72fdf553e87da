package tenancy

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/limit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/metrics"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
)

// stateMetrics are sizes, ages and counts that parts keep anyway. They are read when
// somebody asks for metrics and not before.
var stateMetrics = []struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*appState) (v float64, there bool)
}{
	{"registry_tenants", "Tenants in the index, in every status.", prometheus.GaugeValue,
		func(s *appState) (float64, bool) { return float64(s.tenants.Tenants), true }},
	{"registry_hosts", "Tenants' own domains in the index.", prometheus.GaugeValue,
		func(s *appState) (float64, bool) { return float64(s.tenants.Hosts), true }},
	{"registry_problems", "Faults in the records at the last load.", prometheus.GaugeValue,
		func(s *appState) (float64, bool) { return float64(s.tenants.Problems), true }},
	{"registry_age_seconds", "Time since the source was last known to say what the index says.", prometheus.GaugeValue,
		func(s *appState) (float64, bool) { return s.tenants.Age.Seconds(), true }},
	{"registry_loads_total", "Loads of the index that succeeded.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.tenants.Loads), true }},
	{"registry_refresh_errors_total", "Readings of the source that failed.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.tenants.Failures), true }},
	{"credentials_age_seconds", "Time since the source was last known to hold the API keys and revocations that are in force; not there if nobody needs them.", prometheus.GaugeValue,
		func(s *appState) (float64, bool) {
			feed := s.app.credentials.Get()
			if feed == nil {
				return 0, false
			}
			return feed.Age().Seconds(), true
		}},
	{"streams", "Streams that are open: WebSockets, server-sent events and gRPC.", prometheus.GaugeValue,
		func(s *appState) (float64, bool) { return float64(s.app.streams.Value.Len()), true }},
	{"limiter_store_calls_total", "Scripts sent to the limiter's store; none if requests are counted in this process.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.store.Calls), true }},
	{"limiter_errors_total", "Scripts that the limiter's store did not answer in time, or with an error.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.store.Failures), true }},
	{"audit_records_total", "Events taken into the audit log.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.audit.Recorded), s.app.auditLog != nil }},
	{"audit_dropped_total", "Events lost to the audit log because a queue was full, counted for each sink that lacks them.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.audit.Dropped), s.app.auditLog != nil }},
	{"audit_sink_errors_total", "Writes of audit records that failed; what could not be written waits and is written again.", prometheus.CounterValue,
		func(s *appState) (float64, bool) { return float64(s.audit.SinkErrors), s.app.auditLog != nil }},
}

// appState is what the parts of an app say at one moment.
type appState struct {
	app     *App
	tenants registry.Stats
	store   limit.StoreStats
	audit   audit.Stats
}

// stateCollector speaks for the newest configuration: while a reload is under way, and
// behind one that failed, there are two.
type stateCollector struct {
	mu    sync.Mutex
	apps  []*App
	descs []*prometheus.Desc
}

// registerState makes the app's state visible as metrics.
func (a *App) registerState(reg *prometheus.Registry) (err error) {
	a.state, err = shared.Hold("state metrics", func() (*stateCollector, error) {
		c := new(stateCollector)
		for _, m := range stateMetrics {
			c.descs = append(c.descs, prometheus.NewDesc("caddy_tenancy_"+m.name, m.help, nil, nil))
		}
		return c, nil
	})
	if err != nil {
		return err
	}
	c := a.state.Value
	c.mu.Lock()
	c.apps = append(c.apps, a)
	c.mu.Unlock()
	return metrics.Register(reg, c)
}

// releaseState ends what registerState began; it may be called without it.
func (a *App) releaseState() error {
	if c := a.state.Get(); c != nil {
		c.mu.Lock()
		c.apps = slices.DeleteFunc(c.apps, func(other *App) bool { return other == a })
		c.mu.Unlock()
	}
	return a.state.Release()
}

// Close implements io.Closer, for sharing. There is nothing to close.
func (*stateCollector) Close() error { return nil }

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.apps) == 0 {
		return
	}
	app := c.apps[len(c.apps)-1]
	s := appState{app: app, tenants: app.tenants.Value.Stats()}
	if counted, ok := app.limiter.Value.(limit.Counted); ok {
		s.store = counted.StoreStats()
	}
	if app.auditLog != nil {
		s.audit = app.auditLog.Value.Stats()
	}
	for i, m := range stateMetrics {
		if v, there := m.value(&s); there {
			out <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v)
		}
	}
}
