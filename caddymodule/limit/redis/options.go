// Package redis is a limiter whose counts live in a Redis that any number of
// gateways share. The only clock that counts is the store's.
//
// A request of a client with a small quota is decided by the store. For larger
// quotas the gateway takes a lease: permits that are charged before they are
// needed, to be spent within a hold and returned otherwise (lease.go). A request
// waits for the store at most for the budget; then the policy's OnStoreFailure
// decides it (outage.go), and after a few failures a breaker stops asking. Of the
// requests in progress the gateway says how many it has (slot.go).
package redis

import (
	"fmt"
	"time"
)

// Defaults of Options.
const (
	DefaultBudget    = 20 * time.Millisecond
	DefaultLeaseFrom = 5000
	defaultNamespace = "ratelimit"
)

// Options configures New. Everything but URL may be left zero.
type Options struct {
	// URL names the server or servers: redis://, rediss://, unix://,
	// redis+sentinel://host,host/0?master_name=M or redis+cluster://host,host.
	URL string

	// Namespace starts every key, so that several gateways' counts can live
	// in one store. Letters, digits and "-_.:/"; empty means "ratelimit".
	Namespace string

	// Budget is the longest a request waits for the store before the
	// policy's OnStoreFailure decides it; 0 means DefaultBudget.
	Budget time.Duration

	// Replicas is the number of gateways that share the store. While it
	// cannot be reached and the policy says LocalShare, each admits its part
	// of the quota; 0 means 1.
	Replicas int

	// LeaseFrom is the quota from which permits are taken in advance. A
	// policy with a smaller one among its windows asks the store for every
	// request and reports exact numbers. 0 means DefaultLeaseFrom; below 0
	// nothing is ever taken in advance.
	LeaseFrom int64
}

// check refuses what makes no sense and puts defaults in place of zeros.
func (o *Options) check() error {
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	if !namespaces.MatchString(o.Namespace) {
		return fmt.Errorf(`reading Redis namespace %q: expected at most 64 letters, digits and "-_.:/"`, o.Namespace)
	}
	if o.Budget < 0 {
		return fmt.Errorf("budget %v; expected a positive duration", o.Budget)
	}
	if o.Replicas < 0 {
		return fmt.Errorf("replicas %d; expected at least 1", o.Replicas)
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.LeaseFrom == 0 {
		o.LeaseFrom = DefaultLeaseFrom
	}
	o.Replicas = max(1, o.Replicas)
	return nil
}
