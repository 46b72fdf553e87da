package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxKeyFile bounds what is read of a key file; sixty keys fit.
const maxKeyFile = 64 << 10

// LoadOrCreateKeys reads the key file at path, see [ParseKeys], and writes the
// public halves beside it as a JWK set, at [JWKSPath]. If there is no such file
// it makes one with a new key and mode 0600; two processes that start at once
// end up with one key. A new key that cannot be published is an error; for one
// that was there see [Keys.Unpublished].
//
// To rotate, see [AddKey].
//
// A file that others may read or change is refused, as is any other content.
func LoadOrCreateKeys(path string) (*Keys, error) {
	k, err := LoadKeys(path)
	created := errors.Is(err, fs.ErrNotExist)
	if created {
		if err = createKeyFile(path); err == nil {
			k, err = LoadKeys(path)
		}
	}
	if err != nil {
		return nil, err
	}
	k.unpublished = publish(path, k)
	if created && k.unpublished != nil {
		return nil, k.unpublished
	}
	return k, nil
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

// KeyFile is a key file that may change while the program runs, so that a key
// that was stolen is out of use when it is out of the file. It is not safe for
// concurrent use.
type KeyFile struct {
	path string
	keys *Keys
}

// OpenKeyFile opens a key file by [LoadOrCreateKeys].
func OpenKeyFile(path string) (*KeyFile, error) {
	keys, err := LoadOrCreateKeys(path)
	if err != nil {
		return nil, err
	}
	return &KeyFile{path, keys}, nil
}

// Keys returns what the file held when it was last read with success.
func (f *KeyFile) Keys() *Keys { return f.keys }

// Reload reads the file again, publishes what it holds and reports whether that
// are other keys than before. With an error, also when the file is gone, the
// keys stay as they are; it makes no new one.
//
// It is for every second or so: a few hundred bytes are read each time, since a
// program that keeps times can put a key of the same size in another's place.
func (f *KeyFile) Reload() (keys *Keys, changed bool, err error) {
	next, err := LoadKeys(f.path)
	if err != nil {
		return f.keys, false, err
	}
	next.unpublished = publish(f.path, next)
	changed = !slices.Equal(next.KeyIDs(), f.keys.KeyIDs())
	f.keys = next
	return next, changed, nil
}

// createKeyFile writes a new key under a temporary name and links it into
// place, so that the file is never seen half written and an existing one is
// never replaced.
func createKeyFile(path string) error {
	key, err := encodeKeys([]signingKey{newSigningKey()})
	if err != nil {
		return err
	}
	dir, tmp := filepath.Dir(path), ""
	if err = os.MkdirAll(dir, 0o700); err == nil {
		tmp, err = writeTemp(dir, key, 0o600)
	}
	if err == nil {
		err = os.Link(tmp, path)
		_ = os.Remove(tmp)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing identity key %q: %w", path, err)
	}
	return nil
}

// publish writes the JWK set of the key file at path, unless it is written
// already.
func publish(path string, k *Keys) error {
	path = JWKSPath(path)
	jwks := k.JWKS()
	if old, err := os.ReadFile(path); err == nil && string(old) == string(jwks) {
		return nil
	}
	if err := replaceFile(path, jwks, 0o644); err != nil {
		return fmt.Errorf("publishing identity keys %q: %w", path, err)
	}
	return nil
}

// replaceFile puts a new file in an old one's place in one step.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(filepath.Dir(path), data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return err
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
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
