package identity

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAKeyIsRotatedByAddPromoteAndPrune(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	first, err := LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	old := first.KeyIDs()[0]
	expect := func(step string, want ...string) {
		t.Helper()
		keys, err := LoadOrCreateKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(keys.KeyIDs(), want) {
			t.Errorf("%s: keys %v; want %v", step, keys.KeyIDs(), want)
		}
		jwks, err := os.ReadFile(JWKSPath(path))
		if err != nil || strings.Count(string(jwks), `"kid"`) != len(want) {
			t.Errorf("%s: published %s, %v", step, jwks, err)
		}
	}
	if _, err := PromoteKey(path); err == nil {
		t.Error("promoted the only key")
	}
	added, err := AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	expect("added", old, added)
	if kid, err := PromoteKey(path); err != nil || kid != added {
		t.Fatalf("promoted %q, %v", kid, err)
	}
	expect("promoted", added, old)
	if kid, err := PruneKeys(path); err != nil || kid != added {
		t.Fatalf("left %q, %v", kid, err)
	}
	expect("pruned", added)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAKeyFileThatIsNotThereIsNotChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	for name, change := range map[string]func(string) (string, error){"add": AddKey, "promote": PromoteKey, "prune": PruneKeys} {
		t.Run(name, func(t *testing.T) {
			if _, err := change(path); err == nil {
				t.Error("changed a file that is not there")
			}
		})
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("made the file")
	}
}

// The gateway polls the file: what rotation does to it must be in force without
// a reload of the configuration, or a stolen key signs on.
func TestARotationIsNoticedWithoutARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	f, err := OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(VerifierOptions{Keys: FileKeys(JWKSPath(path))})
	stolen := mustSign(t, newSigner(t, f.Keys()), noon)
	now := noon
	for _, step := range []struct {
		name   string
		change func(string) (string, error)
		keys   int
		good   bool // the statement of the first key
	}{{"nothing", nil, 1, true}, {"add", AddKey, 2, true}, {"promote", PromoteKey, 2, true}, {"prune", PruneKeys, 1, false}} {
		t.Run(step.name, func(t *testing.T) {
			signs := f.Keys().KeyIDs()[0]
			if step.change != nil {
				kid, err := step.change(path)
				if err != nil {
					t.Fatal(err)
				}
				if step.name != "add" {
					signs = kid
				}
			}
			keys, changed, err := f.Reload()
			if err != nil || changed != (step.change != nil) || len(keys.KeyIDs()) != step.keys || keys.KeyIDs()[0] != signs || f.Keys() != keys {
				t.Fatalf("keys %v, changed %v, %v; want %d, %s first", keys.KeyIDs(), changed, err, step.keys, signs)
			}
			if _, changed, err := f.Reload(); changed || err != nil {
				t.Errorf("changed once more: %v, %v", changed, err)
			}
			if _, err := v.Verify(mustSign(t, newSigner(t, keys), now), now); err != nil {
				t.Errorf("a statement of the key that signs: %v", err)
			}
			if _, err := v.Verify(stolen, noon); (err == nil) != step.good {
				t.Errorf("a statement of the first key: %v; want good %v", err, step.good)
			}
			now = now.Add(rereadAfter)
		})
	}
}

// Programs that put secrets in place keep the times of files.
func TestAKeyFileOfTheSameSizeAndTimeIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	f, err := OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	other := keyFile(t, 1)
	if err := os.WriteFile(path, other, 0o600); err != nil { // in place: the same inode
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		t.Fatalf("not the same size and time: %v, %v", after, err)
	}
	if _, changed, err := f.Reload(); err != nil || !changed {
		t.Errorf("changed %v, %v", changed, err)
	}
}

func TestAKeyFileThatTurnsBadLeavesTheKeys(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":             os.Remove,
		"empty":            func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"half written":     func(path string) error { return os.Truncate(path, 40) },
		"open to everyone": func(path string) error { return os.Chmod(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "identity.key")
			f, err := OpenKeyFile(path)
			if err != nil {
				t.Fatal(err)
			}
			before := f.Keys()
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			if keys, changed, err := f.Reload(); err == nil || changed || keys != before || f.Keys() != before {
				t.Errorf("changed %v, %v; want the keys as they were and an error", changed, err)
			}
			if _, err := os.Stat(path); name == "gone" && err == nil {
				t.Error("another key was made")
			}
		})
	}
}
