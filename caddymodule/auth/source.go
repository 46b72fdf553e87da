package auth

import "context"

// KeySource gives the keys that tokens are verified with. It is safe for
// concurrent use.
type KeySource interface {
	// Keys returns the current set without I/O, or nil while there is none. The
	// same pointer means the same keys.
	Keys() *KeySet
	// Renew is called for a token that names a key which is not in the set. It
	// returns the set as it is after looking again, if the source looks again
	// now, and waits for that no longer than ctx and the source's own bounds.
	Renew(ctx context.Context) *KeySet
}

// fixed is a source that never changes.
type fixed struct{ set *KeySet }

// Fixed returns a source of these keys only, such as a shared secret or the
// set of a PEM text.
func Fixed(set *KeySet) KeySource { return fixed{set} }

func (f fixed) Keys() *KeySet { return f.set }

func (f fixed) Renew(context.Context) *KeySet { return f.set }

var _ KeySource = fixed{}
