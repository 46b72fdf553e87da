package sinktest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

// patience is how long a Write may take whose place hangs.
const patience = 20 * time.Second

func inOrder(f *fixture) {
	s := f.open()
	for _, n := range []int{1, 3, 600} {
		f.write(s, f.records(n))
		f.complete() // what was taken is safe at once, not at Close
	}
	f.close(s)
	if got := f.Read(); len(got) != f.made {
		f.Errorf("%d records where nothing failed, expected no repeats of %d", len(got), f.made)
	}
}

func hostileValues(f *fixture) {
	s := f.open()
	recs := f.records(8)
	for i, v := range []string{"a\nb\r\n", `"}`, "\x00\x1b[31m", "\xff\xfe", "\u2028\u202e", `\`, "%s%n", strings.Repeat("\xff", 1024)} {
		recs[i].Path, recs[i].User, recs[i].Claimed = v, v, []string{v, v}
	}
	f.write(s, recs)
	f.write(s, f.records(1))
	f.end(s)
}

func batchIsTheCallers(f *fixture) {
	s := f.open()
	recs := f.records(5)
	before := fmt.Sprint(recs)
	f.write(s, recs)
	if fmt.Sprint(recs) != before {
		f.Error("Write changed the records")
	}
	for i := range recs {
		recs[i] = audit.Record{Event: audit.Event{RequestID: "overwritten"}}
	}
	f.write(s, f.records(1))
	f.end(s)
}

func goesOn(f *fixture) {
	for range 3 {
		s := f.open()
		f.write(s, f.records(2))
		f.close(s)
	}
	f.complete()
}

func closedUnused(f *fixture) {
	f.close(f.openOnly())
	s := f.open()
	f.end(s)
}

func takesOver(f *fixture) {
	first, second := f.open(), f.open()
	f.write(first, f.records(2))
	recs := f.records(2)
	taken, _ := second.Write(recs) // it may have to wait
	f.close(first)
	if taken < len(recs) {
		f.write(second, recs[taken:])
	}
	f.end(second)
}

func openedWhileBroken(f *fixture) {
	if f.Break == nil {
		return
	}
	repair := f.Break()
	s := f.openOnly()
	repair()
	f.end(s)
}

func givenAgain(f *fixture) {
	if f.Break == nil {
		return
	}
	s := f.open()
	f.write(s, f.records(3))
	repair := f.Break()
	left := f.records(300)
	for range 3 {
		left = f.fail(s, append(left, f.records(2)...))
	}
	repair()
	f.write(s, append(left, f.records(2)...))
	f.end(s)
}

func hangs(f *fixture) {
	if f.Hang == nil {
		return
	}
	s := f.open()
	recs := f.records(2)
	release := sync.OnceFunc(f.Hang())
	left := make(chan []audit.Record, 1)
	go func() {
		taken, err := s.Write(recs)
		if err == nil {
			taken = 0 // f.write below says what was expected
			f.Error("no error from a place that hangs")
		}
		left <- recs[taken:]
	}()
	select {
	case recs = <-left:
	case <-time.After(patience):
		f.Errorf("Write still hangs after %v", patience)
		release()
		recs = <-left
	}
	release()
	f.write(s, recs)
	f.end(s)
}

func unsigned(f *fixture) {
	s := f.openOnly()
	f.prepare(s)
	if signed, ok := s.(audit.SignedSink); ok {
		refusal := errors.New("no key yet")
		signed.SignWith(func(http.Header, []byte, time.Time) error { return refusal })
		taken, err := s.Write([]audit.Record{{ID: "x", Event: audit.Event{Type: "x", RequestID: "unsigned", Count: 1}}})
		if taken != 0 || !errors.Is(err, refusal) {
			f.Errorf("%d records taken, %v; expected none and the signer's error", taken, err)
		}
	}
	f.end(s)
}

func preparedTwice(f *fixture) {
	s := f.open()
	f.write(s, f.records(1))
	f.prepare(s)
	f.write(s, f.records(1))
	f.end(s)
}

func throughRecorder(f *fixture) {
	r, err := audit.Open(f.open())
	if err != nil {
		f.Fatal(err)
	}
	for _, rec := range f.records(500) {
		rec.ClientIP = rec.RequestID // no repeats to be counted
		r.Record(rec.Event)
	}
	if err := r.Close(); err != nil {
		f.Fatal(err)
	}
	f.complete()
}
