package identity

import (
	"errors"
	"fmt"
	"slices"
)

// A key is rotated in three steps: add, promote, prune. A gateway that runs has
// each in force when it has read the file again; see [KeyFile]. After the first,
// wait until backends know the new key (they read the set again every ten
// seconds), after the second, until the last statement of the old one is over.
// Then no statement is refused on the way.

// AddKey appends a new key to the key file at path. It is published and does
// not sign yet. It returns the new key's id.
func AddKey(path string) (kid string, err error) {
	key := newSigningKey()
	return key.id, rewrite(path, func(keys []signingKey) ([]signingKey, error) { return append(keys, key), nil })
}

// PromoteKey moves the file's last key to the top, where it signs. It returns
// that key's id.
func PromoteKey(path string) (kid string, err error) {
	err = rewrite(path, func(keys []signingKey) ([]signingKey, error) {
		last := len(keys) - 1
		if last == 0 {
			return nil, errors.New("there is one key only; add another first")
		}
		kid = keys[last].id
		return slices.Concat(keys[last:], keys[:last]), nil
	})
	return kid, err
}

// PruneKeys removes every key but the first. It returns the id of the one that
// is left.
func PruneKeys(path string) (kid string, err error) {
	err = rewrite(path, func(keys []signingKey) ([]signingKey, error) {
		kid = keys[0].id
		return keys[:1], nil
	})
	return kid, err
}

// rewrite changes the keys of a key file and puts the new file in the old one's
// place in one step.
func rewrite(path string, change func([]signingKey) ([]signingKey, error)) error {
	keys, err := LoadKeys(path)
	if err != nil {
		return err
	}
	signing, err := change(keys.signing)
	var out []byte
	if err == nil {
		out, err = encodeKeys(signing)
	}
	if err == nil {
		err = replaceFile(path, out, 0o600)
	}
	if err != nil {
		return fmt.Errorf("changing identity keys %q: %w", path, err)
	}
	return nil
}
