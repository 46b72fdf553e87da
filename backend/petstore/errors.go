package petstore

import (
	"errors"
	"fmt"
	"strings"
)

// The vocabulary of everything behind [Store]. Implementations wrap these.
var (
	// ErrNotFound means that this tenant has no such pet. It says nothing
	// about other tenants: their pets do not exist here.
	ErrNotFound = errors.New("no such pet")
	// ErrExists means that this tenant already has a pet of that id or
	// microchip.
	ErrExists = errors.New("pet already exists")
	// ErrNoTenant means that nothing is stored for the tenant: it was never
	// set up here, or it has been removed.
	ErrNoTenant = errors.New("no such tenant")
	// ErrForeignTenant means that a write carried another tenant's name. It is
	// a bug in the caller, caught before any SQL.
	ErrForeignTenant = errors.New("pet belongs to another tenant")
	// ErrInvalid is what every [*Invalid] wraps.
	ErrInvalid = errors.New("invalid")
	// ErrUnavailable means that the storage cannot answer at the moment: disk
	// full, server gone, too busy. The same call may succeed later.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrBehind means that the tenant's tables are older than this program
	// and wait to be migrated. The same call may succeed later.
	ErrBehind = errors.New("tenant's schema is behind")
	// ErrFrozen means that the tenant's data is being moved and takes no
	// writes for a while; reads go on.
	ErrFrozen = errors.New("tenant's data is frozen")
)

// Invalid lists what is wrong with a value, field by field. It wraps
// [ErrInvalid].
type Invalid struct{ Fields []FieldError }

// FieldError is one thing wrong with one field.
type FieldError struct {
	Field   string `json:"field"`   // as in the JSON, such as "tags[2]"
	Problem string `json:"problem"` // what was expected
}

// Error implements error.
func (e *Invalid) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = fmt.Sprintf("%q: %s", f.Field, f.Problem)
	}
	return "invalid " + strings.Join(parts, "; ")
}

// Unwrap returns [ErrInvalid].
func (e *Invalid) Unwrap() error { return ErrInvalid }

// InvalidField is an [*Invalid] with one problem.
func InvalidField(field, format string, args ...any) error {
	var e Invalid
	e.Add(field, format, args...)
	return &e
}

// Add notes one more problem.
func (e *Invalid) Add(field, format string, args ...any) {
	e.Fields = append(e.Fields, FieldError{field, fmt.Sprintf(format, args...)})
}

// Err returns e, or nil when nothing was noted.
func (e *Invalid) Err() error {
	if e == nil || len(e.Fields) == 0 {
		return nil
	}
	return e
}
