package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// tenants is a registry, the place where its last good snapshot is kept, and
// the streams that end when their tenants do.
type tenants struct {
	*registry.Registry
	store   *snapshotStore
	streams streams
}

// Close ends the streams too: no change would reach them any more.
func (t *tenants) Close() error {
	t.streams.close()
	return t.Registry.Close()
}

// credentialFeed is a feed of API keys and revocations and the place where the
// last good ones are kept.
type credentialFeed struct {
	*registry.CredentialFeed
	store *snapshotStore
}

// snapshotStore keeps what was read last from a source in Caddy's storage, so
// that a gateway can start while its source is down. A registry outlives
// configurations, whose storages may differ: each one hands in its own.
//
// A configuration that is only validated may read but not write, so the two
// are handed in apart: one by Provision, the other by Start.
type snapshotStore struct {
	key           string
	reads, writes atomic.Pointer[certmagic.Storage]
	started       chan struct{} // closed by the first Start
	abandoned     chan struct{} // closed if there will be none
	startOnce     sync.Once
	abandonOnce   sync.Once
}

// newSnapshotStore returns a store for what is read from the source with that
// key in the pool. The key in storage is a hash of it, since it may hold a
// password.
func newSnapshotStore(what, source string) *snapshotStore {
	sum := sha256.Sum256([]byte(source))
	return &snapshotStore{
		key:     "tenancy/" + what + "-" + hex.EncodeToString(sum[:8]) + ".snapshot",
		started: make(chan struct{}), abandoned: make(chan struct{}),
	}
}

// readFrom says where a snapshot may be found.
func (s *snapshotStore) readFrom(storage certmagic.Storage) { s.reads.Store(&storage) }

// start lets snapshots be written to the storage from now on.
func (s *snapshotStore) start(storage certmagic.Storage) {
	s.writes.Store(&storage)
	s.startOnce.Do(func() { close(s.started) })
}

// abandon says that the configuration which made the store will not run.
func (s *snapshotStore) abandon() { s.abandonOnce.Do(func() { close(s.abandoned) }) }

// Load implements registry.Store.
func (s *snapshotStore) Load(ctx context.Context) ([]byte, error) {
	storage := s.reads.Load()
	if storage == nil {
		return nil, errNoStorage
	}
	return (*storage).Load(ctx, s.key)
}

// Save implements registry.Store. The first snapshot may be there before the
// configuration runs; it waits for that. Caddy's storages write atomically.
func (s *snapshotStore) Save(ctx context.Context, data []byte) error {
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

var _ registry.Store = (*snapshotStore)(nil)
