// Package storage keeps what a start needs in Caddy's storage: the lists that were
// read last, and the counts of an in-process limiter.
package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// Wait bounds reading and writing while a configuration starts or ends.
const Wait = 5 * time.Second

// Limits is the key for the counts of an in-process limiter. Gateways that count
// each for themselves should not share a storage; those that share limits share a
// Redis and store nothing here.
const Limits = "tenancy/limits.state"

// Snapshots keeps what was read last from a source, so that a gateway can start
// while its source is down. A feed outlives configurations, whose storages may
// differ: each one hands in its own.
//
// A configuration that is only validated may read but not write, so the two are
// handed in apart: one by Provision, the other by Start.
type Snapshots struct {
	key           string
	reads, writes atomic.Pointer[certmagic.Storage]
	started       chan struct{} // closed by the first Start
	abandoned     chan struct{} // closed if there will be none
	startOnce     sync.Once
	abandonOnce   sync.Once
}

// NewSnapshots returns the store for what is read from that source. The key in
// storage is a hash of the source's name.
func NewSnapshots(what, source string) *Snapshots {
	sum := sha256.Sum256([]byte(source))
	return &Snapshots{
		key:     "tenancy/" + what + "-" + hex.EncodeToString(sum[:8]) + ".snapshot",
		started: make(chan struct{}), abandoned: make(chan struct{}),
	}
}

// ReadFrom says where a snapshot may be found.
func (s *Snapshots) ReadFrom(storage certmagic.Storage) { s.reads.Store(&storage) }

// Start lets snapshots be written to the storage from now on.
func (s *Snapshots) Start(storage certmagic.Storage) {
	s.writes.Store(&storage)
	s.startOnce.Do(func() { close(s.started) })
}

// Abandon says that the configuration which made the store will not run.
func (s *Snapshots) Abandon() { s.abandonOnce.Do(func() { close(s.abandoned) }) }

// Load implements [registry.Store].
func (s *Snapshots) Load(ctx context.Context) ([]byte, error) {
	storage := s.reads.Load()
	if storage == nil {
		return nil, errNoStorage
	}
	return (*storage).Load(ctx, s.key)
}

// Save implements [registry.Store]. The first snapshot may be there before the
// configuration runs; it waits for that. Caddy's storages write atomically.
func (s *Snapshots) Save(ctx context.Context, data []byte) error {
	select {
	case <-s.started:
	case <-s.abandoned:
		return nil
	case <-ctx.Done():
		return errNoStorage
	}
	return (*s.writes.Load()).Store(ctx, s.key, data)
}

var errNoStorage = errors.New("no storage before the configuration runs")

var _ registry.Store = (*Snapshots)(nil)
