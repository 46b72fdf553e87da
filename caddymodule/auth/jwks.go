package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// jwk tells one JSON Web Key from another (RFC 7517, RFC 7518, section 6, RFC
// 8037, section 2), as far as verifying needs it. It is read here and not by a
// library: those at hand take line breaks in base64url, cut long exponents short
// and pass over key_ops.
type jwk struct{ kty, crv, x, y, n, e, k string }

// ParseJWKS reads a JWK set of public keys; for secrets see [ParseKeys]. Keys
// that are not for verifying signatures, of a type or algorithm that is not
// known, weak or malformed are left out, as RFC 7517, section 5, asks, and named
// in skipped. The set as a whole is refused when it is not strict JSON or has two
// keys of one id. A set without a usable key is valid: it verifies nothing.
func ParseJWKS(data []byte) (set *KeySet, skipped []error, err error) { return parseJWKS(data, false) }

// parseJWKS lets secrets in where it is said so. Sets from a network have none:
// what is published is no secret. Secrets and public keys do not go together.
func parseJWKS(data []byte, secret bool) (set *KeySet, skipped []error, err error) {
	fail := func(err error) (*KeySet, []error, error) {
		return nil, nil, fmt.Errorf("reading JWK set: %w", err)
	}
	members, err := object(data)
	if err != nil {
		return fail(err)
	}
	list, ok := members["keys"].([]any)
	if !ok {
		return fail(errors.New("expected an array of keys in \"keys\""))
	}
	if len(list) > maxKeys {
		return fail(fmt.Errorf("%d keys; expected at most %d", len(list), maxKeys))
	}
	var keys []*Key
	secrets := 0
	ids := make(map[string]jwk, len(list))
	for i, value := range list {
		id, k, key, err := parseJWK(value, secret)
		// Also when one of the two is of no use: which of them a token means
		// must not depend on what this package makes of a key.
		if other, there := ids[id]; there && other != k {
			return fail(twoKeys(id))
		}
		if id != "" {
			ids[id] = k
		}
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d of the JWK set: %w", i+1, err))
			continue
		}
		if _, ok := key.material.([]byte); ok {
			secrets++
		}
		keys = append(keys, key)
	}
	if secrets > 0 && secrets < len(keys) {
		return fail(errors.New("secrets and public keys in one set"))
	}
	if set, err = NewKeySet(keys...); err != nil {
		return fail(err)
	}
	return set, skipped, nil
}

// parseJWK reads one key. What it says of itself is returned with an error too,
// unless the key is for encryption, when its id may be that of a signing key.
func parseJWK(value any, secret bool) (id string, k jwk, key *Key, err error) {
	fail := func(format string, args ...any) (string, jwk, *Key, error) {
		return "", jwk{}, nil, fmt.Errorf(format, args...)
	}
	members, ok := value.(map[string]any)
	if !ok {
		return fail("expected an object")
	}
	var use, alg string
	for name, field := range map[string]*string{
		"kid": &id, "use": &use, "alg": &alg,
		"kty": &k.kty, "crv": &k.crv, "x": &k.x, "y": &k.y, "n": &k.n, "e": &k.e, "k": &k.k,
	} {
		if *field, ok = members[name].(string); !ok && members[name] != nil {
			return fail("%q is of another type", name)
		}
	}
	if use != "" && use != "sig" {
		return fail("use is %.20q; expected sig", use)
	}
	if ops := members["key_ops"]; ops != nil {
		if _, isArray := ops.([]any); !isArray {
			return fail("%q is of another type", "key_ops")
		}
		if texts, all := list(ops); !all || !slices.Contains(texts, "verify") {
			return fail("key_ops has no verify")
		}
	}
	if _, private := members["d"]; private {
		return id, k, nil, errors.New("private half published; the key must be replaced")
	}
	material, err := k.material(secret)
	if err == nil {
		key, err = newKey(id, alg, material)
	}
	return id, k, key, err
}

// material returns the key in the form of the standard library.
func (k *jwk) material(secret bool) (any, error) {
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.crv]
	switch {
	case k.kty == "RSA":
		n, err1 := decode("n", k.n, 0)
		e, err2 := decode("e", k.e, 0)
		exponent := new(big.Int).SetBytes(e)
		if len(n) > maxRSABits/8+1 || exponent.BitLen() > 31 {
			return nil, errors.New("modulus or exponent too long")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, errors.Join(err1, err2)
	case k.kty == "EC" && curve != nil:
		size := (curve.Params().BitSize + 7) / 8
		x, err1 := decode("x", k.x, size)
		y, err2 := decode("y", k.y, size)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		public, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, errors.New("the point is not on the curve")
		}
		return public, nil
	case k.kty == "OKP" && k.crv == "Ed25519":
		x, err := decode("x", k.x, ed25519.PublicKeySize)
		return ed25519.PublicKey(x), err
	case k.kty == "EC" || k.kty == "OKP":
		return nil, fmt.Errorf("unsupported curve %.20q", k.crv)
	case k.kty == "oct" && !secret:
		return nil, errors.New("a secret in a set of public keys")
	case k.kty == "oct":
		return decode("k", k.k, 0)
	}
	return nil, fmt.Errorf("unsupported key type %.20q", k.kty)
}

// decode reads base64url without padding, of size bytes unless size is 0.
func decode(name, s string, size int) ([]byte, error) {
	b, ok := decodeSegment(s)
	if !ok || len(b) == 0 || (size > 0 && len(b) != size) {
		return nil, fmt.Errorf("%q is not the base64url of a value of its size", name)
	}
	return b, nil
}
