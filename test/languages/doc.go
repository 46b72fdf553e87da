// Package languages runs the verifiers that docs/identity.md shows for other
// languages, as they stand on the page, against the fixed vectors.
package languages
