package identity

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Rotation goes in three steps, with a reload of the gateway after each, and
// time for backends to learn the new key (they read the set again every ten
// seconds) after the first: add, promote, prune. No statement is refused on
// the way: a key signs only while it is published, and is withdrawn only when
// its last statement has expired.

// AddKey appends a new key to the key file at path. It is published by the
// next reload and does not sign yet. It returns the new key's id.
func AddKey(path string) (kid string, err error) {
	err = rewrite(path, func(blocks [][]byte) ([][]byte, error) {
		key, err := NewKey()
		if err != nil {
			return nil, err
		}
		return append(blocks, key), nil
	}, func(k *Keys) { kid = k.signing[len(k.signing)-1].id })
	return kid, err
}

// PromoteKey moves the file's last key to the top, where it signs after the
// next reload. It returns that key's id.
func PromoteKey(path string) (kid string, err error) {
	err = rewrite(path, func(blocks [][]byte) ([][]byte, error) {
		if len(blocks) < 2 {
			return nil, errors.New("there is one key only; add another first")
		}
		last := len(blocks) - 1
		return append([][]byte{blocks[last]}, blocks[:last]...), nil
	}, func(k *Keys) { kid = k.signing[0].id })
	return kid, err
}

// PruneKeys removes every key but the first. It returns the id of the one that
// is left.
func PruneKeys(path string) (kid string, err error) {
	err = rewrite(path, func(blocks [][]byte) ([][]byte, error) { return blocks[:1], nil },
		func(k *Keys) { kid = k.signing[0].id })
	return kid, err
}

// KeyIDs returns the ids of the keys, the signing one first.
func (k *Keys) KeyIDs() []string {
	ids := make([]string, len(k.signing))
	for i := range k.signing {
		ids[i] = k.signing[i].id
	}
	return ids
}

// rewrite changes a key file's blocks and puts the new file in the old one's
// place in one step, after reading it back.
func rewrite(path string, change func([][]byte) ([][]byte, error), done func(*Keys)) error {
	if _, err := LoadKeys(path); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading identity keys: %w", err)
	}
	var blocks [][]byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, pem.EncodeToMemory(block))
	}
	if blocks, err = change(blocks); err != nil {
		return fmt.Errorf("changing identity keys %q: %w", path, err)
	}
	var out []byte
	for _, block := range blocks {
		out = append(out, block...)
	}
	keys, err := ParseKeys(out)
	if err != nil {
		return fmt.Errorf("changing identity keys %q: %w", path, err)
	}
	tmp, err := writeTemp(filepath.Dir(path), out, 0o600)
	if err == nil {
		if err = os.Rename(tmp, path); err != nil {
			_ = os.Remove(tmp)
		}
	}
	if err != nil {
		return fmt.Errorf("writing identity keys %q: %w", path, err)
	}
	done(keys)
	return nil
}
