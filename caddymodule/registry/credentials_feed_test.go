package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// credentialScript is a source that answers what the test says.
type credentialScript struct {
	mu     sync.Mutex
	next   *Credentials
	err    error
	panics bool
	polls  int
	closed bool
}

func (s *credentialScript) say(next *Credentials, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.err = next, err
}

func (s *credentialScript) choke(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panics = on
}

func (s *credentialScript) Load(ctx context.Context, _ func(*Key) error) (*Credentials, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls++
	if s.panics {
		panic("choked")
	}
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("no time limit")
	}
	return s.next, s.err
}

func (s *credentialScript) polled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

func (s *credentialScript) Interval() time.Duration { return 300 * time.Millisecond }
func (s *credentialScript) String() string          { return "script" }
func (s *credentialScript) Close() error {
	s.closed = true
	return errClosing
}

func TestTheFeedKeepsTheLastGoodCredentialsAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &credentialScript{err: errors.New("down")}
		f := OpenCredentials(CredentialOptions{Source: s})
		var events []Event
		f.Subscribe(func(e Event) { events = append(events, e) })
		step := func() { // a failing source is polled less often
			before := s.polled()
			for s.polled() == before {
				time.Sleep(s.Interval())
				synctest.Wait()
			}
		}
		synctest.Wait()
		if f.Current() != nil || f.LastError() == nil {
			t.Errorf("before the first good look: %v, %v", f.Current(), f.LastError())
		}
		first := &Credentials{revoked: map[revocation]time.Time{{ID: "j"}: {}}}
		s.say(first, nil)
		step()
		if f.Current() != first || f.LastError() != nil || first.LoadedAt().IsZero() {
			t.Errorf("after it: %v, %v", f.Current(), f.LastError())
		}
		s.say(nil, ErrUnchanged)
		step()
		s.say(nil, errors.New("down again"))
		step()
		s.choke(true)
		step()
		if f.Current() != first || f.LastError() == nil {
			t.Errorf("while it is down: %v, %v", f.Current(), f.LastError())
		}
		s.choke(false)
		second := &Credentials{}
		s.say(second, nil)
		step()
		if f.Current() != second {
			t.Error("the next good look is not in force")
		}
		var seen []string
		for _, e := range events {
			switch e := e.(type) {
			case CredentialsLoaded:
				seen = append(seen, "loaded")
			case Failed:
				seen = append(seen, "failed")
				if e.Err == nil || e.Count < 1 {
					t.Errorf("a failure is %+v", e)
				}
			}
		}
		want := []string{"failed", "loaded", "failed", "failed", "loaded"}
		if len(seen) != len(want) {
			t.Fatalf("events %q, want %q", seen, want)
		}
		for i := range want {
			if seen[i] != want[i] {
				t.Fatalf("events %q, want %q", seen, want)
			}
		}
		for range 2 {
			if err := f.Close(); !errors.Is(err, errClosing) {
				t.Errorf("closing: %v", err)
			}
		}
		if !s.closed || f.Current() != second {
			t.Error("closed: the source is open or the credentials are gone")
		}
	})
}

func BenchmarkLookUpACredentialAmong100000(b *testing.B) {
	c := NewCredentials()
	for i := range 100_000 {
		hash := KeyHash{byte(i), byte(i >> 8), byte(i >> 16)}
		c.keys[hash] = &Key{}
		c.revoked[revocation{ID: string(hash[:3])}] = time.Time{}
	}
	token := Token{ID: "jti-1", Subject: "ann", Issuer: "https://issuer.example"}
	b.ReportAllocs()
	for b.Loop() {
		if c.Key(KeyHash{7}) == nil || c.Revoked(token) {
			b.Fatal("wrong answer")
		}
	}
}
