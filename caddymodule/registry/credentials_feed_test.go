package registry

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// replaceFile puts a file in another one's place.
func replaceFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// credentialScript is a source that answers what the test says.
type credentialScript struct {
	mu     sync.Mutex
	next   *Credentials
	err    error
	panics bool
	looks  int
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
	s.looks++
	if s.panics {
		panic("choked")
	}
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("no time limit")
	}
	return s.next, s.err
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
		step := func() {
			time.Sleep(s.Interval())
			synctest.Wait()
		}
		synctest.Wait()
		if f.Current() != nil || f.LastError() == nil {
			t.Errorf("before the first good look: %v, %v", f.Current(), f.LastError())
		}
		first := &Credentials{tokens: map[revoked]struct{}{{"j", ""}: {}}}
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

func TestARevocationIsInForceWithinASecond(t *testing.T) {
	w := newSQLiteWorld("wal")(t).(*sqliteWorld)
	w.exec(t, "PRAGMA journal_mode=wal")
	w.exec(t, credentialSQL)
	source, err := NewSQLiteCredentials(w.path)
	if err != nil {
		t.Fatal(err)
	}
	postgres, err := NewPostgresCredentials("host=/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []CredentialSource{source, postgres} {
		if s.Interval() > 500*time.Millisecond {
			t.Errorf("%s is looked at every %v; want at least twice a second", s, s.Interval())
		}
	}
	f := OpenCredentials(CredentialOptions{Source: source})
	defer func() { _ = f.Close() }()
	eventually(t, "the first look", func() bool { return f.Current() != nil })
	w.exec(t, "INSERT INTO revocations (id, kind, value) VALUES ('r', 'token', 'j')")
	eventually(t, "the revocation is in force", func() bool { return f.Current().Revoked(Token{ID: "j"}) })
}

func BenchmarkLookUpACredentialAmong100000(b *testing.B) {
	c := &Credentials{keys: map[KeyHash]*Key{}, tokens: map[revoked]struct{}{}, subjects: map[revoked]time.Time{}}
	for i := range 100_000 {
		hash := KeyHash{byte(i), byte(i >> 8), byte(i >> 16)}
		c.keys[hash] = &Key{}
		c.tokens[revoked{string(hash[:3]), ""}] = struct{}{}
	}
	token := Token{ID: "jti-1", Subject: "ann", Issuer: "https://issuer.example"}
	b.ReportAllocs()
	for b.Loop() {
		if c.Key(KeyHash{7}) == nil || c.Revoked(token) {
			b.Fatal("wrong answer")
		}
	}
}
