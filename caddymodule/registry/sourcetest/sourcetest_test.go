package sourcetest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/sourcetest"
)

// place is where the sources of these tests find tenants.
type place struct {
	mu      sync.Mutex
	records []registry.Record
	version int // of the last change
	err     error
	notify  []chan struct{}
}

func (p *place) put(_ *testing.T, records ...registry.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records, p.err = slices.Clone(records), nil
	p.tell()
}

func (p *place) harm(*testing.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.New("out of order")
	p.tell()
}

func (p *place) tell() {
	p.version++
	for _, c := range p.notify {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// plain knows only what a source must.
type plain struct{ place *place }

func (s *plain) Load(ctx context.Context) ([]registry.Record, error) {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	return slices.Clone(s.place.records), errors.Join(s.place.err, ctx.Err())
}

func (s *plain) String() string { return "a place" }
func (s *plain) Close() error   { return nil }

// able has every ability.
type able struct {
	plain
	seen    int
	full    bool
	changed chan struct{}
}

func (s *able) Load(ctx context.Context) ([]registry.Record, error) {
	if v := s.version(); v == s.seen && s.full {
		return nil, registry.ErrUnchanged
	}
	s.full = false
	v := s.version()
	records, err := s.plain.Load(ctx)
	if err != nil {
		return nil, err
	}
	s.seen, s.full = v, true
	return records, nil
}

func (s *able) version() int {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	return s.place.version
}

func (s *able) Forget()                  { s.full = false }
func (s *able) EmptyIsMeant() bool       { return true }
func (s *able) Changed() <-chan struct{} { return s.changed }

var (
	_ registry.Forgetful  = (*able)(nil)
	_ registry.EmptyMeant = (*able)(nil)
	_ registry.Notifier   = (*able)(nil)
)

func TestASourceThatOnlyLoadsPasses(t *testing.T) {
	sourcetest.Run(t, func(*testing.T) sourcetest.World {
		p := &place{}
		return sourcetest.World{
			Open: func(*testing.T) registry.Source { return &plain{p} },
			Put:  p.put, Spoil: p.harm, Remove: p.harm,
		}
	})
}

func TestASourceWithEveryAbilityPasses(t *testing.T) {
	sourcetest.Run(t, func(*testing.T) sourcetest.World {
		p := &place{}
		return sourcetest.World{
			Open: func(*testing.T) registry.Source {
				s := &able{plain: plain{p}, changed: make(chan struct{}, 1)}
				p.mu.Lock()
				defer p.mu.Unlock()
				p.notify = append(p.notify, s.changed)
				return s
			},
			Put: p.put, Spoil: p.harm, SaysEmpty: true,
		}
	})
}

// A place that holds little, and to which nothing can happen.
func TestASourceOfSlugsPasses(t *testing.T) {
	sourcetest.Run(t, func(*testing.T) sourcetest.World {
		p := &place{}
		return sourcetest.World{Open: func(*testing.T) registry.Source { return &plain{p} }, Put: p.put, Fields: []string{}}
	})
}

// replaced is a static list that is replaced when somebody writes.
type replaced struct {
	registry.Source
	place *place
	seen  int
}

func (s *replaced) Load(ctx context.Context) ([]registry.Record, error) {
	s.place.mu.Lock()
	if s.Source == nil || s.seen != s.place.version {
		s.Source, s.seen = sourcetest.Static(slices.Clone(s.place.records)...), s.place.version
	}
	s.place.mu.Unlock()
	return s.Source.Load(ctx)
}

func (s *replaced) Forget()            { s.Source = nil }
func (s *replaced) EmptyIsMeant() bool { return s.Source.(registry.EmptyMeant).EmptyIsMeant() }
func (s *replaced) String() string     { return sourcetest.Static().String() }
func (s *replaced) Close() error       { return nil }

func TestAStaticListPasses(t *testing.T) {
	sourcetest.Run(t, func(*testing.T) sourcetest.World {
		p := &place{}
		return sourcetest.World{Open: func(*testing.T) registry.Source { return &replaced{place: p} }, Put: p.put, SaysEmpty: true}
	})
}
