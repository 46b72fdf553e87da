// Package sourcetest has the tests that every source of tenants must pass,
// wherever the tenants are: whoever writes a [registry.Source] describes a [World]
// and calls [Run] in a test of their own.
package sourcetest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// World is a place where tenants are kept, with the means to change and to break
// it. Each test of the suite has a world of its own.
//
// What a source is able to do beyond Load need not be said: the suite looks for the
// interfaces of package registry and tries those that there are.
type World struct {
	// Open returns a new source that reads the place, at each call.
	Open func(t *testing.T) registry.Source
	// Put makes the records the whole content of the place, whatever was there or
	// was wrong with it.
	Put func(t *testing.T, records ...registry.Record)
	// Spoil makes what is there unreadable, and Remove takes it away, both until the
	// next Put. Nil is for a place to which that cannot happen.
	Spoil, Remove func(t *testing.T)
	// Fields are the names of the fields that the place can hold beside the slug, as
	// of [registry.FieldNames]; nil is all of them. Without "id", a tenant's id is
	// its slug.
	Fields []string
	// SaysEmpty is true if a Put of no records leaves an explicitly empty list: then
	// the source must be a [registry.EmptyMeant].
	SaysEmpty bool
}

// Run runs the suite; newWorld makes a world for each of its tests.
func Run(t *testing.T, newWorld func(t *testing.T) World) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, w World, s registry.Source){
		"every field is read":                            everyField,
		"an empty list is no failure":                    emptyList,
		"each kind of change is seen":                    changes,
		"what has not changed is the same":               unchanged,
		"a faulty record is handed over":                 faultyRecord,
		"what is not there yet may come later":           comesLater,
		"after it was away, all is read":                 wasAway,
		"after it was unreadable, all is read":           wasUnreadable,
		"an ended context ends the load":                 endedContext,
		"who has forgotten reads everything":             forgets,
		"two sources of one place have one name":         oneName,
		"a registry ends where a new one begins":         registryFollows,
		"a registry keeps the tenants through a failure": registryKeeps,
		"a refresh reads":                                refreshReads,
		"a change is notified":                           notifies,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.Open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			test(t, w, s)
		})
	}
}

// patience bounds every wait; only a failure waits so long.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // between two looks at a condition
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// sample returns three records, reduced to what the world can hold.
func (w World) sample() (acme, globex, initech registry.Record) {
	return w.reduce(registry.Record{
			ID: "t-1", Slug: "acme", Name: "Acme, Inc. \"Ä\" 'x'", Plan: "free", Status: "active", Limits: "200/1h 10/1s",
			Hosts: []string{"acme.example", "www.acme.example"}, Upstreams: []string{"10.0.0.7:8080", "silo.example:80"},
			Issuer: "https://idp.acme.example", JWKS: "https://idp.acme.example/keys", Created: noon,
		}), w.reduce(registry.Record{ID: "t-2", Slug: "globex", Status: "suspended"}),
		w.reduce(registry.Record{ID: "t-3", Slug: "initech", Status: "active", Created: noon.Add(-time.Hour)})
}

func (w World) holds(field string) bool { return w.Fields == nil || slices.Contains(w.Fields, field) }

func (w World) reduce(r registry.Record) registry.Record {
	reduced := registry.Record{Slug: r.Slug}
	for field, keep := range map[string]func(){
		"id": func() { reduced.ID = r.ID }, "name": func() { reduced.Name = r.Name }, "plan": func() { reduced.Plan = r.Plan },
		"status": func() { reduced.Status = r.Status }, "limits": func() { reduced.Limits = r.Limits },
		"hosts": func() { reduced.Hosts = r.Hosts }, "upstreams": func() { reduced.Upstreams = r.Upstreams },
		"issuer": func() { reduced.Issuer = r.Issuer }, "jwks": func() { reduced.JWKS = r.JWKS },
		"created_at": func() { reduced.Created = r.Created },
	} {
		if w.holds(field) {
			keep()
		}
	}
	return reduced
}

func slugs(s *registry.Snapshot) string {
	var names []string
	for t := range s.All() {
		names = append(names, t.Slug.String())
	}
	return strings.Join(names, " ")
}
