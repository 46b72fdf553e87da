package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// fieldNames are the fields of a record, as columns of a query and as keys of a
// file. Only the slug is required.
var fieldNames = []string{"id", "slug", "name", "plan", "status", "limits", "hosts", "upstreams", "issuer", "jwks", "created_at"}

// FieldNames returns the names of a record's fields.
func FieldNames() []string { return slices.Clone(fieldNames) }

// IsField reports whether a record has a field of that name.
func IsField(name string) bool { return slices.Contains(fieldNames, name) }

// UnknownField is the error for a column or key that is none of a record's fields.
func UnknownField(kind, name string) error {
	return fmt.Errorf("unknown %s %q: expected some of %s", kind, Clip(name), strings.Join(fieldNames, ", "))
}

// Set stores what a source has for a field: nil, a string, int64, float64,
// json.Number, bool, []byte, [16]byte, time.Time, []string or []any. A value that
// cannot be read becomes a fault of the record, and so does the first of the fields
// that there are not.
func (r *Record) Set(name string, value any) {
	if !IsField(name) {
		if !slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Field != "" && !IsField(f.Field) }) {
			r.Fail(name, UnknownField("field", name))
		}
		return
	}
	if value == nil {
		return
	}
	if err := r.store(name, value); err != nil {
		r.Fail(name, fmt.Errorf("reading field %q: %w", name, err))
	}
}

func (r *Record) store(name string, value any) (err error) {
	switch name {
	case "id":
		r.ID, err = ID(value)
	case "slug":
		r.Slug, err = Text(value)
	case "name":
		r.Name, err = label(value)
	case "plan":
		r.Plan, err = Text(value)
	case "status":
		// An empty status is one that nobody knows, not the default.
		if r.Status, err = Text(value); err == nil && r.Status == "" {
			_, err = tenant.ParseStatus("")
		}
	case "limits":
		r.Limits, err = limits(value)
	case "hosts":
		r.Hosts, err = List(value)
	case "upstreams":
		r.Upstreams, err = List(value)
	case "issuer":
		r.Issuer, err = Text(value)
	case "jwks":
		r.JWKS, err = Text(value)
	case "created_at":
		r.Created, err = Instant(value)
	}
	return err
}

// Text accepts a text.
func Text(value any) (string, error) {
	if s, ok := value.(string); ok {
		return s, nil
	}
	return "", fmt.Errorf("expected text, found %s", Describe(value))
}

// label is a text for people: in YAML a name may look like a number.
func label(value any) (string, error) {
	switch v := value.(type) {
	case int64:
		return strconv.FormatInt(v, 10), nil
	case json.Number:
		return v.String(), nil
	}
	return Text(value)
}

// limits accepts the text of a tenant's limits and a list of them.
func limits(value any) (string, error) {
	if s, ok := value.(string); ok && !strings.HasPrefix(strings.TrimSpace(s), "[") {
		return s, nil
	}
	items, err := List(value)
	return strings.Join(items, " "), err
}

// ID accepts the types that primary keys commonly have: a text that is not empty,
// an integer, a UUID.
func ID(value any) (string, error) {
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
	return "", fmt.Errorf("expected text, an integer or a UUID, found %s", Describe(value))
}

// List accepts a list of texts, and in a text either a JSON array or names
// separated by commas.
func List(value any) ([]string, error) {
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
	return nil, fmt.Errorf("expected a list of texts, found %s", Describe(value))
}

func texts(values []any) ([]string, error) {
	items := make([]string, 0, len(values))
	for _, value := range values {
		s, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("expected a list of texts, found %s in it", Describe(value))
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

// Instant accepts a time, a text in one of the usual forms, and a number of
// seconds, milli-, micro- or nanoseconds since 1970.
func Instant(value any) (time.Time, error) {
	switch v := value.(type) {
	case time.Time:
		return v, nil
	case int64:
		return fromUnix(v), nil
	case float64:
		if math.Abs(v) <= lastSecond {
			return time.UnixMicro(int64(v * 1e6)), nil
		}
		return time.Time{}, errors.New("expected seconds up to the year 9999, found another number")
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
		return time.Time{}, fmt.Errorf("expected a time as in %q, found %q", "2026-01-31T12:00:00Z", Clip(v))
	}
	return time.Time{}, fmt.Errorf("expected a time, found %s", Describe(value))
}

// lastSecond is the last one of the year 9999, the last that most programs write.
const lastSecond = 253402300799

// fromUnix tells the units apart by their size: what may be seconds up to the year
// 9999 is seconds, what may then be milliseconds is that, and so on. The price is
// that milliseconds and microseconds before 1978 are taken for later times.
func fromUnix(n int64) time.Time {
	switch {
	case n <= lastSecond:
		return time.Unix(n, 0)
	case n < (lastSecond+1)*1e3:
		return time.UnixMilli(n)
	case n < (lastSecond+1)*1e6:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}

// Describe names the kind of a value for people.
func Describe(value any) string {
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
