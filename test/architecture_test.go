// Package test holds what is checked from outside: the rules of the source
// tree here, the product as a whole in the folders below.
package test

import (
	"bytes"
	"encoding/json"
	"errors"
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

// rules is the whole graph. It has no cycle, and the packages between tenant
// and caddymodule do not know of one another: each can be read, tested and
// replaced alone. A new package is not allowed anything before it has a line.
var rules = map[string]rule{
	"caddymodule/tenant":              {},
	"caddymodule/strictjson": {},
	"caddymodule/registry":            {ours: "caddymodule/tenant", theirs: "modernc.org/sqlite github.com/jackc/pgx/v5 go.yaml.in/yaml/v3"},
	"caddymodule/resolve":             {ours: "caddymodule/tenant"},
	"caddymodule/auth":                {ours: "caddymodule/tenant caddymodule/strictjson", theirs: "github.com/golang-jwt/jwt/v5"},
	"caddymodule/identity":            {ours: "caddymodule/tenant caddymodule/strictjson", theirs: "github.com/golang-jwt/jwt/v5"},
	"caddymodule/audit":               {ours: "caddymodule/tenant"},
	"caddymodule/sketch":              {},
	"caddymodule/framing":             {},
	"caddymodule/ratelimit":           {theirs: "github.com/redis/go-redis/v9"}, // and see the test on files
	"caddymodule": {
		ours: "caddymodule/tenant caddymodule/registry caddymodule/resolve caddymodule/auth caddymodule/identity " +
			"caddymodule/audit caddymodule/ratelimit caddymodule/sketch caddymodule/framing",
		theirs: "github.com/caddyserver/ go.uber.org/zap github.com/prometheus/ github.com/spf13/cobra github.com/dustin/go-humanize",
	},
	"caddymodule/cmd/caddy": {ours: "caddymodule", theirs: "github.com/caddyserver/caddy/v2"},
	"backend/issuer":        {ours: "caddymodule/tenant caddymodule/identity", standard: "net/http database/sql"},
	"backend/petstore":      {ours: "caddymodule/tenant", standard: "net/http database/sql"},
	"backend/sqldb":         {ours: "backend/petstore", theirs: "modernc.org/sqlite github.com/jackc/pgx/v5 github.com/pressly/goose/v3", standard: "net/http"},
	"backend/sqlstore":      {ours: "backend/petstore backend/sqldb caddymodule/tenant", standard: "net/http"},
	"backend/control":       {ours: "backend/petstore backend/sqldb caddymodule/tenant caddymodule/auth", theirs: "golang.org/x/net/idna golang.org/x/net/publicsuffix", standard: "net/http"},
	"backend/resolver":      {ours: "backend/control", theirs: "github.com/miekg/dns", standard: "net/http database/sql"},
	"backend/mailer":        {ours: "backend/control", theirs: "github.com/wneessen/go-mail", standard: "net/http database/sql"},
	"backend/httpapi": {
		ours:     "backend/petstore backend/control caddymodule/tenant caddymodule/identity",
		theirs:   "github.com/prometheus/client_golang",
		standard: "database/sql",
	},
	"backend": {ours: "backend/petstore backend/sqldb backend/sqlstore backend/control backend/httpapi backend/issuer backend/mailer backend/resolver caddymodule/identity caddymodule/tenant"},
}

// forTests reports whether a package is there for tests only: what it imports
// is its own business, and nothing of the product may import it.
func forTests(path string) bool {
	return strings.HasPrefix(path, "test/") || strings.HasSuffix(path, "test")
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

func TestNothingBehindTheGatewayDependsOnCaddy(t *testing.T) {
	for _, p := range packages(t) {
		if p.short() == "caddymodule" || p.short() == "caddymodule/cmd/caddy" {
			continue
		}
		for _, path := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(path, "github.com/caddyserver/") {
				t.Errorf("package %q depends on %q", p.short(), path)
			}
		}
	}
}

func TestOnlyTheRedisPartOfTheLimiterKnowsRedis(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(harness.Root(t), "caddymodule/ratelimit/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("listing the limiter's files: %d, %v", len(files), err)
	}
	for _, name := range files {
		base := filepath.Base(name)
		if strings.HasPrefix(base, "redis") || strings.HasSuffix(base, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "go-redis") {
				t.Errorf("%s imports %s: the decision and the store in memory must not know it", base, i.Path.Value)
			}
		}
	}
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

// A file is one idea; the longest there may be is already two.
func TestNoFileIsLongerThan400Lines(t *testing.T) {
	code := []string{".go", ".sh", ".lua", ".sql", ".yml", ""}
	sources(t, func(name, text string) {
		if n := strings.Count(text, "\n"); n > 400 && slices.Contains(code, path.Ext(name)) {
			t.Errorf("%s has %d lines; want at most 400", name, n)
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
