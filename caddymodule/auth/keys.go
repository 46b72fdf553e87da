package auth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
)

// Key is one verification key: a public key or a shared secret.
type Key struct {
	id       string   // "kid", empty when the key has none
	algs     []string // what it may be used with
	material any
}

// newKey checks material and binds it to its algorithms, or to the one that
// its source names.
func newKey(id, alg string, material any) (*Key, error) {
	if len(id) > maxKeyID {
		return nil, fmt.Errorf("key id longer than %d bytes", maxKeyID)
	}
	k := &Key{id: id, material: material, algs: fitting(material)}
	var err error
	switch m := material.(type) {
	case []byte:
		err = checkSecret(m)
	case *rsa.PublicKey:
		err = checkRSA(m)
	default:
		if len(k.algs) == 0 {
			err = fmt.Errorf("unsupported curve or type of key %T; expected RSA, P-256, P-384, P-521 or Ed25519", m)
		}
	}
	if err != nil {
		return nil, err
	}
	if alg != "" {
		if !slices.Contains(k.algs, alg) {
			return nil, fmt.Errorf("algorithm %.20q is not one of this key's %v", alg, k.algs)
		}
		k.algs = []string{alg}
	}
	return k, nil
}

// is reports whether both are one key, perhaps for different algorithms.
func (k *Key) is(other *Key) bool {
	return k.id == other.id && reflect.DeepEqual(k.material, other.material)
}

const (
	minRSABits = 2048 // RFC 7518, section 3.3
	maxRSABits = 8192 // a longer one makes each check slow, at the issuer's whim
	maxKeyID   = 255
)

func checkRSA(k *rsa.PublicKey) error {
	switch bits := k.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return fmt.Errorf("RSA key of %d bits; expected %d to %d", bits, minRSABits, maxRSABits)
	case k.E < 3 || k.E%2 == 0:
		return errors.New("RSA exponent is not an odd number above 2")
	case k.N.Bit(0) == 0:
		return errors.New("RSA modulus is even")
	case isROCA(k.N):
		return errors.New("RSA key of a generator whose keys can be factored (CVE-2017-15361)")
	}
	return nil
}

// isROCA recognises moduli of the Infineon library: their primes are powers of
// 65537 modulo each small prime, and so are the moduli. A sound key passes for
// one with a chance below 2^-27.
func isROCA(n *big.Int) bool {
	var m big.Int
	for _, p := range [...]int64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167} {
		remainder := m.Mod(n, big.NewInt(p)).Int64()
		power, found := int64(1), false
		for {
			found = found || power == remainder
			if power = power * 65537 % p; power == 1 {
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// KeySet is an immutable set of keys.
type KeySet struct{ keys []*Key }

// maxKeys bounds a set: looking for a key is a walk.
const maxKeys = 100

// NewKeySet returns a set of the keys. One id may stand for several algorithms
// of one key, but not for two keys: a token could not say which it means.
func NewKeySet(keys ...*Key) (*KeySet, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d keys; expected at most %d", len(keys), maxKeys)
	}
	s := new(KeySet)
	for _, k := range keys {
		i := slices.IndexFunc(s.keys, func(other *Key) bool { return k.is(other) || (k.id != "" && k.id == other.id) })
		switch {
		case i < 0:
			s.keys = append(s.keys, k)
		case !k.is(s.keys[i]):
			return nil, twoKeys(k.id)
		default:
			both := *s.keys[i]
			for _, alg := range k.algs {
				if !slices.Contains(both.algs, alg) {
					both.algs = append(slices.Clip(both.algs), alg)
				}
			}
			s.keys[i] = &both
		}
	}
	return s, nil
}

func twoKeys(id string) error { return fmt.Errorf("two keys have the id %.40q", id) }

// Fixed returns a source of these keys only.
func Fixed(set *KeySet) KeySource { return set }

// Keys returns the set itself.
func (s *KeySet) Keys() *KeySet { return s }

// Renew returns the set itself.
func (s *KeySet) Renew(context.Context) *KeySet { return s }

// Len returns the number of keys.
func (s *KeySet) Len() int { return len(s.keys) }

// has reports whether the same key is in the set: a token that was verified with
// it would be again.
func (s *KeySet) has(k *Key) bool {
	return slices.ContainsFunc(s.keys, func(other *Key) bool {
		return other == k || (other.is(k) && slices.Equal(other.algs, k.algs))
	})
}

// find returns the key a token means by its "kid" and "alg": the one of that
// id or, when the token or the key has no id, the only one that fits the
// algorithm. It returns nil when there is none.
func (s *KeySet) find(id, alg string) (*Key, error) {
	if id != "" {
		for _, k := range s.keys {
			if k.id == id {
				return k, nil
			}
		}
	}
	var fit *Key
	for _, k := range s.keys {
		if (id != "" && k.id != "") || !slices.Contains(k.algs, alg) {
			continue
		}
		if fit != nil {
			return nil, bad(reasonKey, "several keys would fit a token without key id")
		}
		fit = k
	}
	return fit, nil
}
