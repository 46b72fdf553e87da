package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/strictjson"
)

// jwk is a JSON Web Key (RFC 7517, RFC 7518, section 6, RFC 8037, section 2) as
// far as verifying needs it.
type jwk struct {
	Kty, Kid, Use, Alg, Crv string
	KeyOps                  []string
	X, Y, N, E, K           string
}

// JWKSOptions say what a JWK set may hold.
type JWKSOptions struct {
	// Secrets lets keys of type "oct" in, which must then be the only type.
	// Leave it off for sets from a network: what is published is no secret.
	Secrets bool
}

// ParseJWKS reads a JWK set. Keys that are not for verifying signatures, of a
// type or algorithm that is not known, weak or malformed are left out, as RFC
// 7517, section 5, asks, and named in skipped. The set as a whole is refused
// when it is not strict JSON, holds two keys of one id, or mixes secrets with
// public keys. A set without a usable key is valid: it verifies nothing.
func ParseJWKS(data []byte, o JWKSOptions) (set *KeySet, skipped []error, err error) {
	fail := func(err error) (*KeySet, []error, error) {
		return nil, nil, fmt.Errorf("reading JWK set: %w", err)
	}
	members, err := strictjson.Object(data, 16)
	if err != nil {
		return fail(err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(members["keys"], &raw); err != nil || raw == nil {
		return fail(errors.New("expected an array of keys in \"keys\""))
	}
	if len(raw) > maxKeys {
		return fail(fmt.Errorf("%d keys; expected at most %d", len(raw), maxKeys))
	}
	var keys []*Key
	secrets := 0
	ids := make(map[string]bool, len(raw))
	for i, r := range raw {
		id, key, err := parseJWK(r, o)
		// Also when one of the two is of no use: which of them a token means
		// must not depend on what this package makes of a key.
		if id != "" && ids[id] {
			return fail(fmt.Errorf("two keys have the id %.40q", id))
		}
		ids[id] = true
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d of the JWK set: %w", i+1, err))
			continue
		}
		if _, secret := key.material.([]byte); secret {
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

// parseJWK reads one key. The id is returned with an error too, unless the key
// is for encryption, when it may be that of a signing key.
func parseJWK(data []byte, o JWKSOptions) (id string, _ *Key, _ error) {
	members, err := strictjson.Object(data, 16)
	if err != nil {
		return "", nil, err
	}
	// A spelling such as "KTY" would fill a struct as well as "kty" does; only
	// exact names count.
	var k jwk
	for name, field := range map[string]any{
		"kty": &k.Kty, "kid": &k.Kid, "use": &k.Use, "key_ops": &k.KeyOps, "alg": &k.Alg, "crv": &k.Crv,
		"x": &k.X, "y": &k.Y, "n": &k.N, "e": &k.E, "k": &k.K,
	} {
		if value, ok := members[name]; ok {
			if err := json.Unmarshal(value, field); err != nil {
				return "", nil, fmt.Errorf("%q is of another type", name)
			}
		}
	}
	if k.Use != "" && k.Use != "sig" {
		return "", nil, fmt.Errorf("use is %.20q; expected sig", k.Use)
	}
	if k.KeyOps != nil && !slices.Contains(k.KeyOps, "verify") {
		return "", nil, errors.New("key_ops has no verify")
	}
	if _, private := members["d"]; private {
		return k.Kid, nil, errors.New("private half published; the key must be replaced")
	}
	material, err := k.material(o)
	if err != nil {
		return k.Kid, nil, err
	}
	key, err := newKey(k.Kid, k.Alg, material)
	return k.Kid, key, err
}

func (k *jwk) material(o JWKSOptions) (any, error) {
	switch k.Kty {
	case "RSA":
		n, err := decode("n", k.N, 0)
		if err != nil {
			return nil, err
		}
		e, err := decode("e", k.E, 0)
		if err != nil {
			return nil, err
		}
		exponent := new(big.Int).SetBytes(e)
		if len(n) > maxRSABits/8+1 || exponent.BitLen() > 31 {
			return nil, errors.New("modulus or exponent too long")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	case "EC":
		curve := curveOf(k.Crv)
		if curve == nil {
			return nil, fmt.Errorf("unsupported curve %.20q", k.Crv)
		}
		size := (curve.Params().BitSize + 7) / 8
		x, err := decode("x", k.X, size)
		if err != nil {
			return nil, err
		}
		y, err := decode("y", k.Y, size)
		if err != nil {
			return nil, err
		}
		point := slices.Concat([]byte{4}, x, y)
		public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil, errors.New("the point is not on the curve")
		}
		return public, nil
	case "OKP":
		if k.Crv != "Ed25519" {
			return nil, fmt.Errorf("unsupported curve %.20q", k.Crv)
		}
		x, err := decode("x", k.X, ed25519.PublicKeySize)
		return ed25519.PublicKey(x), err
	case "oct":
		if !o.Secrets {
			return nil, errors.New("a secret in a set of public keys")
		}
		return decode("k", k.K, 0)
	}
	return nil, fmt.Errorf("unsupported key type %.20q", k.Kty)
}

// decode reads base64url without padding, of size bytes unless size is 0.
func decode(name, s string, size int) ([]byte, error) {
	b, ok := decodeSegment(s)
	if !ok || len(b) == 0 || (size > 0 && len(b) != size) {
		return nil, fmt.Errorf("%q is not the base64url of a value of its size", name)
	}
	return b, nil
}

// decodeSegment reads base64url as RFC 7515, section 2, defines it: no padding,
// no line breaks (which encoding/base64 skips), no bits left over.
func decodeSegment(s string) ([]byte, bool) {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && c != '-' && c != '_' {
			return nil, false
		}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}
