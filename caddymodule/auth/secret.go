package auth

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Secret returns a key for HMAC algorithms. The secret is at least 32 bytes of
// randomness: whoever guesses it makes tokens for every tenant, and can try as
// many as they like on one token, without asking us. What people write or copy
// to get going is refused.
func Secret(secret []byte) (*Key, error) {
	k, err := newKey("", "", slices.Clone(secret))
	if err != nil {
		return nil, fmt.Errorf("reading shared secret: %w", err)
	}
	return k, nil
}

// checkSecret refuses what is shorter than RFC 7518, section 3.2, demands, and
// what can be guessed.
func checkSecret(secret []byte) error {
	if len(secret) < 32 || fewBytes(secret) || repeats(secret) || counts(secret) || wellKnown(secret) {
		return errors.New("the secret is short or can be guessed; expected at least 32 bytes of randomness, as `openssl rand -base64 48` prints")
	}
	return nil
}

// fewBytes: 32 random hexadecimal digits have fewer than 8 different ones with
// a chance below 2^-25, random bytes next to never.
func fewBytes(secret []byte) bool {
	seen := make(map[byte]bool)
	for _, b := range secret {
		seen[b] = true
	}
	return len(seen) < 8
}

// repeats: three in four bytes are those of one distance before.
func repeats(secret []byte) bool {
	for distance := 1; distance <= len(secret)/2; distance++ {
		same := 0
		for i := distance; i < len(secret); i++ {
			if secret[i] == secret[i-distance] {
				same++
			}
		}
		if 4*same > 3*(len(secret)-distance) {
			return true
		}
	}
	return false
}

// counts: two in three bytes that can be typed follow the one before or after
// them in the alphabet, or themselves.
func counts(secret []byte) bool {
	steps := 0
	for i, b := range secret[1:] {
		if d := int(b) - int(secret[i]); -1 <= d && d <= 1 && b > ' ' {
			steps++
		}
	}
	return 3*steps > 2*(len(secret)-1)
}

// wellKnown: words that examples are made of, which random text of letters and
// digits holds with a chance below 2^-20, and the random-looking secrets that
// the most copied examples for JWT use.
func wellKnown(secret []byte) bool {
	for _, word := range [...]string{
		"secret", "passw0rd", "password", "passphrase", "changeit", "changeme", "change-me", "change_me", "example", "your-256-bit", "your_256_bit", "your-512-bit",
		"replace", "default", "testing", "signing", "qwerty", "asdfgh", "correct-horse", "letmein", "my-very-long",
		"404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970", "5367566b59703373367639792f423f4528482b4d6251655468576d5a71347437",
		"413f4428472b4b6250645367566b5970337336763979244226452948404d6351", "gqdstcksx0nhjpouxoyg5mbej1xt0ufiwdvvvbrk",
	} {
		if bytes.Contains(bytes.ToLower(secret), []byte(word)) {
			return true
		}
	}
	return false
}
