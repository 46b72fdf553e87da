// Package test holds what is checked from outside: the rules of the source
// tree here, the product as a whole in the folders below.
package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

const module = "github.com/caddy-tenancy/caddy-tenancy/"

// rule says what a package may import besides the standard library.
type rule struct {
	ours     string // packages of this module
	theirs   string // other modules, by the beginning of an import path
	standard string // packages of the standard library it may not import
}

// rules are those of the packages that know no Caddy. The graph has no cycle, and the
// packages between tenant and tenancy do not know of one another: each can be read,
// tested and replaced alone. A new package is not allowed anything before it has a
// line here, or a place among the handlers and guests below.
var rules = map[string]rule{
	"caddymodule/tenant":            {},
	"caddymodule/limit":             {}, // the backend reads limits too
	"caddymodule/limit/window":      {ours: "caddymodule/limit"},
	"caddymodule/limit/memory":      {ours: "caddymodule/limit caddymodule/limit/window"},
	"caddymodule/limit/redis":       {ours: "caddymodule/limit caddymodule/limit/window caddymodule/limit/memory", theirs: "github.com/redis/go-redis/v9"},
	"caddymodule/strictjson":        {},
	"caddymodule/sketch":            {},
	"caddymodule/framing":           {},
	"caddymodule/dial":              {ours: "caddymodule/tenant"},
	"caddymodule/registry":          {ours: "caddymodule/tenant"},
	"caddymodule/registry/jsonrows": {ours: "caddymodule/registry", theirs: "go.yaml.in/yaml/v3"},
	"caddymodule/registry/sqlrows":  {ours: "caddymodule/registry caddymodule/tenant"},
	"caddymodule/resolve":           {ours: "caddymodule/tenant"},
	"caddymodule/auth":              {ours: "caddymodule/tenant caddymodule/strictjson", theirs: "github.com/golang-jwt/jwt/v5"},
	"caddymodule/identity":          {ours: "caddymodule/tenant caddymodule/strictjson", theirs: "github.com/golang-jwt/jwt/v5"},
	"caddymodule/audit":             {},
	"caddymodule/cmd/caddy":         {ours: "caddymodule", theirs: "github.com/caddyserver/caddy/v2"},
	"backend/petstore":              {ours: "caddymodule/tenant", standard: "net/http database/sql"},
	"backend/sqldb":                 {ours: "backend/petstore", theirs: "modernc.org/sqlite github.com/jackc/pgx/v5 github.com/pressly/goose/v3", standard: "net/http"},
	"backend/sqlstore":              {ours: "backend/petstore backend/sqldb caddymodule/tenant", theirs: "github.com/pressly/goose/v3", standard: "net/http"},
	// The pet store is the part that a reader copies: it knows no control plane.
	"backend/httpapi": {
		ours:     "backend/petstore caddymodule/tenant caddymodule/identity caddymodule/strictjson",
		theirs:   "github.com/prometheus/client_golang",
		standard: "database/sql",
	},
	"backend/control": {
		ours:     "backend/petstore backend/sqldb caddymodule/tenant caddymodule/auth caddymodule/limit caddymodule/strictjson caddymodule/dial",
		theirs:   "golang.org/x/net/idna golang.org/x/net/publicsuffix",
		standard: "net/http",
	},
	"backend/controlapi": {ours: "backend/control backend/httpapi backend/petstore caddymodule/tenant caddymodule/identity caddymodule/strictjson", standard: "database/sql"},
	"backend/resolver":   {ours: "backend/control", theirs: "github.com/miekg/dns", standard: "net/http database/sql"},
	"backend/mailer":     {ours: "backend/control", theirs: "github.com/wneessen/go-mail", standard: "net/http database/sql"},
	"backend/issuer":     {ours: "backend/petstore caddymodule/tenant caddymodule/identity", standard: "net/http database/sql"},
	"backend": {ours: "backend/petstore backend/sqldb backend/sqlstore backend/httpapi backend/control backend/controlapi backend/issuer backend/mailer backend/resolver " +
		"caddymodule/identity caddymodule/tenant caddymodule/dial"},
}

// What each part of the shell may import of other modules.
const shellLibraries = "github.com/caddyserver/ go.uber.org/zap golang.org/x/net/http/httpguts golang.org/x/time/rate github.com/prometheus/ github.com/spf13/cobra github.com/dustin/go-humanize"

