package tenant

import "errors"

// Why a request has no tenant. To an outsider all of them but [ErrFaulty] are one
// and the same answer; logs, metrics and the audit log tell them apart.
var (
	// ErrMissing means that nothing in the request names a tenant.
	ErrMissing = errors.New("no tenant named")
	// ErrMalformed means that what names the tenant breaks the grammar.
	ErrMalformed = errors.New("malformed")
	// ErrNotFound means that no tenant has the name.
	ErrNotFound = errors.New("no such tenant")
	// ErrInactive means that the tenant exists and is not served: suspended,
	// deactivated, purged or still being set up.
	ErrInactive = errors.New("tenant not active")
	// ErrFaulty means that the tenant exists and is active, and that its record is
	// wrong in a way that allows no answer but 503.
	ErrFaulty = errors.New("tenant's record faulty")
	// ErrConflict means that two parts of one request name different tenants.
	ErrConflict = errors.New("conflicting tenants")
)

// Check returns nil for a tenant that may be served, [ErrNotFound] for nil,
// [ErrInactive] for any status but [Active], and [ErrFaulty] for an active one with
// a Fault.
func Check(t *Tenant) error {
	switch {
	case t == nil:
		return ErrNotFound
	case t.Status != Active:
		return ErrInactive
	case t.Fault != "":
		return ErrFaulty
	}
	return nil
}

// Reason is the short word for an error of this package in metric labels and
// audit records: "missing", "malformed", "unknown", "inactive", "faulty",
// "conflict", or "error" for any other, and "" for nil.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrConflict):
		return "conflict"
	case errors.Is(err, ErrMissing):
		return "missing"
	case errors.Is(err, ErrMalformed):
		return "malformed"
	case errors.Is(err, ErrNotFound):
		return "unknown"
	case errors.Is(err, ErrInactive):
		return "inactive"
	case errors.Is(err, ErrFaulty):
		return "faulty"
	}
	return "error"
}
