package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"
)

// methods are the algorithms there are (RFC 7518, section 3.1, and RFC 8037).
// Anything else, "none" first of all, is not known to this package.
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256, "HS384": jwt.SigningMethodHS384, "HS512": jwt.SigningMethodHS512,
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": pss(jwt.SigningMethodPS256), "PS384": pss(jwt.SigningMethodPS384), "PS512": pss(jwt.SigningMethodPS512),
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA,
}

// pss is the library's method with a salt as long as the hash, as RFC 7518,
// section 3.5, demands. The library itself verifies with a salt of any length.
func pss(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: m.Options, VerifyOptions: m.Options}
}

// fitting lists the algorithms that may be used with key material of that
// type. It is the only place where the two meet, so a token cannot have an RSA
// key taken for a secret, nor one curve's key for another's.
func fitting(material any) []string {
	switch k := material.(type) {
	case []byte:
		// RFC 7518, section 3.2: a key at least as long as the hash.
		var algs []string
		for i, alg := range []string{"HS256", "HS384", "HS512"} {
			if len(k) >= 32+16*i {
				algs = append(algs, alg)
			}
		}
		return algs
	case *rsa.PublicKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}
