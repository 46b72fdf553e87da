package tenant

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed reserved.txt
var reservedText string

// reserved are the names that no tenant may have, wherever it comes from.
var reserved, _ = ReadNames(reservedText) // a test reads it too

// ReadNames reads a list of names: separated by blanks, with comments in lines
// that begin with "#". The error names a word that could be no tenant's name
// anyway.
func ReadNames(text string) (map[string]bool, error) {
	names := make(map[string]bool)
	number := 0
	for line := range strings.Lines(text) {
		number++
		if strings.HasPrefix(line, "#") {
			continue
		}
		for name := range strings.FieldsSeq(line) {
			if err := checkLabel(name); err != nil {
				return nil, fmt.Errorf("reading name %q in line %d: %w: %w", clip(name), number, ErrMalformed, err)
			}
			names[name] = true
		}
	}
	return names, nil
}
