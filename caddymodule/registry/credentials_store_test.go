package registry

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func sampleCredentials() *Credentials {
	c := newCredentials()
	c.keys[hashOf("tk_one")] = &Key{ID: "k1", Name: "ci Ä", Tenant: slug("acme"), Roles: []string{"editor", "admin"}, Expires: noon.Add(time.Hour).UTC()}
	c.keys[hashOf("tk_two")] = &Key{ID: "k2", Name: "old", Tenant: slug("globex"), Revoked: true}
	c.tokens[revoked{"j1", ""}] = struct{}{}
	c.tokens[revoked{"j1", "https://issuer.example"}] = struct{}{}
	c.subjects[revoked{"ann", ""}] = noon.UTC()
	c.subjects[revoked{"bob", "i"}] = endOfTime
	return c
}

func TestCredentialsSurviveSavingAsTheyAre(t *testing.T) {
	want := sampleCredentials()
	got, goodAt, err := decodeCredentials(encodeCredentials(want, "script", noon), "script", nil)
	if err != nil || !goodAt.Equal(noon) {
		t.Fatalf("got %v, %v", goodAt, err)
	}
	if !reflect.DeepEqual(got.keys, want.keys) || !reflect.DeepEqual(got.tokens, want.tokens) || !reflect.DeepEqual(got.subjects, want.subjects) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	none, _, err := decodeCredentials(encodeCredentials(newCredentials(), "x", noon), "x", nil)
	if err != nil || none.Keys() != 0 || none.Revocations() != 0 {
		t.Errorf("none: %+v, %v", none, err)
	}
	got, _, err = decodeCredentials(encodeCredentials(want, "script", noon), "script", func(k *Key) error {
		if k.ID == "k1" {
			return errors.New("no")
		}
		return nil
	})
	if err != nil || got.Keys() != 1 || got.Key(hashOf("tk_one")) != nil {
		t.Errorf("a key that is refused now: %+v, %v", got, err)
	}
}

func TestDamagedCredentialsAreRefusedAndNamed(t *testing.T) {
	good := encodeCredentials(sampleCredentials(), "script", noon)
	tenants, _ := load(newParser(nil), emptySnapshot(), sample()...)
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":        {nil, "expected a snapshot, found something else"},
		"the tenants'": {encodeSnapshot(tenants, "script", noon), "expected a snapshot, found something else"},
		"cut":          {good[:len(good)-1], "the checksum is wrong: the snapshot is damaged"},
		"other source": {encodeCredentials(newCredentials(), "other", noon), `it was made from another source: expected "script", found "other"`},
		"a bad slug":   {sealedCredentials("\x06script\x01\x01" + strings.Repeat("h", 32) + "\x01i\x01n\x01-\x00\x00\x00\x00\x00"), `a key's tenant: parsing slug "-"`},
		"a bad state":  {sealedCredentials("\x06script\x01\x01" + strings.Repeat("h", 32) + "\x01i\x01n\x04acme\x00\x00\x07\x00\x00"), "a key is neither revoked nor good"},
		"a short hash": {sealedCredentials("\x06script\x01\x01hash"), "the snapshot ends too early"},
		"extra":        {sealedCredentials("\x06script\x01\x00\x00\x00\x00"), "expected nothing after the last subject"},
	} {
		c, _, err := decodeCredentials(test.data, "script", nil)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || c != nil {
			t.Errorf("%s: %v, %v, want %s", name, c, err, test.want)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, _, err := decodeCredentials(bad, "script", nil); err == nil {
			t.Fatalf("a changed byte %d was not noticed", i)
		}
	}
}

