package sqlrows

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

const maxKeyRoles = 64

// credentialReader makes Credentials of rows.
type credentialReader struct {
	check func(*registry.Key) error
	made  *registry.Credentials
}

// key takes one row of api_keys. A faulty one is left out: the key then opens
// nothing.
func (r *credentialReader) key(row int, v []any) error {
	var k registry.Key
	hash, err := r.readKey(&k, v)
	if err == nil && r.check != nil {
		err = r.check(&k)
	}
	if err == nil {
		err = r.made.AddKey(hash, k)
	}
	if err != nil {
		slug, _ := v[2].(string)
		r.made.AddProblem(registry.Problem{Position: fmt.Sprintf("api_keys row %d", row), Slug: registry.Clip(slug), Skipped: true, Err: err})
	}
	return nil
}

func (r *credentialReader) readKey(k *registry.Key, v []any) (hash registry.KeyHash, err error) {
	in := func(column string, err error) error {
		if err != nil {
			err = fmt.Errorf("reading column %q: %w", column, err)
		}
		return err
	}
	slug, err := registry.Text(v[2])
	if err != nil {
		return hash, in("slug", err)
	}
	if k.Tenant, err = tenant.ParseSlug(slug); err != nil {
		return hash, err
	}
	if k.ID, err = registry.ID(v[0]); err != nil {
		return hash, in("id", err)
	}
	if hash, err = keyHash(v[1]); err != nil {
		return hash, in("hash", err)
	}
	if k.Name, err = registry.Text(v[3]); err != nil || k.Name == "" || len(k.Name) > 255 || !printable(k.Name) {
		return hash, in("name", errors.New("expected 1 to 255 bytes of printable text"))
	}
	if k.Roles, err = words(v[4]); err != nil {
		return hash, in("roles", err)
	}
	if k.Expires, err = moment(v[5]); err != nil {
		return hash, in("expires_at", err)
	}
	revoked, err := moment(v[6])
	k.Revoked = !revoked.IsZero()
	return hash, in("revoked_at", err)
}

// revocation takes one row of revocations. A faulty one makes the whole list
// unreadable: what it was meant to refuse must not pass.
func (r *credentialReader) revocation(row int, v []any) error {
	kind, err1 := registry.Text(v[0])
	value, err2 := registry.Text(v[1])
	issuer, err3 := "", error(nil)
	if v[2] != nil {
		issuer, err3 = registry.Text(v[2])
	}
	before, err4 := moment(v[3])
	err := errors.Join(err1, err2, err3, err4)
	if err == nil {
		switch {
		case value == "":
			err = errors.New("expected a value, found an empty one")
		case kind == "token":
			err = r.made.RevokeToken(value, issuer)
		case kind == "subject":
			err = r.made.RevokeSubject(value, issuer, before)
		default:
			err = fmt.Errorf("expected the kind token or subject, found %q", registry.Clip(kind))
		}
	}
	if err != nil {
		return fmt.Errorf("row %d: %w", row, err)
	}
	return nil
}

// moment is a time that may be missing: NULL, 0 or an empty text. An integer is one
// of microseconds, whatever its size: a key may end in the year 9999.
func moment(value any) (time.Time, error) {
	if value == nil || value == int64(0) || value == "" {
		return time.Time{}, nil
	}
	if n, ok := value.(int64); ok {
		return time.UnixMicro(n), nil
	}
	return registry.Instant(value)
}

// keyHash accepts hexadecimal text and bytes.
func keyHash(value any) (hash registry.KeyHash, err error) {
	switch v := value.(type) {
	case []byte:
		if len(v) == len(hash) {
			return registry.KeyHash(v), nil
		}
	case string:
		if len(v) == hex.EncodedLen(len(hash)) {
			if _, err := hex.Decode(hash[:], []byte(v)); err == nil {
				return hash, nil
			}
		}
	}
	return registry.KeyHash{}, errors.New("expected a SHA-256 in hexadecimal") // never the value
}

// words accepts a list, and a text of words separated by spaces or commas.
func words(value any) (list []string, err error) {
	if s, ok := value.(string); ok {
		list = strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' })
	} else if value != nil {
		list, err = registry.List(value)
	}
	if err == nil && len(list) > maxKeyRoles {
		err = fmt.Errorf("expected at most %d words", maxKeyRoles)
	}
	return list, err
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}
