package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Key is one verification key: a public key or a shared secret.
type Key struct {
	id       string   // "kid", empty when the key has none
	algs     []string // what it may be used with
	material any
	print    [sha256.Size]byte // over id, algorithms and material
}

// ID returns the key's id as its source gives it, or "".
func (k *Key) ID() string { return k.id }

// newKey checks material and binds it to its algorithms, or to the one that
// its source names.
func newKey(id, alg string, material any) (*Key, error) {
	if len(id) > maxKeyID {
		return nil, fmt.Errorf("key id longer than %d bytes", maxKeyID)
	}
	k := &Key{id: id, material: material, algs: fitting(material)}
	var encoded []byte
	switch m := material.(type) {
	case []byte:
		if len(k.algs) == 0 {
			return nil, errors.New("secret shorter than 32 bytes (RFC 7518, section 3.2)")
		}
		if isTrivial(m) {
			return nil, errors.New("secret of few different bytes; expected random ones")
		}
		encoded = m
	case *rsa.PublicKey:
		if err := checkRSA(m); err != nil {
			return nil, err
		}
		encoded = x509.MarshalPKCS1PublicKey(m)
	case *ecdsa.PublicKey, ed25519.PublicKey:
		if len(k.algs) == 0 {
			return nil, errors.New("unsupported curve; expected P-256, P-384, P-521 or Ed25519")
		}
		var err error
		if encoded, err = x509.MarshalPKIXPublicKey(m); err != nil {
			return nil, fmt.Errorf("encoding: %w", err)
		}
	default:
		return nil, fmt.Errorf("unsupported key type %T; expected RSA, ECDSA or Ed25519", material)
	}
	if alg != "" {
		if !slices.Contains(k.algs, alg) {
			return nil, fmt.Errorf("algorithm %.20q is not one of this key's %v", alg, k.algs)
		}
		k.algs = []string{alg}
	}
	k.print = sha256.Sum256(fmt.Appendf(nil, "%q %q %T %x", k.id, k.algs, material, encoded))
	return k, nil
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

// isTrivial recognises secrets that somebody filled in to get going: 32 random
// bytes have fewer than 8 different values with a chance below 2^-120.
func isTrivial(secret []byte) bool {
	var seen [256]bool
	different := 0
	for _, b := range secret {
		if !seen[b] {
			seen[b] = true
			different++
		}
	}
	return different < 8
}

// isROCA recognises moduli of the Infineon library: their primes are powers of
// 65537 modulo each small prime, and so are the moduli. A sound key passes for
// one with a chance below 2^-27.
func isROCA(n *big.Int) bool {
	var m big.Int
	for _, p := range [...]int64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167} {
		rest := m.Mod(n, big.NewInt(p)).Int64()
		power, found := int64(1), false
		for {
			found = found || power == rest
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
type KeySet struct {
	keys   []*Key
	prints map[[sha256.Size]byte]bool
}

// maxKeys bounds a set: looking for a key is a walk.
const maxKeys = 100

// NewKeySet returns a set of the keys. Two keys of one id are an error, since a
// token could not say which of them it means.
func NewKeySet(keys ...*Key) (*KeySet, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d keys; expected at most %d", len(keys), maxKeys)
	}
	s := &KeySet{keys: keys, prints: make(map[[sha256.Size]byte]bool, len(keys))}
	for i, k := range keys {
		for _, other := range keys[:i] {
			if k.id != "" && k.id == other.id {
				return nil, fmt.Errorf("two keys have the id %.40q", k.id)
			}
		}
		s.prints[k.print] = true
	}
	return s, nil
}

// Len returns the number of keys.
func (s *KeySet) Len() int { return len(s.keys) }

// has reports whether the same key is in the set: a token that was verified with
// it would be again.
func (s *KeySet) has(k *Key) bool { return s.prints[k.print] }

var errSeveral = errors.New("several keys would fit a token without key id")

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
			return nil, errSeveral
		}
		fit = k
	}
	return fit, nil
}

// Secret returns a key for HMAC algorithms. The secret is at least 32 bytes of
// randomness; a password will not do.
func Secret(secret []byte) (*Key, error) {
	k, err := newKey("", "", slices.Clone(secret))
	if err != nil {
		return nil, fmt.Errorf("reading shared secret: %w", err)
	}
	return k, nil
}

// ParsePEM reads public keys and certificates, one per PEM block. They have no
// id, so several of one type cannot be told apart by a token. A private key is
// refused: it has no business on a machine that only verifies.
func ParsePEM(data []byte) (*KeySet, error) {
	var keys []*Key
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(keys) == 0 || strings.TrimSpace(string(rest)) != "" {
				return nil, fmt.Errorf("reading PEM keys: expected PEM blocks and nothing else, found %d", len(keys))
			}
			set, err := NewKeySet(keys...)
			if err != nil {
				return nil, fmt.Errorf("reading PEM keys: %w", err)
			}
			return set, nil
		}
		material, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("reading PEM block %d: %w", len(keys)+1, err)
		}
		k, err := newKey("", "", material)
		if err != nil {
			return nil, fmt.Errorf("reading PEM block %d: %w", len(keys)+1, err)
		}
		keys = append(keys, k)
	}
}

func parseBlock(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return nil, errors.New("found a private key; expected only its public half")
	}
	return nil, fmt.Errorf("found %.40q; expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
}

// curveOf returns the curve of a JWK's "crv" for kty EC, or nil.
func curveOf(crv string) elliptic.Curve {
	switch crv {
	case "P-256":
		return elliptic.P256()
	case "P-384":
		return elliptic.P384()
	case "P-521":
		return elliptic.P521()
	}
	return nil
}
