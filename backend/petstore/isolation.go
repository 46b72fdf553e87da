package petstore

import "fmt"

// Isolation is how far one tenant's rows are kept from another's.
type Isolation string

// The three strategies.
const (
	// Shared keeps all tenants in the same tables.
	Shared Isolation = "shared"
	// Schema gives each tenant its own tables beside the others'.
	Schema Isolation = "schema"
	// Database gives each tenant its own database.
	Database Isolation = "database"
)

// Isolations are all strategies, from the least to the most apart.
var Isolations = []Isolation{Shared, Schema, Database}

// ParseIsolation reads a strategy by name. The error wraps [ErrInvalid] and
// lists the names.
func ParseIsolation(s string) (Isolation, error) {
	for _, i := range Isolations {
		if string(i) == s {
			return i, nil
		}
	}
	return "", fmt.Errorf("parsing isolation %.40q: %w: expected shared, schema or database", s, ErrInvalid)
}
