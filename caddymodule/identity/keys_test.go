package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestTheFirstStartMakesAPrivateKeyFileAndAPublicSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "identity.key")
	keys, err := LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v; want 0600", info.Mode())
	}
	published, err := os.ReadFile(filepath.Join(filepath.Dir(path), "identity.jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(published) != string(keys.JWKS()) {
		t.Errorf("published %s", published)
	}
	if strings.Contains(string(published), `"d"`) {
		t.Error("the published set holds a private key")
	}
	again, err := LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.signing[0].id != keys.signing[0].id {
		t.Error("the second start made another key")
	}
}

func TestTwoFirstStartsAtOnceEndUpWithOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			keys, err := LoadOrCreateKeys(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = keys.signing[0].id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("two processes sign with different keys")
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".identity-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestAnAddedKeyIsPublishedAndTheFirstOneSigns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	old, err := LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(file, keyFile(t, 1)...), 0o600); err != nil {
		t.Fatal(err)
	}
	both, err := LoadOrCreateKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(both.signing) != 2 || both.signing[0].id != old.signing[0].id {
		t.Fatalf("got %d keys", len(both.signing))
	}
	v := NewVerifier(VerifierOptions{Keys: FileKeys(JWKSPath(path))})
	for i := range both.signing {
		token := mustSign(t, newSigner(t, &Keys{signing: both.signing[i : i+1]}), noon)
		if _, err := v.Verify(token, noon); err != nil {
			t.Errorf("key %d: %v", i+1, err)
		}
	}
}

func TestBadKeyFilesAreNamedAndRefused(t *testing.T) {
	good := keyFile(t, 1)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, content, want string
		mode                os.FileMode
	}{
		{"empty", "", "expected at least one PEM block", 0o600},
		{"text", "secret", "is no PEM block", 0o600},
		{"rubbish behind", string(good) + "x", "is no PEM block", 0o600},
		{"twice", string(good) + string(good), "is there twice", 0o600},
		{"another kind of key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "expected Ed25519", 0o600},
		{"public key", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), `expected "PRIVATE KEY"`, 0o600},
		{"not PKCS 8", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})), "not PKCS #8", 0o600},
		{"readable by others", string(good), "expected 0600", 0o644},
		{"writable by the group", string(good), "expected 0600", 0o620},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "identity.key")
			if err := os.WriteFile(path, []byte(test.content), test.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadOrCreateKeys(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v; want the path and %q", err, test.want)
			}
			if after, _ := os.ReadFile(path); string(after) != test.content {
				t.Error("the file was changed")
			}
		})
	}
}

// A secret of Kubernetes and a credential of systemd lie in folders that nobody
// can write to, not even the one that may read the key.
func TestAKeyWhosePublicHalfCannotBeWrittenBesideItIsUsedAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	if err := os.WriteFile(path, keyFile(t, 1), 0o400); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	readOnly := fmt.Sprintf("/proc/self/fd/%d", file.Fd()) // where no file can be made
	keys, err := LoadOrCreateKeys(readOnly)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Unpublished(); err == nil || !strings.Contains(err.Error(), JWKSPath(readOnly)) {
		t.Errorf("got %v; want to be told what could not be written", err)
	}
	if _, err := newVerifier(keys).Verify(mustSign(t, newSigner(t, keys), noon), noon); err != nil {
		t.Errorf("the key is of no use: %v", err)
	}
	if f, err := OpenKeyFile(readOnly); err != nil || f.Keys().Unpublished() == nil {
		t.Errorf("a key file that is watched: %v", err)
	} else if again, changed, err := f.Reload(); err != nil || changed || again.Unpublished() == nil {
		t.Errorf("read again: changed %v, %v", changed, err)
	}
	if keys, err := LoadOrCreateKeys(path); err != nil || keys.Unpublished() != nil {
		t.Errorf("in a folder that can be written: %v", err)
	}
}

func TestANewKeyThatCannotBePublishedIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	if err := os.Mkdir(JWKSPath(path), 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	if _, err := LoadOrCreateKeys(path); err == nil || !strings.Contains(err.Error(), JWKSPath(path)) {
		t.Errorf("got %v", err)
	}
}