// guestLibraries are those that only a guest of that name has a use for.
var guestLibraries = map[string]string{
	"caddymodule/sources/sqlite":   "modernc.org/sqlite",
	"caddymodule/sources/postgres": "github.com/jackc/pgx/v5",
}

// handlers are the packages of one Caddy module each.
var handlers = strings.Fields("caddymodule/httptenant caddymodule/httpauth caddymodule/httplimit caddymodule/httpidentity " +
	"caddymodule/tlspermission caddymodule/upstreams caddymodule/stricthttp")

// family is the domain package to which a package belongs: what lies below it is its.
func family(short string) string {
	parts := strings.SplitN(strings.TrimPrefix(short, "caddymodule/"), "/", 2)
	return "caddymodule/" + parts[0]
}

func isGuest(short string) bool {
	return slices.Contains([]string{"caddymodule/sources", "caddymodule/resolvers", "caddymodule/limiters", "caddymodule/sinks"}, family(short))
}

func isShell(short string) bool {
	return short == "caddymodule" || isGuest(short) || slices.Contains(handlers, short) || family(short) == "caddymodule/tenancy"
}

// shellFaults says which imports of a package of the shell are against the rules: the
// app knows every domain package and no handler and no guest; handlers know the app
// and at most two domain packages, and not one another; guests know the app and the
// one domain package that their door leads to.
func shellFaults(p pkg) (faults []string) {
	domains := make(map[string]bool)
	for _, path := range p.Imports {
		short, ours := strings.CutPrefix(path, module)
		if !ours {
			if !(rule{theirs: shellLibraries + " " + guestLibraries[p.short()]}).allows(path) {
				faults = append(faults, path)
			}
			continue
		}
		switch {
		case p.short() == "caddymodule" && isShell(short), family(short) == "caddymodule/tenancy":
		case isShell(short), strings.HasPrefix(short, "backend"):
			faults = append(faults, short)
		case short != "caddymodule/tenant": // the words that all share
			domains[family(short)] = true
		}
	}
	most := 2
	switch {
	case p.short() == "caddymodule":
		most = 0
	case isGuest(p.short()):
		most = 1
	case p.short() == "caddymodule/tenancy":
		return faults
	}
	if len(domains) > most {
		faults = append(faults, fmt.Sprintf("%d domain packages, of which %d are allowed", len(domains), most))
	}
	return faults
}

// forTests reports whether a package is there for tests only: what it imports
// is its own business, and nothing of the product may import it.
func forTests(path string) bool {
	return strings.HasPrefix(path+"/", "test/") || strings.HasSuffix(path, "test")
}

type pkg struct {
	ImportPath                         string
	Dir, Name, Doc                     string
	Standard                           bool
	Imports, TestImports, XTestImports []string
	GoFiles, Deps                      []string
}

func (p pkg) short() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages lists the module's packages.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,Doc,Standard,Imports,TestImports,XTestImports,GoFiles,Deps", "./...")
	cmd.Dir = harness.Root(t)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		t.Fatalf("listing packages: %v\n%s", err, out)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("reading go list's answer: %v", err)
		}
		all = append(all, p)
	}
}

func TestPackagesImportOnlyWhatTheirRuleAllows(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 || forTests(p.short()) {
			continue
		}
		if isShell(p.short()) {
			for _, fault := range shellFaults(p) {
				t.Errorf("package %q imports %s, which the rules of the shell do not allow", p.short(), fault)
			}
			continue
		}
		r, ok := rules[p.short()]
		if !ok {
			t.Errorf("package %q has no rule; give it one", p.short())
			continue
		}
		for _, path := range p.Imports {
			if !r.allows(path) {
				t.Errorf("package %q imports %q, which its rule does not allow", p.short(), path)
			}
		}
	}
}

func (r rule) allows(path string) bool {
	if ours, ok := strings.CutPrefix(path, module); ok {
		return slices.Contains(strings.Fields(r.ours), ours)
	}
	// Only paths of other modules begin with a domain.
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return !slices.Contains(strings.Fields(r.standard), path)
	}
	for _, prefix := range strings.Fields(r.theirs) {
		if path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
			return true
		}
	}
	return false
}

