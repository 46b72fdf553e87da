// Package metrics counts requests by tenant, in a bounded number of series.
package metrics

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/shared"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// DefaultMaxSeries bounds the tenants with series of their own: each has up to
// eleven.
const DefaultMaxSeries = 1000

// otherTenants is the label of all tenants beyond the cap. No slug can be
// equal to it.
const otherTenants = "_other"

// Decision is what became of a request in tenant_rate_limit.
type Decision int

// The decisions.
const (
	Allowed Decision = iota
	Refused
	Degraded
	Unavailable
	NoPlan
)

var (
	decisionNames = [...]string{"allowed", "refused", "degraded", "unavailable", "no_plan"}
	statusClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
)

// Metrics are the collectors. They are shared by the configurations of a process,
// so that a reload resets no counter; each configuration registers them with its own
// registry. They are safe for concurrent use.
//
// Label rules: a tenant's name becomes a label value only after the registry has
// found the tenant, and only for as many tenants as the configuration allows;
// nothing that a client sends ever does.
type Metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	rejected  *prometheus.CounterVec
	decisions *prometheus.CounterVec

	certificates, malformed *prometheus.CounterVec
	streamsEnded            prometheus.Counter

	mu     sync.Mutex
	series sync.Map // seriesKey -> *Series
	named  map[tenant.Slug]bool
}

// New makes the collectors.
func New() *Metrics {
	const ns, sub = "caddy", "tenancy"
	return &Metrics{
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
		certificates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "certificate_decisions_total",
			Help: "Names without a certificate in memory that a client asked for, by what permission tenant said.",
		}, []string{"decision"}),
		malformed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "malformed_requests_total",
			Help: "Requests that strict_http refused, by what was wrong with them.",
		}, []string{"fault"}),
		named: make(map[tenant.Slug]bool),
	}
}

// Hold finds or makes the process's metrics and registers them. Several modules of a
// configuration may do so.
func Hold(reg *prometheus.Registry) (*shared.Reference[*Metrics], error) {
	m, err := shared.Hold("metrics", func() (*Metrics, error) { return New(), nil })
	if err != nil {
		return nil, err
	}
	v := m.Value
	for _, c := range []prometheus.Collector{v.requests, v.duration, v.rejected, v.decisions, v.streamsEnded, v.certificates, v.malformed} {
		if err := Register(reg, c); err != nil {
			return nil, errors.Join(err, m.Release())
		}
	}
	return m, nil
}

// Register adds a collector to a configuration's registry, which may have it.
func Register(reg *prometheus.Registry, c prometheus.Collector) error {
	var twice prometheus.AlreadyRegisteredError
	if err := reg.Register(c); err != nil && !errors.As(err, &twice) {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}

// Close implements io.Closer, for sharing. There is nothing to close.
func (*Metrics) Close() error { return nil }

// Rejected counts a request that was refused. The reasons are a fixed set, such as
// tenant.Reason's.
func (m *Metrics) Rejected(reason string) { m.rejected.WithLabelValues(reason).Inc() }

// Certificate counts a decision on a certificate, of a fixed set.
func (m *Metrics) Certificate(decision string) { m.certificates.WithLabelValues(decision).Inc() }

// Malformed counts a request that was refused for a fault, of a fixed set.
func (m *Metrics) Malformed(fault string) { m.malformed.WithLabelValues(fault).Inc() }

// StreamsEnded counts streams that were ended before their time.
func (m *Metrics) StreamsEnded(n int) { m.streamsEnded.Add(float64(n)) }

// Series are one tenant's metrics on one plan, looked up once.
type Series struct {
	status    [len(statusClasses)]lazyCounter
	decisions [len(decisionNames)]lazyCounter
	duration  prometheus.Observer
}

type seriesKey struct {
	slug tenant.Slug
	plan tenant.Plan
}

// Of returns the series of a tenant on a plan; most is how many tenants have some of
// their own. On the hot path it is one look-up.
func (m *Metrics) Of(slug tenant.Slug, plan tenant.Plan, most int) *Series {
	key := seriesKey{slug, plan}
	if v, ok := m.series.Load(key); ok {
		return v.(*Series)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.series.Load(key); ok {
		return v.(*Series)
	}
	label := key.slug.String()
	if !m.named[key.slug] && len(m.named) >= most {
		// Found again under its own name when there is room: Prune makes some.
		key.slug, label = tenant.Slug{}, otherTenants
		if v, ok := m.series.Load(key); ok {
			return v.(*Series)
		}
	} else {
		m.named[key.slug] = true
	}
	v := m.newSeries(label, string(key.plan))
	m.series.Store(key, v)
	return v
}

func (m *Metrics) newSeries(label, plan string) *Series {
	s := &Series{duration: m.duration.WithLabelValues(plan)}
	for i, class := range statusClasses {
		s.status[i].make = func() prometheus.Counter { return m.requests.WithLabelValues(label, plan, class) }
	}
	for i, name := range decisionNames {
		s.decisions[i].make = func() prometheus.Counter { return m.decisions.WithLabelValues(label, plan, name) }
	}
	return s
}

// Prune drops the series of tenants that are gone, and so makes room under the
// cap.
func (m *Metrics) Prune(l tenant.Lookup) {
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

// Observe counts a request that ended with that status, 0 for none.
func (s *Series) Observe(status int, took time.Duration) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	s.status[class].Inc()
	s.duration.Observe(took.Seconds())
}

// Decided counts a decision of tenant_rate_limit.
func (s *Series) Decided(d Decision) { s.decisions[d].Inc() }

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
