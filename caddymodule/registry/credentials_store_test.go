package registry

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func sampleCredentials() *Credentials {
	c := NewCredentials()
	c.keys[hashOf("tk_one")] = &Key{ID: "k1", Name: "ci Ä", Tenant: slug("acme"), Roles: []string{"editor", "admin"}, Expires: noon.Add(time.Hour).UTC()}
	c.keys[hashOf("tk_two")] = &Key{ID: "k2", Name: "old", Tenant: slug("globex"), Revoked: true}
	c.revoked[revocation{ID: "j1", Issuer: ""}] = time.Time{}
	c.revoked[revocation{ID: "j1", Issuer: "https://issuer.example"}] = time.Time{}
	c.revoked[revocation{Subject: "ann", Issuer: ""}] = noon.UTC()
	c.revoked[revocation{Subject: "bob", Issuer: "i"}] = time.Time{}
	return c
}

func newCredentialReader(check func(*Key) error) *credentialReader {
	return &credentialReader{check: check, now: func() time.Time { return noon }}
}

func encodeCredentials(c *Credentials, source string, goodAt time.Time) []byte {
	data, err := seal(heading{"the credentials", source, goodAt}, newCredentialReader(nil).save(c))
	if err != nil {
		panic(err)
	}
	return data
}

func decodeCredentials(data []byte, source string, check func(*Key) error) (*Credentials, time.Time, error) {
	goodAt, decode, err := unseal(data, heading{What: "the credentials", Source: source})
	if err != nil {
		return nil, time.Time{}, err
	}
	got, err := newCredentialReader(check).restore(decode, goodAt)
	return got.value, goodAt, err
}

func TestCredentialsSurviveSavingAsTheyAre(t *testing.T) {
	want := sampleCredentials()
	got, goodAt, err := decodeCredentials(encodeCredentials(want, "script", noon), "script", nil)
	if err != nil || !goodAt.Equal(noon) || !got.LoadedAt().Equal(noon) {
		t.Fatalf("got %v, %v", goodAt, err)
	}
	if !got.same(want) || got.Keys() != 2 || got.Revocations() != 4 {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	none, _, err := decodeCredentials(encodeCredentials(NewCredentials(), "x", noon), "x", nil)
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
	badSlug, _ := seal(heading{"the credentials", "script", noon}, savedCredentials{Keys: map[KeyHash]savedKey{{}: {ID: "k", Tenant: "-"}}})
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":        {nil, "expected a snapshot of this version, found something else"},
		"the tenants'": {encodeSnapshot(tenants, "script", noon), `expected the credentials of "script", found the tenants' snapshot of "script"`},
		"cut":          {good[:len(good)-1], "the checksum is wrong: the snapshot is damaged"},
		"other source": {encodeCredentials(NewCredentials(), "other", noon), `expected the credentials of "script", found the credentials of "other"`},
		"a bad slug":   {badSlug, `a key's tenant: parsing slug "-"`},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := decodeCredentials(test.data, "script", nil)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || c != nil {
				t.Errorf("%v, %v, want %s", c, err, test.want)
			}
		})
	}
}

func TestAStartWithoutTheDatabaseKnowsWhoWasRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := fileStore(filepath.Join(t.TempDir(), "credentials.snapshot"))
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
		if e, ok := first.(CredentialsLoaded); !ok || !e.Restored || e.Credentials.Keys() != 2 || e.Credentials.Revocations() != 4 {
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
		s.say(NewCredentials(), nil)
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
		if f.Current() != nil || len(failures) != 1 || failures[0] != "restoring the credentials: expected a snapshot of this version, found something else" {
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
		"a token":            {func(c *Credentials) { c.revoked[revocation{ID: "j2", Issuer: ""}] = time.Time{} }, true},
		"a subject":          {func(c *Credentials) { c.revoked[revocation{Subject: "eve", Issuer: ""}] = noon }, true},
		"a subject, later":   {func(c *Credentials) { c.revoked[revocation{Subject: "ann", Issuer: ""}] = noon.Add(time.Hour) }, true},
		"a new key":          {func(c *Credentials) { c.keys[hashOf("tk_new")] = &Key{ID: "k3", Tenant: slug("acme")} }, false},
		"a token good again": {func(c *Credentials) { delete(c.revoked, revocation{ID: "j1", Issuer: ""}) }, false},
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
