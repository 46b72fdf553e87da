package adapt

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// block is a fenced block of a document.
type block struct {
	file     string
	line     int
	language string
	above    string // the last line above it that is not empty
	text     string
}

// blocks returns the fenced blocks, without their indentation.
func blocks(file, text string) []block {
	var all []block
	var open *block
	var indent, above string
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		language, fence := strings.CutPrefix(trimmed, "```")
		switch {
		case open == nil && fence:
			open, indent = &block{file: file, line: i + 2, language: language, above: above}, line[:len(line)-len(trimmed)]
		case open != nil && trimmed == "```":
			all, open = append(all, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case trimmed != "":
			above = trimmed
		}
	}
	return all
}

// documentation returns the fenced blocks of README and docs.
func documentation(t *testing.T) (found []block) {
	t.Helper()
	root := harness.Root(t)
	files := []string{filepath.Join(root, "README.md")}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(root, file)
		found = append(found, blocks(name, string(b))...)
	}
	return found
}

func TestEveryCaddyfileInTheDocumentationAdaptsAndIsFormatted(t *testing.T) {
	found := slices.DeleteFunc(documentation(t), func(b block) bool { return b.language != "caddyfile" })
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

// A block below a line that is nothing but the name of a file, as in "`go.mod`:", is
// that file: whoever copies it copies what is built and tested.
func TestEveryFileInTheDocumentationIsShownAsItIs(t *testing.T) {
	named := regexp.MustCompile("^`([^`]+)`:$")
	shown := 0
	for _, b := range documentation(t) {
		name := named.FindStringSubmatch(b.above)
		if name == nil {
			continue
		}
		shown++
		t.Run(fmt.Sprintf("%s:%d", b.file, b.line), func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join(harness.Root(t), filepath.FromSlash(name[1])))
			if err != nil {
				t.Fatal(err)
			}
			if b.text != string(file) {
				t.Errorf("the block is not %s; copy it anew", name[1])
			}
		})
	}
	if shown == 0 {
		t.Error("the documentation shows no file")
	}
}
