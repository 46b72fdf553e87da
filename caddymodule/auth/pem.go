package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParseKeys reads PEM blocks, or a JWK set, if the text begins like one: of public
// keys, or of secrets (type "oct").
func ParseKeys(text []byte) (*KeySet, []error, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return parseJWKS(text, true)
	}
	set, err := ParsePEM(text)
	return set, nil, err
}

// ParsePEM reads public keys and certificates, one per PEM block. They have no
// id, so several of one type cannot be told apart by a token. A private key is
// refused: it has no business on a machine that only verifies.
func ParsePEM(data []byte) (*KeySet, error) {
	var keys []*Key
	block, rest := pem.Decode(data)
	for ; block != nil; block, rest = pem.Decode(rest) {
		material, err := parseBlock(block)
		var k *Key
		if err == nil {
			k, err = newKey("", "", material)
		}
		if err != nil {
			return nil, fmt.Errorf("reading PEM block %d: %w", len(keys)+1, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("reading PEM keys: expected PEM blocks and nothing else, found %d", len(keys))
	}
	set, err := NewKeySet(keys...)
	if err != nil {
		return nil, fmt.Errorf("reading PEM keys: %w", err)
	}
	return set, nil
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
