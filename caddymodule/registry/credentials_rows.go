package registry

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Bounds on what one table may hold: they keep a mistake from taking the
// gateway's memory. Keys beyond are left out; a list of revocations that can't
// be taken as a whole is not taken at all, and the last one stays in force.
const (
	maxKeys        = 1 << 20
	maxRevocations = 1 << 20
	maxKeyRoles    = 64
)

// keyColumns and revocationColumns are those of the catalog of the bundled
// backend. A table of that name without them is somebody else's.
var (
	keyColumns        = []string{"id", "hash", "slug", "name", "roles", "expires_at", "revoked_at"}
	revocationColumns = []string{"kind", "value", "issuer", "before"}
)

// credentialTables are the two tables, in the order in which they are read.
var credentialTables = []struct {
	name    string
	columns []string
}{{"api_keys", keyColumns}, {"revocations", revocationColumns}}

// credentialReader makes Credentials of rows.
type credentialReader struct {
	check func(*Key) error
	made  *Credentials
	found problems
}

// readCredentials reads both tables; has says which columns each one has, none
// if it does not exist.
func readCredentials(run runner, check func(*Key) error, has func(table string) []string) (*Credentials, error) {
	r := &credentialReader{check: check, made: newCredentials()}
	rows := []func(int, []any) error{r.key, r.revocation}
	for i, table := range credentialTables {
		columns := has(table.name)
		if len(columns) == 0 {
			continue
		}
		if missing := missingColumns(columns, table.columns); missing != "" {
			r.found.add(Problem{Position: "table " + table.name, Err: fmt.Errorf("expected columns %s: without %s it is another one's, and not read", strings.Join(table.columns, ", "), missing)})
			continue
		}
		n := 0
		err := run("SELECT "+strings.Join(table.columns, ", ")+" FROM "+table.name, nil, func([]string) error { return nil }, func(values []any) error {
			n++
			return rows[i](n, values)
		})
		if err != nil {
			return nil, fmt.Errorf("reading table %q: %w", table.name, err)
		}
	}
	r.made.problems, r.made.faults = r.found.kept, r.found.count
	return r.made, nil
}

func missingColumns(has, want []string) string {
	var missing []string
next:
	for _, w := range want {
		for _, h := range has {
			if h == w {
				continue next
			}
		}
		missing = append(missing, w)
	}
	return strings.Join(missing, ", ")
}

// key takes one row of api_keys. A faulty one is left out: the key then opens
// nothing.
func (r *credentialReader) key(row int, v []any) error {
	var k Key
	slug, _ := v[2].(string)
	hash, err := r.readKey(&k, v)
	if err == nil && r.check != nil {
		err = r.check(&k)
	}
	if err == nil && len(r.made.keys) >= maxKeys {
		err = fmt.Errorf("expected at most %d keys", maxKeys)
	}
	if err == nil {
		r.made.keys[hash] = &k
	} else {
		r.found.add(Problem{Position: fmt.Sprintf("api_keys row %d", row), Slug: clip(slug), Skipped: true, Err: err})
	}
	return nil
}

func (r *credentialReader) readKey(k *Key, v []any) (hash KeyHash, err error) {
	slug, err := text(v[2])
	if err != nil {
		return hash, fmt.Errorf("reading column %q: %w", "slug", err)
	}
	if k.Tenant, err = tenant.ParseSlug(slug); err != nil {
		return hash, err
	}
	if k.ID, err = key(v[0]); err != nil {
		return hash, fmt.Errorf("reading column %q: %w", "id", err)
	}
	if err := checkID(k.ID); err != nil {
		return hash, err
	}
	if hash, err = keyHash(v[1]); err != nil {
		return hash, fmt.Errorf("reading column %q: %w", "hash", err)
	}
	if k.Name, err = text(v[3]); err != nil || k.Name == "" || len(k.Name) > 255 || !printable(k.Name) {
		return hash, fmt.Errorf("reading column %q: expected 1 to 255 bytes of printable text", "name")
	}
	if k.Roles, err = words(v[4]); err != nil {
		return hash, fmt.Errorf("reading column %q: %w", "roles", err)
	}
	if k.Expires, err = moment(v[5]); err != nil {
		return hash, fmt.Errorf("reading column %q: %w", "expires_at", err)
	}
	ended, err := moment(v[6])
	if err != nil {
		return hash, fmt.Errorf("reading column %q: %w", "revoked_at", err)
	}
	k.Revoked = !ended.IsZero()
	return hash, nil
}

// revocation takes one row of revocations. A faulty one makes the whole list
// unreadable: what it was meant to refuse must not pass.
func (r *credentialReader) revocation(row int, v []any) error {
	if r.made.Revocations() >= maxRevocations {
		return fmt.Errorf("expected at most %d revocations", maxRevocations)
	}
	kind, err1 := text(v[0])
	value, err2 := text(v[1])
	issuer, err3 := text(v[2])
	if v[2] == nil {
		err3 = nil
	}
	before, err4 := moment(v[3])
	err := errors.Join(err1, err2, err3, err4)
	if err == nil && value == "" {
		err = errors.New("expected a value, found an empty one")
	}
	if err != nil {
		return fmt.Errorf("row %d: %w", row, err)
	}
	switch name := (revoked{value, issuer}); kind {
	case "token":
		r.made.tokens[name] = struct{}{}
	case "subject":
		if before.IsZero() {
			before = endOfTime
		}
		if old, there := r.made.subjects[name]; !there || old.Before(before) {
			r.made.subjects[name] = before
		}
	default:
		return fmt.Errorf("row %d: expected the kind token or subject, found %q", row, clip(kind))
	}
	return nil
}

// endOfTime is when a subject's revocation without a moment ends.
var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// keyHash accepts hexadecimal text and bytes.
func keyHash(value any) (hash KeyHash, err error) {
	switch v := value.(type) {
	case []byte:
		if len(v) == len(hash) {
			return KeyHash(v), nil
		}
	case string:
		if len(v) == hex.EncodedLen(len(hash)) {
			if _, err := hex.Decode(hash[:], []byte(v)); err == nil {
				return hash, nil
			}
		}
	}
	return KeyHash{}, errors.New("expected a SHA-256 in hexadecimal") // never the value
}

// words accepts a list, and a text of words separated by spaces or commas.
func words(value any) (list []string, err error) {
	switch v := value.(type) {
	case nil:
	case []string:
		list = v
	case []any:
		list, err = texts(v)
	case string:
		list = strings.FieldsFunc(v, func(c rune) bool { return c == ' ' || c == ',' })
	default:
		err = fmt.Errorf("expected words, found %s", describe(value))
	}
	if err == nil && len(list) > maxKeyRoles {
		err = fmt.Errorf("expected at most %d words", maxKeyRoles)
	}
	return list, err
}

// moment is a time that may be missing: NULL, 0 or an empty text.
func moment(value any) (time.Time, error) {
	if value == nil || value == int64(0) || value == "" {
		return time.Time{}, nil
	}
	return instant(value)
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}
