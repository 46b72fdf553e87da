package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// fieldNames are the fields of a record, as columns of a query and as keys of a
// file. Only the slug is required.
var fieldNames = []string{"id", "slug", "name", "plan", "status", "limits", "hosts", "upstreams", "issuer", "jwks", "created_at"}

// IsField reports whether a record has a field of that name.
func IsField(name string) bool { return slices.Contains(fieldNames, name) }

// UnknownField is the error for a column or key that is none of a record's fields.
func UnknownField(kind, name string) error {
	return fmt.Errorf("unknown %s %q: expected some of %s", kind, clip(name), strings.Join(fieldNames, ", "))
}

// Set stores what a source has for a field: nil, a string, int64, float64,
// json.Number, bool, []byte, [16]byte, time.Time, []string or []any. The first
// field that cannot be read makes the record's Err.
func (r *Record) Set(name string, value any) {
	var err error
	if !IsField(name) {
		err = UnknownField("field", name)
	} else if err = r.store(name, value); err != nil {
		err = fmt.Errorf("reading field %q: %w", name, err)
	}
	switch {
	case err == nil:
	case name == "created_at":
		r.Note = err
	case r.Err == nil:
		r.Err = err
	}
}

func (r *Record) store(name string, value any) (err error) {
	if value == nil {
		return nil
	}
	switch name {
	case "id":
		r.ID, err = key(value)
	case "slug":
		r.Slug, err = text(value)
	case "name":
		r.Name, err = text(value)
	case "plan":
		r.Plan, err = text(value)
	case "status":
		// An empty status is one that nobody knows, not the default.
		if r.Status, err = text(value); err == nil && r.Status == "" {
			_, err = tenant.ParseStatus("")
		}
	case "limits":
		r.Limits, err = text(value)
	case "hosts":
		r.Hosts, err = list(value)
	case "upstreams":
		r.Upstreams, err = list(value)
	case "issuer":
		r.Issuer, err = text(value)
	case "jwks":
		r.JWKS, err = text(value)
	case "created_at":
		r.Created, err = instant(value)
	}
	return err
}

func text(value any) (string, error) {
	if s, ok := value.(string); ok {
		return s, nil
	}
	return "", fmt.Errorf("expected text, found %s", describe(value))
}

// key also accepts the types that primary keys commonly have.
func key(value any) (string, error) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return "", errors.New("expected an id, found an empty one")
		}
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return strconv.FormatInt(n, 10), nil
		}
	case [16]byte:
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:]), nil
	}
	return "", fmt.Errorf("expected text, an integer or a UUID, found %s", describe(value))
}

// list accepts a list of texts, and in a text either a JSON array or names
// separated by commas.
func list(value any) ([]string, error) {
	switch v := value.(type) {
	case []string:
		return v, nil
	case []any:
		return texts(v)
	case string:
		v = strings.TrimSpace(v)
		if v == "" {
			return nil, nil
		}
		if v[0] == '[' {
			var items []any
			if err := json.Unmarshal([]byte(v), &items); err != nil {
				return nil, fmt.Errorf("expected a JSON array of texts: %w", err)
			}
			return texts(items)
		}
		if !strings.Contains(v, ",") {
			return []string{v}, nil
		}
		var items []string
		for item := range strings.SplitSeq(v, ",") {
			items = append(items, strings.TrimSpace(item))
		}
		return items, nil
	}
	return nil, fmt.Errorf("expected a list of texts, found %s", describe(value))
}

func texts(values []any) ([]string, error) {
	items := make([]string, 0, len(values))
	for _, value := range values {
		s, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("expected a list of texts, found %s in it", describe(value))
		}
		items = append(items, s)
	}
	return items, nil
}

// instantLayouts are the forms in which SQLite and people write times.
var instantLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999 -0700 MST", time.DateOnly,
}

func instant(value any) (time.Time, error) {
	switch v := value.(type) {
	case time.Time:
		return v, nil
	case int64:
		return fromUnix(v), nil
	case float64:
		return time.UnixMicro(int64(v * 1e6)), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return fromUnix(n), nil
		}
	case string:
		for _, layout := range instantLayouts {
			if t, err := time.Parse(layout, v); err == nil {
				return t, nil
			}
		}
		return time.Time{}, fmt.Errorf("expected a time as in %q, found %q", "2026-01-31T12:00:00Z", clip(v))
	}
	return time.Time{}, fmt.Errorf("expected a time, found %s", describe(value))
}

// fromUnix tells seconds, milli-, micro- and nanoseconds apart by their size:
// each unit's first hundred years end before the next one's first month.
func fromUnix(n int64) time.Time {
	switch {
	case n < 1e11:
		return time.Unix(n, 0)
	case n < 1e14:
		return time.UnixMilli(n)
	case n < 1e17:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}

func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "a number"
		}
		return "an integer"
	case []byte:
		return "a blob"
	case time.Time:
		return "a time"
	case []any, []string:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a value of another type (%T)", value)
}
