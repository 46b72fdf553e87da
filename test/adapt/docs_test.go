package adapt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// block is a fenced block of a document.
type block struct {
	file string
	line int
	text string
}

// blocks returns the fenced blocks of a language, without their indentation.
func blocks(file, text, language string) []block {
	var all []block
	var open *block
	var indent string
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open == nil && trimmed == "```"+language:
			open, indent = &block{file: file, line: i + 2}, line[:len(line)-len(trimmed)]
		case open != nil && trimmed == "```":
			all, open = append(all, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	return all
}

func TestEveryCaddyfileInTheDocumentationAdaptsAndIsFormatted(t *testing.T) {
	root := harness.Root(t)
	files := []string{filepath.Join(root, "README.md")}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	var found []block
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(root, file)
		found = append(found, blocks(name, string(b), "caddyfile")...)
	}
	if len(found) == 0 {
		t.Fatal("the documentation shows no Caddyfile")
	}
	for _, b := range found {
		t.Run(fmt.Sprintf("%s:%d", b.file, b.line), func(t *testing.T) {
			t.Parallel()
			if text, ok := adapt(t, b.text); !ok {
				t.Errorf("it does not adapt: %s", text)
			}
			if diff := unformatted(t, b.text); diff != "" {
				t.Errorf("not formatted as caddy fmt would:\n%s", diff)
			}
		})
	}
}
