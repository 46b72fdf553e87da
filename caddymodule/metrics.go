package caddymodule

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// collectors live as long as the process, so that a reload resets no counter;
// each configuration registers them with its own registry.
//
// Label rules: a tenant's name becomes a label value only after the registry
// has found the tenant, and only for as many tenants as the configuration
// allows; nothing that a client sends ever does.
var collectors = newMetrics()

// defaultMaxSeries bounds the tenants with series of their own: each has up to
// eleven.
const defaultMaxSeries = 1000

// otherTenants is the label of all tenants beyond the cap. No slug can be
// equal to it.
const otherTenants = "_other"

// outcome is what became of a request in tenant_rate_limit.
type outcome int

const (
	decisionAllowed outcome = iota
	decisionRefused
	decisionDegraded
	decisionUnavailable
	decisionNoPlan
)

var (
	decisionNames = [...]string{"allowed", "refused", "degraded", "unavailable", "no_plan"}
	statusClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
)

type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	rejected  *prometheus.CounterVec
	decisions *prometheus.CounterVec
	state     *stateCollector

	streamsEnded prometheus.Counter

	mu     sync.Mutex
	series sync.Map // seriesKey -> *series
	named  map[tenant.Slug]bool
}

func newMetrics() *metrics {
	const ns, sub = "caddy", "tenancy"
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "requests_total",
			Help: "Requests of a known tenant by tenant, plan and class of status.",
		}, []string{"tenant", "plan", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "request_duration_seconds",
			Help:    "Time from resolving the tenant to the end of the answer, by plan.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"plan"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "rejected_requests_total",
			Help: "Requests that got the common 404, by the reason that only operators see.",
		}, []string{"reason"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "rate_limit_decisions_total",
			Help: "Decisions of tenant_rate_limit by tenant, plan and outcome.",
		}, []string{"tenant", "plan", "decision"}),
		streamsEnded: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "streams_ended_total",
			Help: "Streams that were ended because their tenant was no longer active or their caller's credential was revoked.",
		}),
		state: newStateCollector(ns + "_" + sub),
		named: make(map[tenant.Slug]bool),
	}
}

// register adds the collectors to a configuration's registry and makes the
// app's state visible through them.
func (m *metrics) register(reg *prometheus.Registry, a *App) error {
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.rejected, m.decisions, m.streamsEnded, m.state} {
		var twice prometheus.AlreadyRegisteredError
		if err := reg.Register(c); err != nil && !errors.As(err, &twice) {
			return err
		}
	}
	m.state.add(a)
	return nil
}

// release ends what register began; it may be called without it.
func (m *metrics) release(a *App) { m.state.remove(a) }

// refused counts a request without a tenant. The reasons are tenant.Reason's.
func (m *metrics) refused(reason string) { m.rejected.WithLabelValues(reason).Inc() }

// series are one tenant's metrics on one plan, looked up once.
type series struct {
	status    [len(statusClasses)]lazyCounter
	decisions [len(decisionNames)]lazyCounter
	duration  prometheus.Observer
}

type seriesKey struct {
	slug tenant.Slug
	plan tenant.Plan
}

// of returns the request's series. On the hot path it is one look-up.
func (m *metrics) of(s *state) *series {
	key := seriesKey{s.tenant.Slug, s.plan}
	if v, ok := m.series.Load(key); ok {
		return v.(*series)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.series.Load(key); ok {
		return v.(*series)
	}
	label := key.slug.String()
	if !m.named[key.slug] && len(m.named) >= s.app.MaxTenantSeries {
		// Found again under its own name when there is room: forget makes some.
		key.slug, label = tenant.Slug{}, otherTenants
		if v, ok := m.series.Load(key); ok {
			return v.(*series)
		}
	} else {
		m.named[key.slug] = true
	}
	v := m.newSeries(label, string(key.plan))
	m.series.Store(key, v)
	return v
}

func (m *metrics) newSeries(label, plan string) *series {
	s := &series{duration: m.duration.WithLabelValues(plan)}
	for i, class := range statusClasses {
		s.status[i].make = func() prometheus.Counter { return m.requests.WithLabelValues(label, plan, class) }
	}
	for i, name := range decisionNames {
		s.decisions[i].make = func() prometheus.Counter { return m.decisions.WithLabelValues(label, plan, name) }
	}
	return s
}

// prune drops the series of tenants that are gone, and so makes room under the
// cap.
func (m *metrics) prune(l tenant.Lookup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for slug := range m.named {
		if l.BySlug(slug) != nil {
			continue
		}
		delete(m.named, slug)
		m.series.Range(func(k, _ any) bool {
			if k.(seriesKey).slug == slug {
				m.series.Delete(k)
			}
			return true
		})
		m.requests.DeletePartialMatch(prometheus.Labels{"tenant": slug.String()})
		m.decisions.DeletePartialMatch(prometheus.Labels{"tenant": slug.String()})
	}
}

func (s *series) observe(status int, took time.Duration) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	s.status[class].Inc()
	s.duration.Observe(took.Seconds())
}

func (s *series) decided(d outcome) { s.decisions[d].Inc() }

// lazyCounter comes into being with its first increment, so that a tenant has
// no series for what never happened.
type lazyCounter struct {
	make func() prometheus.Counter
	once sync.Once
	c    prometheus.Counter
}

// Inc adds one.
func (l *lazyCounter) Inc() {
	l.once.Do(func() { l.c = l.make() })
	l.c.Inc()
}
