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
	for _, change := range []func(string) (string, error){AddKey, PromoteKey, PruneKeys} {
		if _, err := change(path); err == nil {
			t.Error("changed a file that is not there")
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("made the file")
	}
}
