package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxKeyFile bounds what is read of a key file; sixty keys fit.
const maxKeyFile = 64 << 10

// Keys are the private keys of one key file, in the file's order: the first
// signs, all of them are published. It is immutable.
type Keys struct {
	signing []signingKey
}

type signingKey struct {
	id      string
	private ed25519.PrivateKey
}

// LoadOrCreateKeys reads the PEM file at path, which holds one "PRIVATE KEY"
// block (PKCS #8, Ed25519) per key, and writes the public halves beside it as
// a JWK set, at [JWKSPath]. If there is no such file it makes one with a new
// key and mode 0600; two processes that start at once end up with one key.
//
// To rotate, see [AddKey].
//
// A file that others may read or change is refused, as is any other content.
func LoadOrCreateKeys(path string) (*Keys, error) {
	k, err := LoadKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createKeyFile(path); err == nil {
			k, err = LoadKeys(path)
		}
	}
	if err != nil {
		return nil, err
	}
	return k, publish(JWKSPath(path), k.JWKS())
}

// LoadKeys reads a key file and writes nothing. The error is fs.ErrNotExist
// when there is none.
func LoadKeys(path string) (*Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading identity keys: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("reading identity keys %q: expected a regular file of at most %d bytes", path, maxKeyFile)
	}
	if perm := info.Mode().Perm(); perm&0o027 != 0 {
		return nil, fmt.Errorf("reading identity keys %q: mode %04o lets others read or change them; expected 0600 (chmod 600)", path, perm)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading identity keys: %w", err)
	}
	k, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("reading identity keys %q: %w", path, err)
	}
	return k, nil
}

// ParseKeys reads the content of a key file.
func ParseKeys(data []byte) (*Keys, error) {
	k := new(Keys)
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(strings.TrimSpace(string(rest))) > 0 {
				return nil, fmt.Errorf("text after key %d is no PEM block", len(k.signing))
			}
			break
		}
		if block.Type != "PRIVATE KEY" {
			return nil, fmt.Errorf("block %d is %q; expected \"PRIVATE KEY\" (PKCS #8)", len(k.signing)+1, block.Type)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing key %d: not PKCS #8", len(k.signing)+1)
		}
		private, ok := parsed.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("key %d is %T; expected Ed25519", len(k.signing)+1, parsed)
		}
		id := thumbprint(private.Public().(ed25519.PublicKey))
		for _, other := range k.signing {
			if other.id == id {
				return nil, fmt.Errorf("key %d is there twice", len(k.signing)+1)
			}
		}
		k.signing = append(k.signing, signingKey{id, private})
	}
	if len(k.signing) == 0 {
		return nil, errors.New("expected at least one PEM block \"PRIVATE KEY\"")
	}
	return k, nil
}

// NewKey returns a new private key as a PEM block for a key file.
func NewKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an identity key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("making an identity key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// createKeyFile writes a new key under a temporary name and links it into
// place, so that the file is never seen half written and an existing one is
// never replaced.
func createKeyFile(path string) error {
	key, err := NewKey()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the identity key's folder: %w", err)
	}
	tmp, err := writeTemp(dir, key, 0o600)
	if err != nil {
		return fmt.Errorf("writing identity key %q: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp) }()
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing identity key %q: %w", path, err)
	}
	return nil
}

// publish writes the JWK set, unless the file already says the same.
func publish(path string, jwks []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(jwks) {
		return nil
	}
	tmp, err := writeTemp(filepath.Dir(path), jwks, 0o644)
	if err == nil {
		if err = os.Rename(tmp, path); err != nil {
			_ = os.Remove(tmp)
		}
	}
	if err != nil {
		return fmt.Errorf("publishing identity keys %q: %w", path, err)
	}
	return nil
}

// writeTemp writes data, synced, to a new file in dir and returns its name.
func writeTemp(dir string, data []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(dir, ".identity-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
