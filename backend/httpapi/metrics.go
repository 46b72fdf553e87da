package httpapi

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxTenantLabels bounds the tenants that have series of their own; the ones
// after it share "_other". "_none" stands for requests without a tenant. No
// slug begins with an underscore.
const (
	maxTenantLabels = 1000
	otherTenants    = "_other"
	noTenant        = "_none"
)

// metrics are the collectors of one handler, on a registry of its own.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu      sync.RWMutex
	tenants map[string]bool
}

func newMetrics() *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "api_requests_total",
			Help: "Requests answered, by verified tenant, route pattern, method and status.",
		}, []string{"tenant", "endpoint", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "api_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"tenant", "endpoint"}),
		tenants: make(map[string]bool),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) observe(seen *observation, method string, status int, took time.Duration) {
	label := m.tenantLabel(seen.tenant)
	m.requests.WithLabelValues(label, seen.route, methodLabel(method), strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(label, seen.route).Observe(took.Seconds())
}

func (m *metrics) tenantLabel(slug string) string {
	if slug == "" {
		return noTenant
	}
	m.mu.RLock()
	known := m.tenants[slug]
	m.mu.RUnlock()
	if known {
		return slug
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tenants) >= maxTenantLabels {
		return otherTenants
	}
	m.tenants[slug] = true
	return slug
}

func methodLabel(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return method
	}
	return "OTHER"
}
