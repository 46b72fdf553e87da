package control_test

import (
	"fmt"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

// BenchmarkMigrateUpToDate is a run over 1,000 tenants with schemas of their
// own that have nothing to do.
func BenchmarkMigrateUpToDate(b *testing.B) {
	w := newWorld(b, options{})
	for i := range 1000 {
		if _, err := w.Create(b.Context(), control.New{Slug: fmt.Sprint("t-", i), Isolation: "schema", NoSamplePet: true}, ""); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.RecordShared(b.Context(), w.store.Target()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := w.Migrate(b.Context(), control.MigrateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