func TestOnlyTheShellDependsOnCaddy(t *testing.T) {
	for _, p := range packages(t) {
		if isShell(p.short()) || p.short() == "caddymodule/cmd/caddy" {
			continue
		}
		// Tests may hold the two sides against each other.
		for _, path := range p.Deps {
			if strings.HasPrefix(path, "github.com/caddyserver/") {
				t.Errorf("package %q depends on %q", p.short(), path)
			}
		}
	}
}

func TestLimitsAreReadByTheStandardLibraryAlone(t *testing.T) {
	for _, p := range packages(t) {
		if p.short() != "caddymodule/limit" && p.short() != "caddymodule/tenant" {
			continue
		}
		for _, path := range p.Deps {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !strings.HasPrefix(path, module+"caddymodule/tenant") {
				t.Errorf("package %q depends on %q", p.short(), path)
			}
		}
	}
}

// A package of the shell is one Caddy module: what needs more files is two.
func TestNoPackageOfTheShellHasMoreThanTwelveFiles(t *testing.T) {
	for _, p := range packages(t) {
		if isShell(p.short()) && len(p.GoFiles) > 12 {
			t.Errorf("package %q has %d files; want at most 12: %v", p.short(), len(p.GoFiles), p.GoFiles)
		}
	}
}

// The package that everybody imports registers and holds nothing.
func TestTheStandardPackageOnlyRegisters(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(harness.Root(t), "caddymodule/standard.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
		case *ast.FuncDecl:
			if d.Name.Name == "init" {
				continue
			}
		}
		t.Errorf("standard.go declares more than imports and init: %T", decl)
	}
}

func TestNoFunctionIsLongerThan60Lines(t *testing.T) {
	sources(t, func(name, text string) {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") || forTests(path.Dir(name)) {
			return
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				if n := set.Position(d.End()).Line - set.Position(d.Pos()).Line + 1; n > 60 {
					t.Errorf("%s: %s has %d lines; want at most 60", name, d.Name.Name, n)
				}
			}
		}
	})
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		if len(p.GoFiles) > 0 && !strings.HasPrefix(p.Doc, want) {
			t.Errorf("package %q: its comment is %q; want one that begins with %q", p.short(), p.Doc, want)
		}
	}
}

// sources calls f with each text file that people write, by its path from the
// checkout's root.
func sources(t *testing.T, f func(name, text string)) {
	t.Helper()
	root, seen := harness.Root(t), 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "data", "test/.cache"}, rel) {
				return filepath.SkipDir
			}
			return nil
		}
		// In a second worktree of one repository, .git is a file.
		if rel == "LICENSE" || rel == ".git" || path.Ext(rel) == ".sum" || !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil || bytes.IndexByte(b, 0) >= 0 {
			return err
		}
		seen++
		f(rel, string(b))
		return nil
	})
	if err != nil || seen < 50 {
		t.Fatalf("walking the sources: %d files, %v", seen, err)
	}
}

// A file is one idea; the longest there may be is already two. Tests and scripts are
// read from the top and may have more.
func TestNoFileIsLongerThan300Lines(t *testing.T) {
	code := []string{".go", ".sh", ".lua", ".sql", ".yml", ""}
	sources(t, func(name, text string) {
		most := 400
		if path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") {
			most = 300
		}
		if n := strings.Count(text, "\n"); n > most && slices.Contains(code, path.Ext(name)) {
			t.Errorf("%s has %d lines; want at most %d", name, n, most)
		}
	})
}

// The sources say nothing of where they were written or what was left for
// later: such things belong to a checkout, a cache and a tracker.
func TestSourcesSpeakOnlyOfTheProject(t *testing.T) {
	// In two parts each, so that this file passes its own test.
	banned := [][2]string{
		{"/wo", "rk/"}, {"/ro", "ot/"}, {"/home/", "runner"},
		{"proxy.go", "lang"}, {"sum.go", "lang"}, {"registry.n", "pmjs"}, {"pypi.", "org"}, {"deb.deb", "ian"},
		{"TO", "DO"}, {"FIX", "ME"}, {"not imple", "mented"},
	}
	sources(t, func(name, text string) {
		for _, parts := range banned {
			if word := parts[0] + parts[1]; strings.Contains(text, word) {
				t.Errorf("%s contains %q", name, word)
			}
		}
	})
}
