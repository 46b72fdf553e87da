// Package sinktest checks that an implementation of [audit.Sink] keeps what its
// contract says, as far as that can be seen through the sink itself and a reader
// of the place where it puts records.
package sinktest

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

// Place is where sinks of one test put records, empty at first.
type Place struct {
	// Open returns a new sink for the place, as OpenSink of its module does. It is
	// called several times. Required.
	Open func() (audit.Sink, error)

	// Read returns the RequestID of each record that the place holds, in its
	// order, repeats included. It is called while no Write runs. Required.
	Read func() []string

	// Break makes the place refuse records, and repair ends that. Nil for a place
	// that cannot fail.
	Break func() (repair func())

	// Hang makes the place answer nothing at all, and release ends that. Nil for a
	// place that cannot hang.
	Hang func() (release func())
}

// Run runs the suite, each test on a place of its own.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(*fixture)
	}{
		{"records arrive in order", inOrder},
		{"values of an attacker stay in their record", hostileValues},
		{"the batch is neither changed nor kept", batchIsTheCallers},
		{"another sink goes on after Close", goesOn},
		{"a sink that wrote nothing can be closed", closedUnused},
		{"a sink takes over from the one that a reload ends", takesOver},
		{"opening touches nothing", openedWhileBroken},
		{"what was not taken can be given again", givenAgain},
		{"a place that hangs is given up", hangs},
		{"nothing is delivered unsigned", unsigned},
		{"preparing twice is harmless", preparedTwice},
		{"a recorder brings every record", throughRecorder},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&fixture{T: t, Place: place(t)}) })
	}
}

// fixture makes records and knows which should be there.
type fixture struct {
	*testing.T
	Place
	made int
}

// open returns a sink that is ready for its first Write.
func (f *fixture) open() audit.Sink {
	f.Helper()
	s := f.openOnly()
	f.prepare(s)
	if signed, ok := s.(audit.SignedSink); ok {
		signed.SignWith(func(h http.Header, body []byte, _ time.Time) error {
			h.Set("Tenant-Audit", fmt.Sprint(len(body)))
			return nil
		})
	}
	return s
}

func (f *fixture) openOnly() audit.Sink {
	f.Helper()
	s, err := f.Open()
	if err != nil {
		f.Fatalf("opening: %v", err)
	}
	return s
}

func (f *fixture) prepare(s audit.Sink) {
	f.Helper()
	if prepared, ok := s.(audit.PreparedSink); ok {
		if err := prepared.Prepare(); err != nil {
			f.Fatalf("preparing: %v", err)
		}
	}
}

// records makes the next n records.
func (f *fixture) records(n int) []audit.Record {
	recs := make([]audit.Record, n)
	for i := range recs {
		id := fmt.Sprintf("r-%06d", f.made)
		f.made++
		recs[i] = audit.Record{ID: "sinktest-" + id, Event: audit.Event{
			Time: time.Unix(1_800_000_000, 0), Type: audit.TypeConflict, RequestID: id, Count: 1,
		}}
	}
	return recs
}

// write expects the sink to take all.
func (f *fixture) write(s audit.Sink, recs []audit.Record) {
	f.Helper()
	if taken, err := s.Write(recs); err != nil || taken != len(recs) {
		f.Fatalf("%d of %d records taken, %v; expected all", taken, len(recs), err)
	}
}

// fail expects the sink to err, and returns what it did not take.
func (f *fixture) fail(s audit.Sink, recs []audit.Record) []audit.Record {
	f.Helper()
	taken, err := s.Write(recs)
	if err == nil || taken < 0 || taken >= len(recs) {
		f.Fatalf("%d of %d records taken, error %v; expected fewer than all and an error", taken, len(recs), err)
	}
	return recs[taken:]
}

func (f *fixture) close(s audit.Sink) {
	f.Helper()
	if err := s.Close(); err != nil {
		f.Fatalf("closing: %v", err)
	}
}

// end closes the sink and expects every record.
func (f *fixture) end(s audit.Sink) {
	f.Helper()
	f.close(s)
	f.complete()
}

// complete expects every record that was made, each in its order when it came
// first.
func (f *fixture) complete() {
	f.Helper()
	var got []string
	for _, id := range f.Read() {
		if !slices.Contains(got, id) {
			got = append(got, id)
		}
	}
	if len(got) != f.made || !slices.IsSorted(got) {
		f.Fatalf("the place holds %d records, in order: %v; expected %d in order\n%q", len(got), slices.IsSorted(got), f.made, got)
	}
}
