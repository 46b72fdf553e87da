package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Keys are the private keys of one key file, in the file's order: the first
// signs, all of them are published. It is immutable.
type Keys struct {
	signing     []signingKey
	unpublished error
}

type signingKey struct {
	id      string
	private ed25519.PrivateKey
}

// KeyIDs returns the ids of the keys, the signing one first.
func (k *Keys) KeyIDs() []string {
	ids := make([]string, len(k.signing))
	for i := range k.signing {
		ids[i] = k.signing[i].id
	}
	return ids
}

// Unpublished is why the public halves could not be written beside the key file,
// or nil. The keys are good all the same: a key that is mounted from a secret
// store lies in a folder that nobody can write to, and its public half is
// brought to backends in another way.
func (k *Keys) Unpublished() error { return k.unpublished }

// newSigningKey makes a key.
func newSigningKey() signingKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the reader ends the program rather than fail
	}
	return signingKey{thumbprint(private.Public().(ed25519.PublicKey)), private}
}

// encodeKeys returns the content of a key file.
func encodeKeys(keys []signingKey) ([]byte, error) {
	var out []byte
	for _, k := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return nil, fmt.Errorf("encoding a key: %w", err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return out, nil
}

// ParseKeys reads the content of a key file: one PEM block "PRIVATE KEY" (PKCS
// #8, Ed25519) per key.
func ParseKeys(data []byte) (*Keys, error) {
	k := new(Keys)
	block, rest := pem.Decode(data)
	for ; block != nil; block, rest = pem.Decode(rest) {
		n := len(k.signing) + 1
		if block.Type != "PRIVATE KEY" {
			return nil, fmt.Errorf("block %d is %q; expected \"PRIVATE KEY\" (PKCS #8)", n, block.Type)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing key %d: not PKCS #8", n)
		}
		private, ok := parsed.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("key %d is %T; expected Ed25519", n, parsed)
		}
		id := thumbprint(private.Public().(ed25519.PublicKey))
		if slices.Contains(k.KeyIDs(), id) {
			return nil, fmt.Errorf("key %d is there twice", n)
		}
		k.signing = append(k.signing, signingKey{id, private})
	}
	if len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("text after key %d is no PEM block", len(k.signing))
	}
	if len(k.signing) == 0 {
		return nil, errors.New("expected at least one PEM block \"PRIVATE KEY\"")
	}
	return k, nil
}
