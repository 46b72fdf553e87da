package petstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestPetIsCheckedFieldByField(t *testing.T) {
	good := petstore.Pet{Name: "Rex", Species: "dog"}
	tests := []struct {
		name   string
		change func(*petstore.Pet)
		field  string // empty when it is fine
	}{
		{"plain", func(*petstore.Pet) {}, ""},
		{"longest name", func(p *petstore.Pet) { p.Name = strings.Repeat("é", 100) }, ""},
		{"emoji of several characters", func(p *petstore.Pet) { p.Name = "👩‍🚀" }, ""},
		{"no name", func(p *petstore.Pet) { p.Name = "" }, "name"},
		{"long name", func(p *petstore.Pet) { p.Name = strings.Repeat("é", 101) }, "name"},
		{"line break", func(p *petstore.Pet) { p.Name = "a\nb" }, "name"},
		{"right-to-left override", func(p *petstore.Pet) { p.Name = "a\u202eb" }, "name"},
		{"invalid UTF-8", func(p *petstore.Pet) { p.Name = "a\xff" }, "name"},
		{"space at the end", func(p *petstore.Pet) { p.Species = "dog " }, "species"},
		{"too many tags", func(p *petstore.Pet) { p.Tags = slices.Repeat([]string{"a"}, 21) }, "tags"},
		{"empty tag", func(p *petstore.Pet) { p.Tags = []string{"a", ""} }, "tags[1]"},
		{"leap day", func(p *petstore.Pet) { p.BirthDate = "2024-02-29" }, ""},
		{"no leap day", func(p *petstore.Pet) { p.BirthDate = "2025-02-29" }, "birth_date"},
		{"today, further east", func(p *petstore.Pet) { p.BirthDate = "2026-06-02" }, ""},
		{"in the future", func(p *petstore.Pet) { p.BirthDate = "2026-06-03" }, "birth_date"},
		{"date and time", func(p *petstore.Pet) { p.BirthDate = "2024-02-29T00:00:00Z" }, "birth_date"},
		{"microchip", func(p *petstore.Pet) { p.MicrochipID = "985112345678903" }, ""},
		{"short microchip", func(p *petstore.Pet) { p.MicrochipID = "98511234567890" }, "microchip_id"},
		{"letter in a microchip", func(p *petstore.Pet) { p.MicrochipID = "98511234567890a" }, "microchip_id"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := good
			tc.change(&p)
			err := p.Validate(now)
			var invalid *petstore.Invalid
			switch {
			case tc.field == "" && err != nil:
				t.Errorf("got error %v", err)
			case tc.field != "" && (!errors.As(err, &invalid) || !errors.Is(err, petstore.ErrInvalid) || invalid.Fields[0].Field != tc.field):
				t.Errorf("got error %v, expected field %q", err, tc.field)
			}
		})
	}
}

func TestIDsSortByTimeAndDiffer(t *testing.T) {
	var ids []string
	for i := range 200 {
		id := petstore.NewID(now.Add(time.Duration(i) * time.Millisecond))
		if !petstore.ValidID(id) || len(id) != 26 {
			t.Fatalf("got id %q", id)
		}
		ids = append(ids, id)
	}
	if !slices.IsSorted(ids) {
		t.Error("the ids do not sort by time")
	}
	first := petstore.NewID(now)
	if second := petstore.NewID(now); first == second {
		t.Error("two ids of one moment are equal")
	}
}
