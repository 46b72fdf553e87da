package caddymodule

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// permissionMetrics live as long as the process, as collectors do.
var permissionMetrics = newPermissionCounters()

type permissionCounters struct {
	decisions *prometheus.CounterVec
	allowed   prometheus.Counter
}

func newPermissionCounters() *permissionCounters {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "tenancy", Name: "certificate_decisions_total",
		Help: "Names without a certificate in memory that a client asked for, by what permission tenant said.",
	}, []string{"decision"})
	return &permissionCounters{decisions: decisions, allowed: decisions.WithLabelValues("allowed")}
}

func (c *permissionCounters) register(reg *prometheus.Registry) error {
	var twice prometheus.AlreadyRegisteredError
	if err := reg.Register(c.decisions); err != nil && !errors.As(err, &twice) {
		return err
	}
	return nil
}

// decided counts a decision. The labels are a fixed set: none is a client's.
func (c *permissionCounters) decided(err error) {
	switch {
	case err == nil:
		c.allowed.Inc()
	case errors.Is(err, errTooManyRefusals):
		c.decisions.WithLabelValues("client_limited").Inc()
	case errors.Is(err, errOverBudget):
		c.decisions.WithLabelValues("over_budget").Inc()
	default:
		c.decisions.WithLabelValues(tenant.Reason(err)).Inc()
	}
}
