package caddymodule

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
)

// stateCollector reads sizes, ages and counts from the parts that keep them
// anyway, when somebody asks for metrics and not before. While a reload is
// under way two configurations are there; the newest one speaks.
type stateCollector struct {
	mu   sync.Mutex
	apps []*App

	tenants, hosts, problems, age, credentialsAge, loads, failures, streams, storeCalls, storeErrors, auditRecords, auditDropped, auditErrors *prometheus.Desc
}

func newStateCollector(prefix string) *stateCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+"_"+name, help, nil, nil)
	}
	return &stateCollector{
		tenants:        desc("registry_tenants", "Tenants in the index, in every status."),
		hosts:          desc("registry_hosts", "Tenants' own domains in the index."),
		problems:       desc("registry_problems", "Records that were skipped at the last load because they are not valid."),
		age:            desc("registry_age_seconds", "Time since the source was last known to say what the index says."),
		credentialsAge: desc("credentials_age_seconds", "Time since the database was last known to hold the API keys and revocations that are in force; not there if nobody needs them."),
		loads:          desc("registry_loads_total", "Loads of the index that succeeded."),
		failures:       desc("registry_refresh_errors_total", "Readings of the source that failed."),
		streams:        desc("streams", "Streams that are open: WebSockets, server-sent events and gRPC."),
		storeCalls:     desc("limiter_store_calls_total", "Scripts sent to the limiter's store; none if requests are counted in this process."),
		storeErrors:    desc("limiter_errors_total", "Scripts that the limiter's store did not answer in time, or with an error."),
		auditRecords:   desc("audit_records_total", "Events taken into the audit trail."),
		auditDropped:   desc("audit_dropped_total", "Events lost to the audit trail because a queue was full, counted for each sink that lacks them."),
		auditErrors:    desc("audit_sink_errors_total", "Writes of audit records that failed; what could not be written waits and is written again."),
	}
}

func (c *stateCollector) add(a *App) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apps = append(c.apps, a)
}

func (c *stateCollector) remove(a *App) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apps = slices.DeleteFunc(c.apps, func(other *App) bool { return other == a })
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.tenants, c.hosts, c.problems, c.age, c.credentialsAge, c.loads, c.failures, c.streams, c.storeCalls, c.storeErrors, c.auditRecords, c.auditDropped, c.auditErrors} {
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
	a := c.apps[len(c.apps)-1]
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	s := a.registry.value.Stats()
	gauge(c.tenants, float64(s.Tenants))
	gauge(c.hosts, float64(s.Hosts))
	gauge(c.problems, float64(s.Problems))
	gauge(c.age, s.Age.Seconds())
	if a.credentials != nil {
		gauge(c.credentialsAge, a.credentials.value.Age().Seconds())
	}
	count(c.loads, float64(s.Loads))
	count(c.failures, float64(s.Failures))
	gauge(c.streams, float64(a.registry.value.streams.len()))
	if store, ok := a.limiter.value.(*ratelimit.Redis); ok {
		s := store.Stats()
		count(c.storeCalls, float64(s.Calls))
		count(c.storeErrors, float64(s.Failures))
	} else {
		count(c.storeCalls, 0)
		count(c.storeErrors, 0)
	}
	if a.auditor != nil {
		s := a.auditor.value.Stats()
		count(c.auditRecords, float64(s.Recorded))
		count(c.auditDropped, float64(s.Dropped))
		count(c.auditErrors, float64(s.SinkErrors))
	}
}

// sampler lets one event through per interval, for logs that a flood of
// requests could otherwise fill.
type sampler struct {
	mu    sync.Mutex
	every time.Duration
	next  time.Time
}

func newSampler(every time.Duration) *sampler { return &sampler{every: every} }

// allow reports whether now is the interval's first.
func (s *sampler) allow(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		return false
	}
	s.next = now.Add(s.every)
	return true
}
