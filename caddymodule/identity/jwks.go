package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// jwk is one public key (RFC 8037, section 2).
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Kid string `json:"kid"`
	Use string `json:"use"`
	Alg string `json:"alg"`
}

type jwkSet struct {
	Keys []jwk `json:"keys"`
}

// JWKSPath is where the public halves of the key file at path are published:
// "data/identity.key" has "data/identity.jwks.json".
func JWKSPath(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".jwks.json"
}

// JWKS returns the public halves as a JWK set (RFC 7517), with a newline at
// the end.
func (k *Keys) JWKS() []byte {
	set := jwkSet{Keys: make([]jwk, 0, len(k.signing))}
	for _, key := range k.signing {
		public := key.private.Public().(ed25519.PublicKey)
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(public), key.id, "sig", "EdDSA"})
	}
	out, err := json.MarshalIndent(set, "", "  ")
	if err != nil { // strings only: cannot happen
		panic(err)
	}
	return append(out, '\n')
}

// parseJWKS returns the Ed25519 signing keys of a JWK set by key id. Keys of
// other kinds are passed over, as RFC 7517, section 5, asks.
func parseJWKS(data []byte) (map[string]ed25519.PublicKey, error) {
	var set jwkSet
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("parsing JWK set: %w", err)
	}
	keys := make(map[string]ed25519.PublicKey, len(set.Keys))
	for i, k := range set.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" || (k.Use != "" && k.Use != "sig") || (k.Alg != "" && k.Alg != "EdDSA") {
			continue
		}
		public, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
		if err != nil || len(public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("parsing JWK set: key %d: expected %d bytes of base64url in \"x\"", i+1, ed25519.PublicKeySize)
		}
		if k.Kid == "" {
			return nil, fmt.Errorf("parsing JWK set: key %d has no \"kid\"", i+1)
		}
		if _, twice := keys[k.Kid]; twice {
			return nil, fmt.Errorf("parsing JWK set: two keys have the kid %q", k.Kid)
		}
		keys[k.Kid] = public
	}
	return keys, nil
}

// thumbprint is the key id: RFC 7638 over the members that RFC 8037, appendix
// A.3, names.
func thumbprint(public ed25519.PublicKey) string {
	x := base64.RawURLEncoding.EncodeToString(public)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
