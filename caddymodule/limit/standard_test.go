package limit_test

import (
	"go/build"
	"strings"
	"testing"
)

// The backend reads limits with this package, so it must not bring a store's
// client or anything else along.
func TestThePackageImportsTheStandardLibraryOnly(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range p.Imports {
		if strings.Contains(path, ".") {
			t.Errorf("it imports %q", path)
		}
	}
}