func sealedCredentials(body string) []byte {
	b := append([]byte(credentialFormat.magic), credentialFormat.version)
	b = append(b, body...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func FuzzDecodeCredentials(f *testing.F) {
	data := encodeCredentials(sampleCredentials(), "script", noon)
	f.Add(string(data[credentialFormat.header() : len(data)-sha256.Size]))
	f.Add("\x06script\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
	f.Fuzz(func(t *testing.T, body string) {
		if c, _, err := decodeCredentials(sealedCredentials(body), "script", nil); (err == nil) != (c != nil) {
			t.Fatalf("%v beside %v", c, err)
		}
	})
}

func TestAStartWithoutTheDatabaseKnowsWhoWasRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewFileStore(filepath.Join(t.TempDir(), "credentials.snapshot"))
		s := &credentialScript{next: sampleCredentials()}
		f := OpenCredentials(CredentialOptions{Source: s, Store: store})
		if err := f.WaitFirst(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = f.Close() // saves what was not saved yet
		time.Sleep(time.Hour)

		s.say(nil, errors.New("down"))
		f = OpenCredentials(CredentialOptions{Source: s, Store: store, MaxStale: 2 * time.Hour})
		defer f.Close()
		if err := f.WaitFirst(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := f.Current()
		if c.Key(hashOf("tk_one")) == nil || !c.Key(hashOf("tk_two")).Revoked || !c.Revoked(Token{ID: "j1"}) {
			t.Errorf("restored %+v", c)
		}
		if f.Age() != time.Hour || f.Stale() {
			t.Errorf("an hour old: age %v, stale %v", f.Age(), f.Stale())
		}
		var first Event
		f.Subscribe(func(e Event) {
			if first == nil {
				first = e
			}
		})
		synctest.Wait()
		if e, ok := first.(CredentialsLoaded); !ok || !e.Restored || e.Keys != 2 || e.Revocations != 4 {
			t.Errorf("event %+v", first)
		}
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if !f.Stale() {
			t.Error("more than two hours old, and not stale")
		}
		// "Unchanged" says nothing before a look of this run has succeeded.
		s.say(nil, ErrUnchanged)
		time.Sleep(time.Second)
		if f.Current() != c || !f.Stale() {
			t.Error("a source that never was read called the restored credentials good")
		}
		s.say(newCredentials(), nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if f.Current() == c || f.Stale() || f.Age() > time.Second {
			t.Errorf("the database is back: age %v", f.Age())
		}
	})
}

func TestAStoreOfCredentialsThatFailsIsNamedAndChangesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{data: []byte("garbage")}
		s := &credentialScript{err: errors.New("down")}
		f := OpenCredentials(CredentialOptions{Source: s, Store: store})
		defer f.Close()
		var failures []string
		f.Subscribe(func(e Event) {
			if e, ok := e.(StoreFailed); ok {
				failures = append(failures, e.Err.Error())
			}
		})
		synctest.Wait()
		if f.Current() != nil || len(failures) != 1 || failures[0] != "restoring the credentials: expected a snapshot, found something else" {
			t.Errorf("with garbage: %v, %q", f.Current(), failures)
		}
		store.mu.Lock()
		store.err = errors.New("disk full")
		store.mu.Unlock()
		s.say(sampleCredentials(), nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if f.Current() == nil || len(failures) != 2 || failures[1] != "saving the credentials: disk full" {
			t.Errorf("with a full disk: %v, %q", f.Current(), failures)
		}
	})
}

// Who crashes and starts again without its database must not let pass what it
// had refused before.
func TestARevocationIsSavedAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Credentials)
		soon   bool
	}{
		"a key is revoked":   {func(c *Credentials) { c.keys[hashOf("tk_one")] = &Key{ID: "k1", Tenant: slug("acme"), Revoked: true} }, true},
		"a key is gone":      {func(c *Credentials) { delete(c.keys, hashOf("tk_one")) }, true},
		"a token":            {func(c *Credentials) { c.tokens[revoked{"j2", ""}] = struct{}{} }, true},
		"a subject":          {func(c *Credentials) { c.subjects[revoked{"eve", ""}] = noon }, true},
		"a subject, later":   {func(c *Credentials) { c.subjects[revoked{"ann", ""}] = noon.Add(time.Hour) }, true},
		"a new key":          {func(c *Credentials) { c.keys[hashOf("tk_new")] = &Key{ID: "k3", Tenant: slug("acme")} }, false},
		"a token good again": {func(c *Credentials) { delete(c.tokens, revoked{"j1", ""}) }, false},
		"a revoked key's name": {func(c *Credentials) {
			c.keys[hashOf("tk_two")] = &Key{ID: "k2", Name: "x", Tenant: slug("globex"), Revoked: true}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, s := &memoryStore{}, &credentialScript{next: sampleCredentials()}
				f := OpenCredentials(CredentialOptions{Source: s, Store: store, Interval: time.Second})
				defer f.Close()
				synctest.Wait()
				before := store.count()
				next := sampleCredentials()
				test.change(next)
				s.say(next, nil)
				time.Sleep(time.Second)
				synctest.Wait()
				if soon := store.count() > before; soon != test.soon {
					t.Errorf("saved at once: %t, want %t", soon, test.soon)
				}
				time.Sleep(saveGap)
				synctest.Wait()
				data, _ := store.Load(t.Context())
				if c, _, err := decodeCredentials(data, "script", nil); err != nil || c.Keys() != next.Keys() || c.Revocations() != next.Revocations() {
					t.Errorf("saved in the end: %+v, %v", c, err)
				}
			})
		})
	}
}
