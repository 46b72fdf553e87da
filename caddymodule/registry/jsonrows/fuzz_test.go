package jsonrows_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/jsonrows"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// addMistakes begins with the fixtures of that extension.
func addMistakes(f *testing.F, ext string) {
	f.Helper()
	paths, err := filepath.Glob("testdata/mistakes/*" + ext)
	if err != nil || len(paths) == 0 {
		f.Fatalf("%v, %v", paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// Whatever a text holds, what comes out of it is either an error or records that a
// registry makes tenants of, each at its place.
func checkParsed(t *testing.T, parse func([]byte) (*jsonrows.Document, error), data []byte) {
	t.Helper()
	doc, err := parse(data)
	if err != nil {
		if doc != nil {
			t.Fatalf("a document beside the error %v", err)
		}
		return
	}
	line := 1
	for i, r := range doc.Records {
		if r.Row != i+1 || r.Line < line {
			t.Fatalf("record %d is in row %d and line %d, the one before in line %d", i, r.Row, r.Line, line)
		}
		line = r.Line
	}
	if lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")); line > lines+1 && !bytes.Contains(data, []byte("\u2028")) &&
		!bytes.Contains(data, []byte("\u2029")) && !bytes.Contains(data, []byte("\u0085")) {
		t.Fatalf("line %d of %d", line, lines+1)
	}
	s := served(t, doc.Records)
	if s.Len() > len(doc.Records) || s.Len()+s.ProblemCount() < len(doc.Records) {
		t.Fatalf("%d records became %d tenants and %d problems", len(doc.Records), s.Len(), s.ProblemCount())
	}
	for got := range s.All() {
		if _, err := tenant.ParseSlug(got.Slug.String()); err != nil || got.ID == "" || s.BySlug(got.Slug) != got {
			t.Fatalf("%+v, %v", got, err)
		}
	}
}

func FuzzJSON(f *testing.F) {
	addMistakes(f, ".json")
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, jsonrows.JSON, data) })
}

func FuzzYAML(f *testing.F) {
	addMistakes(f, ".yaml")
	f.Fuzz(func(t *testing.T, data []byte) { checkParsed(t, jsonrows.YAML, data) })
}
